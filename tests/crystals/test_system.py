from __future__ import annotations

import itertools

import pytest
from pymatgen.core import Composition

from imatgen_flows.crystals.system import chemical_system, system_name
from imatgen_flows.errors import InputError


@pytest.mark.parametrize("system", [("V", "O"), ("C", "H"), ("Na", "Cl", "O"), ("Fe", "Al", "Cu"), ("Ar", "He", "F")])
def test_every_order_of_a_system_is_written_as_its_formulas_are(system):
    written = {system_name(order) for order in itertools.permutations(system)}
    assert written == {"-".join(map(str, sorted(Composition(dict.fromkeys(system, 1)).elements)))}


@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        (["Vn", "O"], "`Vn` is not a chemical element. Did you mean V?"),
        (["D", "O"], "`D` is an isotope, .*: write H"),
        (["Li", "T"], "`T` is an isotope, .*: write H"),
        (["V", "O", "V"], "`V` is named twice"),
    ],
)
def test_what_is_no_system_is_refused_with_the_cure(symbols, said):
    with pytest.raises(InputError, match=said):
        chemical_system(symbols)
