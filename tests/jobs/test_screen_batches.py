"""Batches: how large they are, and what a lost one costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from imatgen_flows.candidates.candidate import Candidate, Origin
from imatgen_flows.candidates.states import State
from imatgen_flows.io.artifacts import ArtifactRef
from imatgen_flows.jobs.candidates import COMPOSITION_PENALTY, spread
from imatgen_flows.jobs.documents import LabelDocument
from imatgen_flows.jobs.screening import LARGEST_BATCH, STEPS_OF_A_CANDIDATE, batch_size

REF = ArtifactRef(uri="file:///x", sha256="0", nbytes=0, kind="labels")


def labels(seconds, evaluations):
    return LabelDocument(
        key="label_dataset-0",
        potential="toy",
        labels=REF,
        counts={},
        seconds=seconds,
        evaluations={"labels": evaluations},
    )


def test_without_a_walltime_only_the_size_of_a_batch_limits_it():
    assert batch_size(labels(100, 10), None) == LARGEST_BATCH


@given(st.floats(0.01, 1e4), st.integers(1, 100_000), st.floats(60, 1e6))
def test_a_batch_is_planned_to_take_half_the_walltime_at_most(seconds, evaluations, walltime):
    size = batch_size(labels(seconds, evaluations), walltime)
    assert 1 <= size <= LARGEST_BATCH
    assert size == 1 or size * STEPS_OF_A_CANDIDATE * seconds / evaluations <= walltime / 2


def test_four_hours_hold_some_hundred_relaxations_at_the_cost_of_chgnet_on_two_cores():
    assert batch_size(labels(26.5, 265), 4 * 3600) == pytest.approx(500, abs=100)


def test_labels_that_cost_nothing_tell_nothing():
    assert batch_size(labels(0, 0), 3600) == LARGEST_BATCH


def candidate(sample, formula, residual=0.1):
    elements = [element for element, n in Composition(formula).as_dict().items() for _ in range(int(n))]
    places = [[i / len(elements)] * 3 for i in range(len(elements))]
    return Candidate(
        sample=sample,
        origin=Origin(method="random", seed=0, row=0, x=0, y=0),
        decode_quality={"count_matches": True, "residual": residual},
        state=State.UNIQUE,
        structure=Structure(Lattice.cubic(5), elements, places).as_dict(),
    )


def names(records):
    return [record.sample for record in records]


def test_compositions_take_turns_and_clean_decodes_come_first_where_nothing_is_known():
    records = [candidate(f"VO-{i}", "VO", residual=0.01 * i) for i in range(4)] + [candidate("V2O3-0", "V2O3", 0.2)]
    assert names(spread(records, 3)) == ["VO-0", "V2O3-0", "VO-1"]


def test_the_most_promising_come_first_and_crowding_makes_room_for_others():
    records = [candidate(f"VO-{i}", "VO") for i in range(4)] + [candidate("V2O3-0", "V2O3"), candidate("VO2-0", "VO2")]
    scores = {f"VO-{i}": 0.0 for i in range(4)} | {"V2O3-0": 1.5 * COMPOSITION_PENALTY, "VO2-0": 1.0}
    assert names(spread(records, 6, scores)) == ["VO-0", "VO-1", "V2O3-0", "VO-2", "VO-3", "VO2-0"]


def test_no_more_are_chosen_than_asked_for_and_none_twice():
    records = [candidate(f"s{i}", formula) for i, formula in enumerate(["VO", "VO2", "V2O3"] * 5)]
    chosen = names(spread(records, 7))
    assert len(chosen) == len(set(chosen)) == 7 and len(spread(records, 100)) == 15
