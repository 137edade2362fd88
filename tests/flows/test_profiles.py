"""Each job of a campaign asks for what it needs, and so do the jobs that come up while it runs."""

from __future__ import annotations

import pytest
from jobflow import Flow

from imatgen_flows.flows import CampaignMaker
from imatgen_flows.flows.profiles import assign_profiles

CONFIGS = {name: {"_category": name} for name in ("light", "gpu_train", "gpu_relax", "cpu_vasp")}
EXPECTED = {
    "build dataset": "light",
    "relax references": "gpu_relax",
    "label dataset": "gpu_relax",
    "extend hull": "gpu_relax",
    "train cell autoencoder": "gpu_train",
    "train basis autoencoder": "gpu_train",
    "train generator": "gpu_train",
    "evaluate reconstruction": "gpu_train",
    "sample candidates": "gpu_train",
    "filter candidates": "light",
    "screen": "light",
    "finish round": "light",
}


@pytest.fixture
def flow(tiny, tmp_path):
    flow = CampaignMaker(tiny()).make(tmp_path)
    assign_profiles(flow, CONFIGS)
    return flow


def test_every_job_has_the_profile_of_its_work(flow):
    found = {job.name: job.config.manager_config["_category"] for job, _ in flow.iterflow()}
    assert found == EXPECTED


def test_jobs_made_while_the_campaign_runs_have_theirs(flow):
    from jobflow.core.job import Job, prepare_replace

    (screen,) = (job for job, _ in flow.iterflow() if job.name == "screen")
    assert not screen.config.pass_manager_config
    made = [Job(print, name=name) for name in ("relax batch 1 of 1", "rank candidates")]
    replacement = prepare_replace(Flow(made, output=made[-1].output), screen)
    for update in screen.config_updates:
        replacement.update_config(**update, dynamic=True)
    found = {job.name: job.config.manager_config["_category"] for job, _ in replacement.iterflow()}
    assert found == {"relax batch 1 of 1": "gpu_relax", "rank candidates": "light", "store_inputs": "light"}
