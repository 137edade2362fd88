"""Formulas of a search: reduced ones stand for all of their multiples, others for the contents of a cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from imatgen_flows.crystals.search_formulas import SearchFormula, read_sites, write_formula
from imatgen_flows.errors import InputError

COUNTS = st.integers(1, 12)


@given(COUNTS, COUNTS)
def test_a_formula_reads_back_as_it_was_written(metal, oxygen):
    written = write_formula(Composition({"O": oxygen, "V": metal}))
    formula = SearchFormula.read(written)
    assert str(formula) == written and formula.composition == Composition({"V": metal, "O": oxygen})


@given(COUNTS, COUNTS, st.integers(1, 15), st.integers(0, 30))
def test_cells_are_the_multiples_of_a_reduced_formula_and_the_one_cell_of_another(metal, oxygen, low, width):
    formula = SearchFormula.read(f"V{metal}O{oxygen}")
    size, cells = metal + oxygen, formula.cells(low, low + width)
    unit = int(formula.unit.num_atoms)
    assert formula.unit.reduced_formula == formula.composition.reduced_formula
    if formula.is_exact:
        assert unit == size and cells == [size] * (low <= size <= low + width)
    else:
        assert cells == [n for n in range(low, low + width + 1) if n % unit == 0]


def test_peroxides_are_written_as_chemists_do_and_mean_the_composition():
    peroxide, short = SearchFormula.read("Li2O2"), SearchFormula.read("LiO")
    assert not peroxide.is_exact and peroxide.cells(1, 6) == short.cells(1, 6) == [2, 4, 6]
    assert SearchFormula.read("Li4O4").is_exact


@pytest.mark.parametrize("text", ["", "V3Oo4", "vo2", "V2O3.5", "V0O2", "DO", "V (O", "V-O", "VO2+", "XO2", "3"])
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(InputError, match="is no formula of elements and whole numbers"):
        SearchFormula.read(text)


@pytest.mark.parametrize("text", ["", "a", "-5", "4.5", "10-", "10-12-14", True, "20-10", "0", "0-4"])
def test_what_is_no_range_of_sites_is_refused(text):
    with pytest.raises(InputError, match=r"as 10-20|has no number of sites in it"):
        read_sites(text)


def test_foreign_and_missing_elements_are_named():
    with pytest.raises(InputError, match=r"`TiO2` has Ti, which the system V-O has not"):
        SearchFormula.read("TiO2").check_elements(["V", "O"])
    with pytest.raises(InputError, match=r"`V2` has no O: candidates hold each element of V-O"):
        SearchFormula.read("V2").check_elements(["V", "O"])
