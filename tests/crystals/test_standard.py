from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.crystals.standard import extent, shift_origin, standardise

UNIMODULAR = [
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    [[1, 1, 0], [0, 1, 0], [0, 0, 1]],
    [[1, 0, 2], [-1, 1, 0], [0, 0, 1]],
    [[0, 1, 0], [1, 0, 0], [0, 0, 1]],  # left-handed
    [[-1, 0, 0], [0, -1, 3], [1, 0, -1]],
    [[2, 1, 1], [1, 1, 1], [0, 1, 2]],
]
coordinate = st.integers(0, 199).map(lambda n: n / 200)


@st.composite
def crystals(draw):
    lengths = [draw(st.integers(25, 99)) / 10 for _ in range(3)]
    angles = [draw(st.integers(60, 115)) for _ in range(3)]
    lattice = Lattice.from_parameters(*lengths, *angles)
    if not lattice.volume > 10:
        lattice = Lattice.orthorhombic(*lengths)
    coords = draw(st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=2, max_size=6, unique=True))
    species = ["Ti" if n % 3 else "O" for n in range(len(coords))]
    return Structure(lattice, species, coords)


def other_setting(crystal, change, order):
    """The same crystal with other axes, order of sites and neighbours of the home cell, rotated in space."""
    lattice = np.array(change) @ crystal.lattice.matrix
    frac = crystal.frac_coords @ np.linalg.inv(change)
    rotation, _ = np.linalg.qr(np.array([[1.0, 2, 0], [0, 1, -1], [3, 0, 1]]))
    rotation *= np.sign(np.linalg.det(rotation))
    frac = frac[order] + np.arange(len(crystal))[:, None] % 3 - 1
    return Structure(lattice @ rotation, [crystal[i].specie for i in order], frac)


def assert_same(one, other, atol=1e-6):
    assert [s.specie for s in one] == [s.specie for s in other]
    np.testing.assert_allclose(one.lattice.matrix, other.lattice.matrix, atol=atol)
    np.testing.assert_allclose(one.frac_coords, other.frac_coords, atol=atol)


@settings(max_examples=60, deadline=None)
@given(crystals())
def test_the_standard_form_is_its_own_standard_form(crystal):
    once = standardise(crystal)
    assert_same(standardise(once), once)


@settings(max_examples=60, deadline=None)
@given(crystals(), st.sampled_from(UNIMODULAR), st.randoms(use_true_random=False))
def test_the_standard_form_is_the_same_crystal(crystal, change, random):
    order = random.sample(range(len(crystal)), len(crystal))
    standard = standardise(other_setting(crystal, change, order))
    assert standard.volume == pytest.approx(crystal.volume)
    assert standard.composition == crystal.composition
    distances = [np.sort(s.distance_matrix, axis=None) for s in (standard, crystal)]
    np.testing.assert_allclose(distances[0], distances[1], atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(crystals(), st.sampled_from(UNIMODULAR))
def test_lattice_is_in_standard_orientation_and_atoms_are_in_the_cell(crystal, change):
    standard = standardise(other_setting(crystal, change, range(len(crystal))))
    matrix = standard.lattice.matrix
    assert np.abs(np.triu(matrix, 1)).max() < 1e-12
    assert (np.diag(matrix) > 0).all()
    assert (standard.frac_coords >= 0).all() and (standard.frac_coords < 1).all()
    assert list(standard.lattice.abc) == pytest.approx(sorted(standard.lattice.abc))
    symbols = [site.specie.symbol for site in standard]
    assert symbols == sorted(symbols)


@settings(max_examples=30, deadline=None)
@given(crystals(), st.tuples(coordinate, coordinate, coordinate))
def test_a_crystal_with_a_shifted_origin_is_the_same_in_the_standard_frame(crystal, shift):
    shifted, standard = shift_origin(crystal, shift), standardise(crystal)
    assert structure_id(shifted) == structure_id(crystal)
    assert_same(standardise(shifted), shifted)
    np.testing.assert_allclose(shifted.lattice.matrix, standard.lattice.matrix, atol=1e-6)
    assert_same(shift_origin(standard, (0, 0, 0)), standard)


def test_coordinates_a_hair_below_one_are_zero():
    crystal = Structure(Lattice.cubic(3), ["V", "O"], [[0.9999999, -1e-9, 0.5], [0.5, 0.5, 0.9999999]])
    np.testing.assert_allclose(sorted(standardise(crystal).frac_coords.ravel()), [0, 0, 0, 0.5, 0.5, 0.5], atol=1e-8)


def test_oxidation_states_and_site_properties_are_left_behind():
    crystal = Structure(Lattice.cubic(3), ["V2+", "O2-"], [[0, 0, 0], [0.5] * 3], site_properties={"magmom": [3, 0]})
    standard = standardise(crystal)
    assert [site.species_string for site in standard] == ["O", "V"]
    assert not standard.site_properties


def test_a_flat_lattice_is_refused():
    flat = Structure(Lattice([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), ["V"], [[0, 0, 0]])
    with pytest.raises(ValueError, match="no volume"):
        standardise(flat)


def test_extent_is_the_box_that_holds_the_atoms_about_their_centroid():
    crystal = Structure(Lattice.cubic(10), ["V", "V", "O"], [[0, 0, 0], [0, 0, 0.3], [0, 0, 0.9]])
    assert extent(crystal) == pytest.approx(2 * (9 - 4))
