"""A training that meets its walltime hands over to another job, and learns what it would have learnt in one."""

from __future__ import annotations

import pytest
from campaigns import CPU_ONLY, small_campaign, status, submit
from private_slurm import wait_until

from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.dataset_rows import load_crystals, training_rows
from imatgen_flows.jobs.networks import preset_of
from imatgen_flows.jobs.train import train_autoencoder
from imatgen_flows.models.fitting import fit_basis_autoencoder

pytestmark = pytest.mark.slurm


def test_a_training_that_meets_its_walltime_goes_on_in_another_job(lab, documents, tmp_path):
    # the warning comes up to a minute early: SLURM looks at its jobs that seldom
    lab.configure(CPU_ONLY | {"gpu_train": CPU_ONLY["gpu_train"] | {"walltime": "00:02:00"}}, warning=45)
    config = small_campaign(model={"epochs": 1.0})
    campaign_id = submit(lab, config, tmp_path / "run")

    def trained():
        if (tmp_path / "run").is_dir() and len(documents(tmp_path / "run", train_autoencoder)) == 2:
            return True
        lab.submit_ready()
        return False

    wait_until(trained, 1800, 1.0)  # some five minutes, where nothing else runs
    rows = [line for line in status(lab, campaign_id)["jobs"] if line["name"] == "train basis autoencoder"]
    assert len(rows) >= 2  # one handed over
    assert all(line["state"] in ("COMPLETED", "RUNNING") for line in rows)

    basis = next(document for document in documents(tmp_path / "run", train_autoencoder) if document.role == "basis")
    history = read_lines(basis.metrics)
    assert [row["epoch"] for row in history] == list(range(1, len(history) + 1))

    # the curve of a training that nobody stopped, as far as the first hand-over and beyond
    (dataset,) = documents(tmp_path / "run", build_dataset)
    seen = load_crystals(dataset)[training_rows(dataset, config.model)]
    preset = preset_of(config.model)
    _, whole = fit_basis_autoencoder(seen, preset.basis, config.model.seed, tmp_path / "whole", "cpu")
    assert [row["loss"] for row in history] == pytest.approx([row["loss"] for row in whole], rel=1e-5)
