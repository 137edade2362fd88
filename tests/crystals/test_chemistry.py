from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from imatgen_flows.crystals.chemistry import has_valid_oxidation, oxidation_range
from imatgen_flows.errors import InputError


@given(st.integers(1, 40), st.integers(1, 40))
def test_vanadium_oxides_are_valid_from_vo_to_v2o5(vanadium, oxygen):
    assert has_valid_oxidation(Composition({"V": vanadium, "O": oxygen})) == (
        2 * vanadium <= 2 * oxygen <= 5 * vanadium
    )


@given(st.integers(1, 20), st.integers(1, 20), st.integers(2, 5))
def test_validity_belongs_to_the_ratio_not_to_the_cell(metal, anion, factor):
    formula = Composition({"Ti": metal, "O": anion})
    assert has_valid_oxidation(formula) == has_valid_oxidation(formula * factor)


@pytest.mark.parametrize(
    ("formula", "valid"),
    [
        ("TiO2", True), ("Ti2O3", True), ("TiO", True), ("TiO3", False), ("Ti3O", False),
        ("MnS", True), ("MnS2", True), ("Mn2S", False), ("MnS5", False),
        ("BaTiO3", True), ("Ba3TiO2", False), ("MnSO4", True), ("LaOF", True), ("NaCl", True), ("NaCl2", False),
        ("NbN", True), ("AlCu2", True), ("GaAs", True), ("V3Si", True), ("V", False), ("O2", False),
    ],
)  # fmt: skip
def test_known_and_impossible_compounds(formula, valid):
    assert has_valid_oxidation(Composition(formula)) is valid


def test_ranges_come_from_the_icsd():
    assert oxidation_range("V") == (2, 5)
    assert oxidation_range("Ti") == (2, 4)
    assert oxidation_range("F") is None


def test_an_element_that_does_not_exist_is_named():
    with pytest.raises(InputError, match="Vn"):
        oxidation_range("Vn")
