"""Crystals get the contents that are asked for, without overlapping atoms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.shortest_distances import shortest_distances
from imatgen_flows.models.contents import with_contents
from imatgen_flows.representation import PackedCrystals

ELEMENTS = ("O", "V")
SHORTEST = shortest_distances(ELEMENTS)[None]
CELL = 5.0 * torch.eye(3)


def packed(*atoms, lattice=CELL):
    """A crystal of atoms (channel, place, height), and their heights."""
    mask, places, heights = torch.zeros(1, 2, 9, dtype=torch.bool), torch.zeros(1, 2, 9, 3), torch.zeros(1, 2, 9)
    for channel in (0, 1):
        for index, (_, place, height) in enumerate(atom for atom in atoms if atom[0] == channel):
            mask[0, channel, index], heights[0, channel, index] = True, height
            places[0, channel, index] = torch.tensor(place)
    return PackedCrystals(lattice[None], places, mask, ELEMENTS), heights


def made(*atoms, atom_counts, **options):
    """Places of the atoms of O and of V that come out."""
    crystals = with_contents(*packed(*atoms, **options), torch.tensor([atom_counts]), SHORTEST)
    return [sorted(crystals.positions[0, channel][crystals.mask[0, channel]].tolist()) for channel in (0, 1)]


def test_of_each_element_the_highest_peaks_are_kept():
    atoms = (0, (1.0, 1.0, 1.0), 0.5), (0, (1.0, 3.0, 3.0), 0.9), (0, (3.0, 1.0, 3.0), 0.7), (1, (3.0, 3.0, 1.0), 0.3)
    oxygen, vanadium = made(*atoms, atom_counts=(2, 1))
    assert oxygen == [[1, 3, 3], [3, 1, 3]] and vanadium == [[3, 3, 1]]


def test_a_shadow_of_an_atom_goes_and_what_is_only_close_is_moved():
    shadow = (0, (1.0, 1.0, 1.0), 0.6), (0, (1.0, 1.0, 1.4), 0.9), (0, (3.0, 3.0, 3.0), 0.4)
    assert made(*shadow, atom_counts=(2, 0))[0] == [[1, 1, pytest.approx(1.4)], [3, 3, 3]]
    close = (0, (1.0, 1.0, 1.0), 0.6), (0, (1.0, 1.0, 2.0), 0.9), (0, (3.0, 3.0, 3.0), 0.4)
    low, high, far = made(*close, atom_counts=(3, 0))[0]
    assert low[2] < 1 and high[2] > 2 and far == [3, 3, 3]
    assert high[2] - low[2] >= SHORTEST[0, 0, 0]


def test_missing_atoms_are_placed_where_there_is_most_room():
    oxygen, vanadium = made((0, (1.0, 1.0, 1.0), 0.9), atom_counts=(1, 1))
    assert oxygen == [[1, 1, 1]]
    assert np.abs(np.array(vanadium[0]) - 1) == pytest.approx(2.5)  # the middle of the cell around the other


def test_where_nothing_is_shown_of_what_is_asked_for_it_takes_the_place_of_what_is():
    oxygen, vanadium = made((0, (1.0, 2.0, 3.0), 0.9), atom_counts=(0, 2))
    assert oxygen == [] and len(vanadium) == 2 and [1, 2, 3] in vanadium


def test_crystals_without_a_cell_or_atoms_are_left_alone():
    no_cell = torch.full((3, 3), torch.nan)
    assert made((0, (1.0, 1.0, 1.0), 0.6), atom_counts=(2, 1), lattice=no_cell) == [[[1, 1, 1]], []]
    assert made(atom_counts=(2, 1)) == [[], []]


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), shown=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_whatever_is_shown_the_contents_are_right_and_nothing_overlaps(seed, shown):
    random = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*random.uniform(5, 7, 3), *random.uniform(70, 110, 3))
    atoms = [
        (channel, tuple(random.uniform(0, 8, 3)), float(random.uniform(0.3, 1)))
        for channel in (0, 1)
        for _ in range(shown[channel])
    ]
    target = torch.from_numpy(random.integers(1, 6, (1, 2)))
    crystals = with_contents(
        *packed(*atoms, lattice=torch.tensor(lattice.matrix, dtype=torch.float32)), target, SHORTEST
    )
    assert torch.equal(crystals.counts(), target)
    crystal = crystals.structures()[0]
    assert crystal is not None and overlaps(crystal) == []


def overlaps(crystal: Structure) -> list[tuple[int, int]]:
    """Pairs of atoms that overlap, by pymatgen's own search."""
    distances, symbols = crystal.distance_matrix, [site.specie.symbol for site in crystal]
    indices = [ELEMENTS.index(symbol) for symbol in symbols]
    limits = SHORTEST[0][np.ix_(indices, indices)]
    return [(i, j) for i in range(len(crystal)) for j in range(i) if distances[i, j] < limits[i, j] - 1e-4]
