"""Which atoms of a decoded crystal are removed as excess."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.shortest_distances import minimum_distances
from imatgen_flows.models.excess_atoms import remove_excess_atoms
from imatgen_flows.representation import PackedCrystals

ELEMENTS = ("O", "V")
SHORTEST = minimum_distances(ELEMENTS)
CELL = 5.0 * torch.eye(3)


def packed(*atoms, lattice=CELL):
    """A crystal of atoms (channel, place, height), and their heights."""
    mask, places, heights = torch.zeros(1, 2, 9, dtype=torch.bool), torch.zeros(1, 2, 9, 3), torch.zeros(1, 2, 9)
    for channel in (0, 1):
        for index, (_, place, height) in enumerate(atom for atom in atoms if atom[0] == channel):
            mask[0, channel, index], heights[0, channel, index] = True, height
            places[0, channel, index] = torch.tensor(place)
    return PackedCrystals(lattice[None], places, mask, ELEMENTS), heights


ANY = (9, 9)  # targets that no crystal here exceeds


def left(*atoms, atom_counts=ANY, **options):
    """Indices of the atoms of O and of V that are left."""
    mask = remove_excess_atoms(*packed(*atoms, **options), torch.tensor([atom_counts]), SHORTEST).mask[0]
    return mask[0].nonzero()[:, 0].tolist(), mask[1].nonzero()[:, 0].tolist()


def test_of_two_atoms_in_one_place_the_fainter_goes():
    assert left((0, (1, 1, 1), 0.6), (0, (1, 1, 1.4), 0.9), (1, (3, 3, 3), 0.4)) == ([1], [0])
    assert left((0, (1, 1, 1), 0.6), (1, (1, 1, 1.4), 0.9)) == ([], [0])


def test_atoms_that_overlap_through_the_wall_of_the_cell_overlap():
    assert left((1, (0.2, 2, 2), 0.6), (1, (4.9, 2, 2), 0.9)) == ([], [1])


def test_of_two_elements_in_one_place_the_one_goes_of_which_there_are_too_many():
    atoms = (0, (1, 1, 1), 0.9), (0, (3, 3, 3), 0.9), (1, (1, 1, 1.4), 0.3)
    assert left(*atoms) == ([0, 1], [])
    assert left(*atoms, atom_counts=(1, 1)) == ([1], [0])
    assert left(*atoms, atom_counts=(2, 1)) == ([0, 1], [])  # neither is too many: the fainter


def test_beyond_the_target_the_faintest_go_and_a_missing_atom_stays_missing():
    atoms = (0, (1, 1, 1), 0.5), (0, (1, 3, 3), 0.9), (0, (3, 1, 3), 0.7), (1, (3, 3, 1), 0.9)
    assert left(*atoms, atom_counts=(2, 2)) == ([1, 2], [0])
    assert left(*atoms) == ([0, 1, 2], [0])


def test_crystals_without_a_cell_or_atoms_are_left_alone():
    no_cell = torch.full((3, 3), torch.nan)
    assert left((0, (1, 1, 1), 0.6), (0, (1, 1, 1.4), 0.9), lattice=no_cell) == ([0, 1], [])
    assert left() == ([], [])


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9), m=st.integers(1, 9))
def test_what_is_left_overlaps_nowhere_and_only_what_had_to_go_is_gone(seed, n, m):
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*rng.uniform(3, 6, 3), *rng.uniform(70, 110, 3))
    atoms = [(int(i >= n), tuple(rng.uniform(0, 8, 3)), float(rng.uniform(0.3, 1))) for i in range(n + m)]
    crystals, heights = packed(*atoms, lattice=torch.tensor(lattice.matrix, dtype=torch.float32))
    before = crystals.structures()[0]
    cleaned = remove_excess_atoms(crystals, heights, torch.tensor([ANY]), SHORTEST)
    after = cleaned.structures()[0]
    assert after is not None and before is not None
    assert overlaps(after) == []
    gone = len(before) - len(after)
    assert (gone == 0) == (overlaps(before) == [])
    assert torch.equal(remove_excess_atoms(cleaned, heights, torch.tensor([ANY]), SHORTEST).mask, cleaned.mask)
    target = torch.tensor([[2, 2]])
    assert (remove_excess_atoms(crystals, heights, target, SHORTEST).counts() <= target).all()


def overlaps(crystal: Structure) -> list[tuple[int, int]]:
    """Pairs of atoms that overlap, by pymatgen's own search."""
    distances, symbols = crystal.distance_matrix, [site.specie.symbol for site in crystal]
    indices = [ELEMENTS.index(symbol) for symbol in symbols]
    limits = minimum_distances(ELEMENTS)[np.ix_(indices, indices)]
    return [(i, j) for i in range(len(crystal)) for j in range(i) if distances[i, j] < limits[i, j] - 1e-4]
