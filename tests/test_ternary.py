"""Three elements: templates of three, and a hull that holds the binaries within."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from pymatgen.core import Composition

from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs.references import SINGLE_POINT, extend_hull
from imatgen_flows.managers.local import run_campaign

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    config = tiny(("Li", "V", "O"), limits={"max_sites": 6, "max_edge": 7})
    return run_campaign(config, tmp_path_factory.mktemp("ternary") / "run")


@pytest.fixture(scope="module")
def phases(run, documents):
    (references,) = documents(run, extend_hull)
    return read_lines(references.phases)


def systems(rows):
    return {frozenset(site["species"][0]["element"] for site in row["structure"]["sites"]) for row in rows}


def test_the_hull_has_phases_of_each_element_and_of_each_pair(phases):
    relaxed = systems([row for row in phases if row["state"] == "relaxed"])
    pairs = [{"Li", "O"}, {"V", "O"}, {"Li", "V"}]
    assert all(frozenset(system) in relaxed for system in ({"Li"}, {"V"}, {"O"}, *pairs, {"Li", "V", "O"}))


def test_every_sample_and_every_evaluation_is_in_the_ledger(run, phases):
    ledger = json.loads((run / "ledger.json").read_text())
    assert sum(ledger["states"].values()) == ledger["samples"] == 60
    assert ledger["evaluations"]["references"] == sum(row["evaluations"] for row in phases)
    assert any(row["state"] == SINGLE_POINT and row["evaluations"] == 1 for row in phases)


def test_candidates_hold_all_three_elements_and_stand_on_that_hull(run):
    rows = [row for row in pq.read_table(run / "candidates.parquet").to_pylist() if row["e_above_hull"] is not None]
    assert rows and all(set(Composition(row["formula"]).as_dict()) == {"Li", "V", "O"} for row in rows)


def test_phases_that_were_only_evaluated_once_do_not_count_as_failed(run, phases):
    failed = {row["name"] for row in json.loads((run / "hull.json").read_text())["failed"]}
    assert not failed & {row["name"] for row in phases if row["state"] == SINGLE_POINT}
