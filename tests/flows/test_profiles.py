"""Each job of a campaign asks for what it is declared with, and so do the jobs that come up while it runs."""

from __future__ import annotations

import json

import pytest
from jobflow import Flow
from jobflow.core.job import Job, prepare_replace
from monty.json import MontyDecoder

from imatgen_flows.config import Validate
from imatgen_flows.flows import CampaignMaker, ValidateMaker
from imatgen_flows.flows.profiles import assign_profiles
from imatgen_flows.jobs.registry import all_jobs
from imatgen_flows.profiles import Profile

CONFIGS = {profile.value: {"_category": profile.value} for profile in Profile}


@pytest.fixture
def flow(tiny, tmp_path):
    config = tiny(rounds={"at_most": 2}, validate={"backend": "force-field"})
    flow = CampaignMaker(config).make(tmp_path)
    assign_profiles(flow, CONFIGS, config.validation.backend)
    return flow


def declared():
    """The jobs of the program; tests of other files declare some of their own."""
    return [spec for spec in all_jobs() if spec.job.__module__.startswith("imatgen_flows.")]


def profiles(flow):
    return {job.name: job.config.manager_config["_category"] for job, _ in flow.iterflow()}


def spec_of(job):
    """The entry of a job of a flow."""
    (spec,) = (spec for spec in declared() if getattr(job.function, "original", job.function) is spec.job.original)
    return spec


def made_by(job, *made):
    """What becomes of jobs that another one makes, as jobflow's managers do it."""
    replacement = prepare_replace(Flow(list(made), output=made[-1].output), job)
    for update in job.config_updates:
        replacement.update_config(**update, dynamic=True)
    return replacement


def test_every_job_of_the_flow_has_the_profile_that_it_is_declared_with(flow):
    jobs = [job for job, _ in flow.iterflow()]
    assert {job.name: spec_of(job).profile.value for job in jobs} == profiles(flow)
    assert {"train cell autoencoder", "train basis autoencoder", "screen", "validate"} <= set(profiles(flow))
    assert not any(job.config.pass_manager_config for job in jobs)


@pytest.mark.parametrize("travelled", [False, True], ids=["at home", "through a database"])
def test_every_registered_job_gets_its_profile_wherever_it_is_made(flow, travelled):
    parent = next(job for job, _ in flow.iterflow() if job.name == "screen")
    if travelled:
        parent = MontyDecoder().process_decoded(json.loads(json.dumps(parent.as_dict())))
    made = [spec.job("root", **dict.fromkeys(("role", "name", "member"), "one")) for spec in declared()]
    for job, spec in zip(made, declared(), strict=True):
        job.name = spec.name
    found = profiles(made_by(parent, *made))
    assert found == {spec.name: spec.profile.value for spec in declared()} | {"store_inputs": "light"}


def test_a_job_of_a_job_of_a_job_gets_its_profile(flow):
    specs = {spec.name: spec for spec in declared()}
    decide = next(job for job, _ in flow.iterflow() if job.name == "decide next round")
    screen = specs["screen_batches"].job("root")
    made_by(decide, screen)
    batch = specs["relax_batch"].job("root")
    assert profiles(made_by(screen, batch)) == {"relax batch": "gpu_relax", "store_inputs": "light"}


@pytest.mark.parametrize(("backend", "profile"), [("force-field", "gpu_relax"), ("vasp-mp-gga", "cpu_vasp")])
def test_calculations_of_atomate2_get_the_profile_of_their_back_end(tmp_path, backend, profile):
    from pymatgen.core import Lattice, Structure

    maker = ValidateMaker(validate=Validate(backend=backend))
    flow = maker.make(str(tmp_path), candidates=None, references=None)
    assign_profiles(flow, CONFIGS, backend)
    (job,) = (job for job, _ in flow.iterflow())
    chain = maker.calculation().make(Structure(Lattice.cubic(4.2), ["V", "O"], [[0, 0, 0], [0.5] * 3]))
    found = profiles(made_by(job, chain))
    assert found.pop("store_inputs") == "light" and set(found.values()) == {profile}


def test_a_job_that_nothing_declares_is_none_of_ours(flow):
    parent = next(job for job, _ in flow.iterflow() if job.name == "screen")
    found = profiles(made_by(parent, Job(print, name="relax label train MP")))
    assert found["relax label train MP"] == "gpu_relax"  # the back end's, whatever its name holds
