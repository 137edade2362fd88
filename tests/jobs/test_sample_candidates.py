"""What latent optimisation raises: the classifier where nothing was relaxed, a process over the finds where enough was."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.testing import assert_allclose

from imatgen_flows.candidates.selection import FEWEST, fit_process, lower_confidence_bound
from imatgen_flows.jobs.documents import LabelDocument
from imatgen_flows.jobs.sample_candidates import KAPPA, ascent_objective

LATENT = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def data(store):
    """Build the labels of forty structures, of which the last `finds` were relaxed in earlier rounds."""

    def build(finds):
        rows = [{"id": f"s{row}", "energy_per_atom": -8.0} for row in range(40)]
        for row in range(40 - finds, 40):
            rows[row]["e_above_hull"] = float(LATENT[row, 0])
        ref = store.put_lines("labels", rows)
        return {"labels": LabelDocument(key="label_dataset-0", potential="toy", labels=ref, counts={})}

    return build


def test_where_little_was_relaxed_the_objective_is_left_to_the_classifier(data):
    assert ascent_objective(LATENT, data(0)) is None
    assert ascent_objective(LATENT, data(FEWEST - 1)) is None


def test_where_enough_was_relaxed_it_is_the_bound_of_a_process_over_its_latent_vectors(data):
    objective = ascent_objective(LATENT, data(20))
    finds = LATENT[20:].numpy()
    process = fit_process(finds, finds[:, 0].astype(float))
    assert_allclose(objective(LATENT).numpy(), -lower_confidence_bound(process, LATENT.numpy(), KAPPA), atol=1e-6)
    assert objective(torch.tensor([[-1.0] + [0.0] * 5])) > objective(torch.tensor([[1.0] + [0.0] * 5]))


@pytest.mark.slow
def test_a_campaign_draws_by_latent_optimisation_where_it_is_asked_for(tiny, run_once_trained, tmp_path):
    config = tiny(sampling={"slerp": 10, "prior": 5, "perturb": 5, "ascent": 15})
    rows = pq.read_table(run_once_trained(config, tmp_path / "run") / "candidates.parquet").to_pylist()
    drawn = [row for row in rows if row["sampler"] == "ascent"]
    assert len(drawn) == 15 and {row["seed"] for row in drawn} == {7 + 3}
    assert all(len(row["parents"]) == 1 for row in drawn) and np.isfinite([row["stability"] for row in drawn]).all()
