"""Equal crystals are found as pymatgen's matcher finds them, however they are described."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from imatgen_flows.matching import grouping
from imatgen_flows.matching.grouping import StructureIndex, group_duplicates, primitive_cells


@pytest.fixture(scope="module")
def verdicts(crowd):
    """The plain matcher's verdict on each ordered pair."""
    matcher = StructureMatcher()
    return np.array([[matcher.fit(a, b) for b in crowd] for a in crowd])


def test_no_match_of_the_plain_matcher_is_lost_and_none_is_added(crowd, verdicts):
    for row, reference in enumerate(crowd):
        index = StructureIndex([(row, reference)])
        found = [index.find(structure) is not None for structure in crowd]
        assert found == (verdicts[row] | verdicts[:, row]).tolist()
    assert 2 * len(crowd) < verdicts.sum() < 0.8 * verdicts.size  # the crowd asks a real question
    assert (verdicts != verdicts.T).any()  # and the matcher answers some pairs by their order


def test_groups_are_those_of_a_comparison_of_all_with_all(crowd, verdicts):
    equal = verdicts | verdicts.T
    expected: list[int] = []
    for later in range(len(crowd)):
        firsts = [earlier for earlier in range(later) if expected[earlier] == earlier]
        expected.append(next((first for first in firsts if equal[first, later]), later))
    assert group_duplicates(crowd) == expected


def test_other_descriptions_of_cells_are_grouped_as_the_plain_matcher_groups_them(crowd, verdicts, redescribe):
    """Sixty crystals: all of the crowd, and most of them once more in another cell, order and place."""
    rng = np.random.default_rng(8)
    again = [int(number) for number in rng.permutation(np.repeat(np.arange(len(crowd)), 2))[:36]]
    crystals = [*crowd, *(redescribe(crowd[number], rng) for number in again)]
    numbers = [*range(len(crowd)), *again]
    equal = verdicts | verdicts.T
    expected: list[int] = []
    for later in range(len(crystals)):
        firsts = [earlier for earlier in range(later) if expected[earlier] == earlier]
        expected.append(next((first for first in firsts if equal[numbers[first], numbers[later]]), later))
    assert group_duplicates(crystals) == expected


def test_results_do_not_depend_on_the_number_of_processes(crowd, monkeypatch):
    monkeypatch.setattr(grouping, "MIN_PARALLEL", 0)
    monkeypatch.setattr(grouping, "CHUNK", 7)
    cells = primitive_cells(crowd, workers=2)
    assert group_duplicates(cells, workers=2) == group_duplicates(crowd)
    index = StructureIndex(enumerate(crowd[::4]))
    assert index.find_matches(cells, workers=2) == [index.find_match(structure) for structure in crowd]


def test_reduced_cells_stand_for_their_crystals(crowd):
    assert group_duplicates(primitive_cells(crowd)) == group_duplicates(crowd)


def test_tolerances_reach_the_matcher(crowd):
    strict, default, loose = (
        len(set(group_duplicates(crowd, *t))) for t in [(0.02, 0.02, 1), (0.2, 0.3, 5), (0.3, 0.5, 10)]
    )
    assert strict > default > loose


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["rutile", "fluorite", "rocksalt", "caesium chloride", "zincblende"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_crystal_is_the_same_however_it_is_described(prototypes, redescribe, name, seed):
    index = StructureIndex((key, structure) for key, structure in prototypes.items())
    assert index.find(redescribe(prototypes[name], np.random.default_rng(seed))) == name


def test_polymorphs_and_other_elements_are_different(prototypes):
    others = []
    for structure in prototypes.values():
        swapped = structure.copy()
        swapped.replace_species({"V": "Ti"})
        others.append(swapped)
    crystals = [*prototypes.values(), *others]
    assert group_duplicates(crystals) == list(range(len(crystals)))


def test_the_earliest_of_equals_is_found_whenever_it_was_added(prototypes):
    rutile = prototypes["rutile"]
    index = StructureIndex([("rocksalt", prototypes["rocksalt"])])
    assert index.find(rutile) is None
    index.add("first", rutile)
    index.add("second", rutile)
    assert index.find(rutile) == "first"
    index.add("third", rutile)
    assert index.find(rutile) == "first"


def test_oxidation_states_and_site_properties_make_no_difference_and_are_kept(prototypes):
    rutile = prototypes["rutile"]
    decorated = rutile.copy(site_properties={"magmom": [1.0] * len(rutile)})
    decorated.add_oxidation_state_by_element({"V": 4, "O": -2})
    before = decorated.copy()
    assert group_duplicates([rutile, decorated]) == [0, 0]
    assert decorated == before


def test_the_distance_is_that_of_the_plain_matcher(prototypes):
    rutile = prototypes["rutile"]
    moved = rutile.copy().perturb(0.2, seed=1)
    key, rms = StructureIndex([("rutile", rutile)]).find_match(moved)
    assert key == "rutile"
    assert rms == pytest.approx(StructureMatcher().get_rms_dist(rutile, moved)[0], rel=0.05)
    assert 0 < rms < 0.3


def test_nothing_is_found_in_an_empty_index(prototypes):
    assert StructureIndex().find_match(prototypes["rutile"]) is None
    assert group_duplicates([]) == []


def test_a_thin_and_skewed_cell_is_compared_too():
    sheet = Structure([[2.0, 0, 0], [9.0, 0.9, 0], [4.0, 7.0, 30.0]], ["V", "O"], [[0, 0, 0], [0.4, 0.1, 0.2]])
    assert group_duplicates([sheet, sheet.copy()]) == [0, 0]
