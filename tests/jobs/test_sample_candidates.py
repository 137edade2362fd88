"""What latent optimisation raises: the classifier where nothing was relaxed, a process over the finds where enough was."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.testing import assert_allclose

from imatgen_flows.candidates.selection import FEWEST, fit_process, lower_confidence_bound
from imatgen_flows.config import Sampling
from imatgen_flows.flows.generate import GenerateMaker
from imatgen_flows.io.artifacts import ArtifactRef
from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument
from imatgen_flows.jobs.sample_candidates import ascent_objective, sample_candidates

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
    assert ascent_objective(LATENT, data(0), 1.0) is None
    assert ascent_objective(LATENT, data(FEWEST - 1), 1.0) is None


@pytest.mark.parametrize("kappa", [0.0, 2.0])
def test_where_enough_was_relaxed_it_is_the_bound_of_a_process_over_its_latent_vectors(data, kappa):
    objective = ascent_objective(LATENT, data(20), kappa)
    finds = LATENT[20:].numpy()
    process = fit_process(finds, finds[:, 0].astype(float))
    assert_allclose(objective(LATENT).numpy(), -lower_confidence_bound(process, LATENT.numpy(), kappa), atol=1e-6)
    assert objective(torch.tensor([[-1.0] + [0.0] * 5])) > objective(torch.tensor([[1.0] + [0.0] * 5]))


@pytest.mark.parametrize(("sampling", "inputs"), [({}, set()), ({"ascent": 3}, {"kappa"})])
def test_the_sampling_job_takes_kappa_where_it_uses_it_alone(sampling, inputs):
    """Else the results of campaigns before it would not be found again."""
    ref = ArtifactRef(uri="file:///x", sha256="0", nbytes=0, kind="x")
    dataset = DatasetDocument.model_construct(key="build_dataset-0", crystals=ref)
    maker = GenerateMaker(sampling=Sampling.model_validate(sampling), kappa=2.0)
    flow = maker.make("root", {"dataset": dataset, "labels": None, "references": None})
    (job,) = (job for job in flow.jobs if job.function.__name__ == sample_candidates.spec.name)
    assert set(job.function_kwargs) & {"kappa"} == inputs


@pytest.mark.slow
def test_a_campaign_optimises_by_the_classifier_and_then_by_what_it_relaxed(
    tiny, run_once_trained, tmp_path, documents
):
    screen = {"potential": "toy", "at_most": 16, "max_steps": 100, "fmax": 0.3, "threshold": 2.0}
    limits, sampling = {"max_sites": 8, "max_edge": 7}, {"slerp": 30, "prior": 20, "perturb": 10, "ascent": 15}
    config = tiny(limits=limits, screen=screen, sampling=sampling, rounds={"at_most": 2})
    run = run_once_trained(config, tmp_path / "run")
    rows = pq.read_table(run / "candidates.parquet").to_pylist()
    drawn = [row for row in rows if row["sampler"] == "ascent"]
    assert [sum(row["round"] == number for row in drawn) for number in (0, 1)] == [15, 15]
    assert {row["seed"] for row in drawn} == {7 + 3, 1007 + 3} and all(len(row["parents"]) == 1 for row in drawn)
    assert np.isfinite([row["stability"] for row in drawn]).all()
    assert len(documents(run, sample_candidates)) == 2
