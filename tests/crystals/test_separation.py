"""Atoms are moved apart, and placed where a cell has room."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.separation import MARGIN, roomiest_place, separate


def closest(lattice, places):
    """Shortest distance between two atoms, by pymatgen's own search."""
    distances = Structure(lattice, ["H"] * len(places), places, coords_are_cartesian=True).distance_matrix
    return distances[np.triu_indices(len(places), 1)].min()


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), number=st.integers(2, 12))
def test_atoms_with_enough_room_end_as_far_apart_as_asked_for(seed, number):
    random = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*random.uniform(5, 8, 3), *random.uniform(65, 115, 3))
    places = random.uniform(0, 10, (number, 3))
    wanted = 0.6 * (lattice.volume / number) ** (1 / 3)  # spheres of a tenth of the volume
    moved = separate(lattice, places, np.full((number, number), wanted))
    assert closest(lattice, moved) >= wanted - 1e-9
    if closest(lattice, places) >= wanted:
        assert np.array_equal(moved, places)


def test_a_pair_across_the_wall_of_the_cell_moves_apart_by_the_same_on_both_sides():
    places = np.array([[0.1, 2, 2], [4.9, 2, 2], [2.5, 2, 2]])
    moved = separate(Lattice.cubic(5), places, np.full((3, 3), 1.0))
    assert moved[2].tolist() == [2.5, 2, 2]  # nothing is near it
    assert (moved - places)[0] == pytest.approx(-(moved - places)[1])
    assert closest(Lattice.cubic(5), moved) == pytest.approx(MARGIN)


def test_each_pair_has_a_distance_of_its_own():
    places, shortest = np.array([[0.0, 0, 0], [1, 0, 0], [0, 3, 0], [1, 3, 0]]), np.zeros((4, 4))
    shortest[2, 3] = shortest[3, 2] = 2.0
    moved = separate(Lattice.cubic(8), places, shortest)
    assert np.array_equal(moved[:2], places[:2])
    assert np.linalg.norm(moved[2] - moved[3]) == pytest.approx(2 * MARGIN)


def test_a_cell_without_room_and_two_atoms_in_one_place_are_no_endless_loop():
    crowded = separate(Lattice.cubic(2), np.random.default_rng(0).uniform(0, 2, (8, 3)), np.full((8, 8), 3.0))
    assert np.isfinite(crowded).all()
    same = separate(Lattice.cubic(5), np.ones((2, 3)), np.full((2, 2), 1.0))
    assert np.array_equal(same, np.ones((2, 3)))


def test_the_roomiest_place_of_rock_salt_without_an_anion_is_its_site():
    halite = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    gap = next(index for index, site in enumerate(halite) if site.specie.symbol == "Cl")
    left = halite.copy()
    left.remove_sites([gap])
    place = roomiest_place(left.lattice, left.cart_coords, np.full(len(left), 2.0))
    apart = halite.lattice.get_fractional_coords(place - halite[gap].coords)
    grid_spacing = 5.64 / 8
    assert np.linalg.norm((apart - np.rint(apart)) * 5.64) < grid_spacing
    assert np.abs(place - left.cart_coords.mean(axis=0)).max() <= 5.64 / 2 + 1e-9  # in the cell around the others


def test_the_shortest_distances_say_which_atoms_need_more_room():
    places = np.array([[2.0, 4, 4], [6.0, 4, 4]])
    near_first = roomiest_place(Lattice.cubic(8), places, np.array([1.0, 3.0]))
    apart = (near_first - places + 4) % 8 - 4
    assert np.linalg.norm(apart[0]) < np.linalg.norm(apart[1])
