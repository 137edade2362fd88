"""Periodic distances agree with searches over many images, whatever the setting of the cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.distances import closest_approach, periodic_distances, shortest_distance


@st.composite
def crystals(draw):
    """Draw crystals whose cells are often far from reduced."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n = draw(st.integers(1, 6))
    lattice = np.tril(rng.uniform(-4, 4, (3, 3)), -1) + np.diag(rng.uniform(2, 6, 3))
    return Structure(lattice, ["V"] * n, rng.uniform(3, 12, (n, 3)), coords_are_cartesian=True)


@settings(deadline=None, max_examples=40)
@given(crystals())
def test_the_shortest_distance_is_that_of_a_search_in_a_sphere(crystal):
    expected = min(near.nn_distance for neighbours in crystal.get_all_neighbors(13) for near in neighbours)
    assert shortest_distance(crystal) == pytest.approx(expected, abs=1e-6)
    assert closest_approach(crystal.lattice.matrix, crystal.cart_coords) == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(crystals())
def test_distances_between_atoms_are_those_of_pymatgen(crystal):
    distances = periodic_distances(crystal.lattice, crystal.cart_coords)
    off_diagonal = ~np.eye(len(crystal), dtype=bool)
    np.testing.assert_allclose(distances[off_diagonal], crystal.distance_matrix[off_diagonal], atol=1e-6)
    shortest_vector = Lattice(crystal.lattice.matrix).get_niggli_reduced_lattice().a
    np.testing.assert_allclose(np.diag(distances), shortest_vector, atol=1e-6)


def test_an_atom_is_near_its_own_image_in_a_narrow_cell():
    crystal = Structure(Lattice.orthorhombic(1.1, 4, 4), ["V"], [[0, 0, 0]])
    assert shortest_distance(crystal) == pytest.approx(1.1)


def test_two_atoms_in_one_place_are_at_distance_zero():
    crystal = Structure(Lattice.cubic(5), ["V", "V"], [[0.2, 0.2, 0.2]] * 2)
    assert shortest_distance(crystal) == 0
    assert closest_approach(crystal.lattice.matrix, crystal.cart_coords) == 0


def test_there_is_no_distance_without_a_cell_or_without_atoms():
    assert np.isnan(closest_approach(np.full((3, 3), np.nan), np.zeros((1, 3))))
    assert np.isnan(closest_approach(np.eye(3), np.zeros((0, 3))))
