"""Two runs beside each other: what is counted as common, as differing, and what does not compare."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.metrics.run_comparison import compare_facts
from imatgen_flows.metrics.run_differences import Find, RunFacts

ROCKSALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.1), ["V", "O"], [[0, 0, 0], [0.5] * 3])
RUTILE = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0] * 3, [0.3, 0.3, 0]])
CHLORIDE = Structure.from_spacegroup("Pm-3m", Lattice.cubic(2.6), ["V", "O"], [[0, 0, 0], [0.5] * 3])


def facts(name, crystals, **fields):
    """A run that found crystals, lowest first, 0.04 eV/atom apart."""
    finds = tuple(
        Find(sample, f"id-{sample}", crystal.composition.reduced_formula, "P1", round(0.03 + 0.04 * place, 2))
        for place, (sample, crystal) in enumerate(crystals.items())
    )
    values = {
        "settings": {"screen.fmax": 0.05, "model.seed": 7},
        "versions": {"torch": "2"},
        "scale": "chgnet 0.3.0",
        "phases": frozenset({"V", "O2"}),
        "counts": {"sampled": 10},
        "evaluations": {"screen": 100},
        "seconds": {"relax_batch": 5.0},
    }
    return RunFacts(name=name, finds=finds, structures=dict(crystals), **values | fields)


@pytest.fixture
def one():
    return facts("one", {"a": ROCKSALT, "b": RUTILE})


def test_a_run_differs_from_itself_in_nothing(one):
    found = compare_facts(one, one)
    assert not found.settings and not found.versions and not found.notes and found.alone == ((), ())
    assert [(first.sample, second.sample) for first, second in found.common] == [("a", "a"), ("b", "b")]
    assert found.found["new within 0.05 eV/atom"] == (1, 1) and found.found["new within 0.1 eV/atom"] == (2, 2)
    assert found.found["lowest E_hull, eV/atom"] == (0.03, 0.03)


def test_equal_crystals_are_common_in_whatever_cell_and_order_they_stand(one):
    shifted = ROCKSALT.get_primitive_structure()
    shifted.translate_sites(range(len(shifted)), [0.1, 0.2, 0.3])
    other = facts("other", {"x": CHLORIDE, "y": shifted})
    found = compare_facts(one, other)
    assert [(first.sample, second.sample) for first, second in found.common] == [("a", "y")]
    assert [find.sample for find in found.alone[0]] == ["b"] and [find.sample for find in found.alone[1]] == ["x"]
    back = compare_facts(other, one)
    assert [(second, first) for first, second in back.common] == list(found.common) and back.alone == found.alone[::-1]


def test_two_that_equal_the_same_one_are_not_both_counted_as_common(one):
    found = compare_facts(facts("twice", {"a": ROCKSALT, "c": ROCKSALT.copy()}), one)
    assert len(found.common) == 1 and [find.sample for find in found.alone[0]] == ["c"]


def test_what_differs_is_listed_with_both_values(one):
    other = replace(
        one, settings={"screen.fmax": 0.1, "phonons.at_most": 3}, evaluations={"screen": 50, "phonons": 7}, finds=()
    )
    found = compare_facts(one, other)
    assert found.settings == {"screen.fmax": (0.05, 0.1), "model.seed": (7, None), "phonons.at_most": (None, 3)}
    assert found.evaluations == {"screen": (100, 50), "phonons": (None, 7), "in all": (100, 57)}
    assert list(found.evaluations)[-1] == "in all" and found.found["lowest E_hull, eV/atom"] == (0.03, None)


def test_what_does_not_compare_is_said(one):
    (note,) = compare_facts(one, replace(one, scale="sevennet 7net-0")).notes
    assert "two scales, chgnet 0.3.0 and sevennet 7net-0" in note
    (note,) = compare_facts(one, replace(one, phases=frozenset({"V", "O2", "VO2"}))).notes
    assert "The hulls differ in VO2" in note
