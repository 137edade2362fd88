"""Batches of relaxations: how large they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imatgen_flows.io.artifacts import ArtifactRef
from imatgen_flows.jobs.documents import LabelDocument, ReferenceDocument
from imatgen_flows.jobs.screen_batches import LARGEST_BATCH, batch_size

EVALUATIONS = 50  # of a relaxation
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


def references(seconds, evaluations):
    return ReferenceDocument(
        key="relax_references-0",
        potential="toy",
        hull=REF,
        phases=REF,
        counts={},
        seconds=seconds,
        evaluations={"references": evaluations},
    )


def test_without_a_walltime_only_the_size_of_a_batch_limits_it():
    assert batch_size([labels(100, 10)], EVALUATIONS, None) == LARGEST_BATCH


@given(st.floats(0.01, 1e4), st.integers(1, 100_000), st.floats(60, 1e6))
def test_a_batch_is_planned_to_take_half_the_walltime_at_most(seconds, evaluations, walltime):
    size = batch_size([labels(seconds, evaluations)], EVALUATIONS, walltime)
    assert 1 <= size <= LARGEST_BATCH
    assert size == 1 or size * EVALUATIONS * seconds / evaluations <= walltime / 2


def test_four_hours_hold_some_hundred_relaxations_at_the_cost_of_chgnet_on_two_cores():
    assert batch_size([labels(26.5, 265)], EVALUATIONS, 4 * 3600) == pytest.approx(500, abs=100)


def test_labels_that_cost_nothing_tell_nothing():
    assert batch_size([labels(0, 0)], EVALUATIONS, 3600) == LARGEST_BATCH


def test_steps_of_relaxations_count_that_cost_more_than_the_energies_of_labels():
    quick, slow = labels(26.5, 265), references(300, 1000)
    assert batch_size([quick, slow], EVALUATIONS, 3600) == 120 < batch_size([quick], EVALUATIONS, 3600)


def test_a_potential_with_longer_relaxations_gets_smaller_batches():
    assert batch_size([labels(100, 1000)], 100, 3600) == 180 == batch_size([labels(100, 1000)], 50, 3600) // 2
