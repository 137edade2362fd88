from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imatgen_flows.studies.composition_classes import CompositionClass, count_classes

FORMULAS = st.sampled_from(["VO", "V2O3", "VO2", "V2O5", "V3O5", "V6O7", "V6O13"])


def test_a_composition_is_classified_by_where_it_occurred_before():
    counts = count_classes(["VO", "VO", "V6O13", "V4O5", "V6O7", "V6O7", "V5O8"], ["VO", "V6O13"], ["VO", "V4O5"])
    assert {each.value: dict(found) for each, found in counts.items()} == {
        "known_and_dataset": {"VO": 2},
        "known": {"V6O13": 1},
        "dataset": {"V4O5": 1},
        "new": {"V6O7": 2, "V5O8": 1},
    }


@given(st.lists(FORMULAS), st.sets(FORMULAS), st.sets(FORMULAS))
def test_every_structure_and_every_composition_is_in_one_class(formulas, known, dataset):
    counts = count_classes(formulas, known, dataset)
    assert sum(found.total() for found in counts.values()) == len(formulas)
    assert sum(len(found) for found in counts.values()) == len(set(formulas))


@given(st.lists(FORMULAS), st.sets(FORMULAS))
def test_the_dataset_itself_holds_nothing_new(formulas, known):
    counts = count_classes(formulas, known, formulas)
    assert not counts[CompositionClass.NEW] and not counts[CompositionClass.KNOWN]
