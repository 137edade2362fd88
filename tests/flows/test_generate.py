"""Which jobs make the networks of a round, and what their results are found by."""

from __future__ import annotations

import pytest

from imatgen_flows.config import CampaignConfig, Model
from imatgen_flows.flows.generate import GenerateMaker
from imatgen_flows.flows.search import SearchMaker
from imatgen_flows.models.registry import ROLES

DATA = {"dataset": "dataset", "labels": "labels", "evaluated": "labels", "references": "references"}
EARLIER = dict.fromkeys(ROLES, "network")
TRAINING = {"preset": "default", "grid": None, "epochs": 2.0, "holdout": 0.1, "seed": 7}
FILE = "/somewhere/networks.safetensors"


@pytest.fixture
def settings():
    """Read the section `model` that each job of a round gets, by the function of the job."""

    def of(networks=None, **model):
        flow = GenerateMaker(model=Model(epochs=2, **model)).make("root", DATA, networks=networks)
        jobs = [job for job, _ in flow.iterflow() if "model" in job.function_kwargs]
        return {job.function.__name__: job.function_kwargs["model"] for job in jobs}

    return of


@pytest.mark.parametrize("model", [{}, {"fine_tune": 0.5}, {"fine_tune": 0}])
def test_where_networks_come_from_is_no_input_of_the_jobs_that_train_and_sample(settings, model):
    found = settings(**model)
    assert set(found) == {"train_autoencoder", "train_vae", "evaluate_reconstruction", "sample_candidates"}
    assert all(section == TRAINING for section in found.values())


@pytest.mark.parametrize(("networks", "start"), [(None, FILE), (EARLIER, FILE), (EARLIER, "none")])
def test_networks_that_exist_are_trained_by_a_share_or_not_at_all(settings, networks, start):
    imports = {"import_network"} if networks is None else set()
    further = settings(networks, start=start, fine_tune=0.25)
    assert further["train_vae"] == further["sample_candidates"] == TRAINING | {"epochs": 0.5}
    assert set(further) - imports == {"train_autoencoder", "train_vae", "evaluate_reconstruction", "sample_candidates"}
    as_they_are = settings(networks, start=start, fine_tune=0)
    assert set(as_they_are) == imports | {"sample_candidates"}
    assert all(section == TRAINING for section in as_they_are.values())


def test_proposals_do_not_depend_on_where_networks_come_from():
    def campaign(**model):
        config = CampaignConfig(system=["V", "O"], model={"epochs": 2} | model)
        (proposed, *_) = [job for job, _ in SearchMaker(config).make("root", DATA).iterflow()]
        return proposed.function_kwargs["campaign"]

    assert campaign()["model"] == TRAINING
    assert campaign(start=FILE, fine_tune=0) == campaign(start="pretrained", preset="default") == campaign()
