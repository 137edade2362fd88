"""Each structure that is no plausible crystal of the system has one reason, with its number."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.validity import SHORTEST, check_validity


def rocksalt(cation="V", anion="O", a=4.1):
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0] * 3, [0.5] * 3])


def chain(distance, edge=9.0):
    """V and O at a distance, in a cell with room."""
    return Structure(Lattice.cubic(edge), ["V", "O"], [[0, 0, 0], [distance, 0, 0]], coords_are_cartesian=True)


@pytest.mark.parametrize(
    ("structure", "elements"),
    [
        (rocksalt(), ("V", "O")),
        (rocksalt("Mn", "S", 5.2), ("S", "Mn")),
        (rocksalt("Ti", "O"), ("Ti", "O")),
        (rocksalt("Cu", "Au", 5.0), ("Cu", "Au")),  # metals have no oxidation states to break
    ],
)
def test_a_crystal_of_the_system_is_valid(structure, elements):
    assert check_validity(structure, elements) is None


@pytest.mark.parametrize(
    ("structure", "reason", "detail"),
    [
        (Structure(Lattice.cubic(3), ["V"], [[0] * 3]), "missing_element", "no O in V1"),
        (Structure(Lattice.cubic(3), ["Ti"], [[0] * 3]), "missing_element", "no O and no V in Ti1"),
        (Structure(Lattice.cubic(3), [], []), "missing_element", "in an empty cell"),
        (rocksalt() * (2, 2, 1), "too_many_sites", "32 sites, the limit is 20"),
        (chain(2.0, edge=10.5), "edge_too_long", "10.50 A, the limit is 10.00 A"),
        (chain(0.6, edge=1.2), "volume", "0.86 A^3 per atom, the limit is 1"),
        (chain(0.3), "overlap", "two atoms at 0.30 A, the limit is 0.5 A"),
        (chain(8.8), "overlap", "two atoms at 0.20 A"),  # through the wall of the cell
    ],
)
def test_each_fault_has_its_reason_and_its_number(structure, reason, detail):
    found = check_validity(structure, ("O", "V"))
    assert found is not None
    assert found[0] == reason
    assert detail in found[1]


def test_an_atom_too_near_its_own_image_overlaps():
    flat = Structure(Lattice.orthorhombic(0.4, 8, 8), ["V", "O"], [[0, 0, 0], [0, 0.5, 0.5]])
    assert check_validity(flat, ("O", "V"))[0] == "overlap"


@pytest.mark.parametrize(
    ("vanadium", "oxygen", "valid"),
    [(2, 2, True), (2, 5, True), (1, 2, True), (4, 7, True), (4, 1, True), (1, 3, False), (2, 6, False)],
)
def test_vanadium_is_five_at_most_and_only_a_campaign_that_rejects_cares(vanadium, oxygen, valid):
    n = vanadium + oxygen
    structure = Structure(
        Lattice.orthorhombic(9, 3, 3), ["V"] * vanadium + ["O"] * oxygen, [[i / n, 0, 0] for i in range(n)]
    )
    fault = check_validity(structure, ("O", "V"))
    assert (fault is None) == valid
    if fault:
        assert fault[0] == "charge_balance"
        assert all(check_validity(structure, ("O", "V"), charge=choice) is None for choice in ("flag", "none"))
        assert structure.composition.reduced_formula in fault[1]


def test_limits_are_the_campaign_s():
    structure = rocksalt()
    assert check_validity(structure, ("O", "V"), max_sites=7)[0] == "too_many_sites"
    assert check_validity(structure, ("O", "V"), max_sites=8) is None
    assert check_validity(structure, ("O", "V"), max_edge=4.09)[0] == "edge_too_long"
    assert check_validity(structure, ("O", "V", "H"))[0] == "missing_element"


def test_validity_does_not_depend_on_the_choice_of_the_cell():
    for structure in (rocksalt(), chain(SHORTEST - 0.01), chain(SHORTEST + 0.01)):
        moved = structure.copy()
        moved.translate_sites(range(len(moved)), [0.37, 0.81, 0.02])
        fault, again = check_validity(structure, ("O", "V")), check_validity(moved, ("O", "V"))
        assert (fault and fault[0]) == (again and again[0])
