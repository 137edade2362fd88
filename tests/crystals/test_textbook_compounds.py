"""Compounds of the textbooks pass every rule of chemistry here; compositions that no chemist would believe do not.

The table's sources: N. N. Greenwood and A. Earnshaw, Chemistry of the Elements, 2nd ed. (1997); A. F. Wells, Structural
Inorganic Chemistry, 5th ed. (1984); R. W. G. Wyckoff, Crystal Structures, 2nd ed. (1963-1965); P. Villars and L. D. Calvert,
Pearson's Handbook of Crystallographic Data for Intermetallic Phases, 2nd ed. (1991); J. W. Anthony et al., Handbook of
Mineralogy; H. D. Fair and R. F. Walker, Energetic Materials, vol. 1: Inorganic Azides (1977); CRC Handbook of Chemistry and
Physics; and the articles that it names.
"""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path

import pytest
from pymatgen.core import Composition
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from imatgen_flows.crystals import is_charge_balanced

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def textbook():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        return importlib.import_module("textbook_compounds")


@pytest.fixture(scope="module")
def compounds(textbook):
    return textbook.read_table("textbook_compounds")


@pytest.fixture(scope="module")
def crystals(textbook, compounds):
    return textbook.prototype_crystals(compounds)


def refused(rows):
    return {row["formula"] for row in rows if not is_charge_balanced(Composition(row["formula"]))}


def test_the_table_has_fifteen_compounds_of_each_of_twenty_classes_and_a_source_for_each(compounds):
    assert set(Counter(row["class"] for row in compounds).values()) == {15}
    assert len({Composition(row["formula"]).reduced_formula for row in compounds}) == 300
    assert all(row["source"] and row["name"] for row in compounds)


def test_charge_balance_refuses_two_percent_of_textbook_compounds_at_most_and_each_with_a_reason(compounds):
    named = {row["formula"] for row in compounds if row["refused_because"]}
    assert refused(compounds) == named
    assert len(named) <= 6


def test_charge_balance_flags_nine_of_ten_impossible_compositions(textbook):
    impossible = textbook.read_table("impossible_compositions")
    assert len({Composition(row["formula"]).reduced_formula for row in impossible}) == 100
    assert len(refused(impossible)) >= 90


def test_a_crystal_from_a_prototype_has_the_space_group_of_the_table(compounds, crystals):
    published = {row["formula"]: row["space_group"] for row in compounds}
    found = {formula: SpacegroupAnalyzer(crystal).get_space_group_symbol() for formula, crystal in crystals.items()}
    assert len(found) > 100
    assert found == {formula: published[formula] for formula in found}


@pytest.mark.slow
def test_textbook_crystals_keep_their_atoms_come_back_from_their_images_and_have_the_expected_volume(
    textbook, crystals, compounds
):
    refused_formulas = {row["formula"] for row in compounds if row["refused_because"]}
    faults = {formula: textbook.faults(crystal) for formula, crystal in crystals.items()}
    assert {f: found for f, found in faults.items() if found.keys() & {"distances", "image"}} == {}
    assert {f for f, found in faults.items() if "validity" in found} <= refused_formulas
    assert sum("volume" in found for found in faults.values()) <= 0.1 * len(faults)
