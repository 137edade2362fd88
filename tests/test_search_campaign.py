"""A campaign that searches for some formulas: no candidate is of another, and nothing before the sampling changes."""

from __future__ import annotations

from collections import Counter

import pyarrow.parquet as pq
import pytest

from imatgen_flows.candidates.states import Geometry, Stage
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures
from imatgen_flows.jobs.filter_candidates import filter_candidates
from imatgen_flows.jobs.search_space import search_space


@pytest.fixture(scope="module")
def config(tiny):
    return tiny(search={"compositions": ["VO2", "V2O2"], "sites": "3-4"})


@pytest.fixture(scope="module")
def run(config, run_once_trained, tmp_path_factory):
    return run_once_trained(config, tmp_path_factory.mktemp("search") / "vo")


def test_every_candidate_that_is_valid_is_of_what_is_searched_for(run, config, documents):
    (filtered,) = documents(run, filter_candidates)
    structures = candidate_structures(filtered.candidates, Geometry.DECODED)
    space, reasons = search_space(config), Counter()
    for row in candidate_rows(filtered.candidates, ["id", "rejected_stage", "rejected_reason"]):
        if row["id"]:  # those that are not valid have none
            assert space.admit(structures[row["sample"]]) == ""
        elif row["rejected_stage"] == Stage.VALIDITY:
            reasons[row["rejected_reason"]] += 1
    assert reasons["other_composition"] and set(reasons) >= {"other_composition"}


def test_samples_start_from_training_structures_of_what_is_searched_for(run, config, documents):
    from imatgen_flows.io.artifacts import read_lines
    from imatgen_flows.jobs.build_dataset import build_dataset
    from imatgen_flows.jobs.dataset_rows import structure_of

    (dataset,) = documents(run, build_dataset)
    wanted = {row["id"] for row in read_lines(dataset.crystals) if not search_space(config).admit(structure_of(row))}
    rows = pq.read_table(run / "candidates.parquet", columns=["parents", "sampler"]).to_pylist()
    assert len(wanted) > 2 and {parent for row in rows for parent in row["parents"]} <= wanted
    assert any(row["parents"] for row in rows)
