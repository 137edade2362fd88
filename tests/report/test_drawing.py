from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.report.drawing import DrawingError, rotation, scene


def _drawn(structure):
    return scene(structure.to(fmt="cif"))


def _partners(drawing):
    return Counter(atom for bond in drawing.bonds for atom in bond)


@pytest.fixture
def rutile():
    return Structure.from_spacegroup(136, Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])


@pytest.fixture
def rocksalt():
    return Structure.from_spacegroup(225, Lattice.cubic(4.1), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_every_cation_is_drawn_with_its_whole_coordination(rutile, rocksalt):
    for structure, cations in ((rutile, 9), (rocksalt, 14)):  # corners and centre; corners and faces
        drawing = _drawn(structure)
        bonds = _partners(drawing)
        numbers = [bonds[place] for place, symbol in enumerate(drawing.symbols) if symbol == "V"]
        assert numbers == [6] * cations


def test_bonds_of_an_oxide_join_metal_and_oxygen(rutile):
    drawing = _drawn(rutile)
    assert {tuple(sorted((drawing.symbols[i], drawing.symbols[j]))) for i, j in drawing.bonds} == {("O", "V")}


def test_atoms_of_an_element_bond_to_each_other():
    assert _drawn(Structure.from_spacegroup(229, Lattice.cubic(3.03), ["V"], [[0, 0, 0]])).bonds


def test_metals_of_an_alloy_bond_to_each_other():
    drawing = _drawn(Structure.from_spacegroup(221, Lattice.cubic(2.9), ["Cu", "Al"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert {frozenset((drawing.symbols[i], drawing.symbols[j])) for i, j in drawing.bonds} == {frozenset(("Al", "Cu"))}


def test_every_atom_of_the_cell_is_drawn(rutile):
    rutile.perturb(0.3)
    drawn = Counter(_drawn(rutile).symbols)
    assert drawn["V"] >= 2
    assert drawn["O"] >= 4


def test_lattice_translations_of_atoms_do_not_change_the_drawing(rutile):
    moved = rutile.copy()
    moved.translate_sites([0, 3], [1, -2, 3], frac_coords=True, to_unit_cell=False)
    first, second = (np.array(sorted(map(tuple, _drawn(one).positions.round(4)))) for one in (rutile, moved))
    assert np.allclose(first, second, atol=1e-3)


@given(st.tuples(*[st.floats(-360, 360)] * 3))
def test_turning_keeps_every_distance(view):
    assert np.allclose(rotation(view) @ rotation(view).T, np.eye(3), atol=1e-12)
    assert np.isclose(np.linalg.det(rotation(view)), 1)


@pytest.mark.parametrize("text", ["", "no crystal", "data_x\n_cell_length_a 3\n"])
def test_text_that_is_no_crystal_is_refused(text):
    with pytest.raises(DrawingError):
        scene(text)
