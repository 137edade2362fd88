from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.chemistry import minimum_distance
from imatgen_flows.crystals.repair import repair


@st.composite
def crowded(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    n = draw(st.integers(1, 14))
    angles = rng.uniform(60, 110, 3)
    lattice = Lattice.from_parameters(*rng.uniform(2.5, 6, 3), *angles)
    if not lattice.volume > 5:
        lattice = Lattice.cubic(4)
    return Structure(lattice, rng.choice(["V", "O"], n), rng.random((n, 3)))


def all_distances(structure, reach=3):
    """Brute force over many images: (A, A) shortest distances; infinite between an atom and itself at home."""
    cells = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    delta = structure.frac_coords[:, None] - structure.frac_coords[None]
    lengths = np.linalg.norm((delta[:, :, None] + cells) @ structure.lattice.matrix, axis=-1)
    lengths[lengths < 1e-9] = np.inf
    return lengths.min(axis=-1)


@settings(max_examples=60, deadline=None)
@given(crowded())
def test_after_repair_no_two_atoms_overlap_and_nothing_is_lost_uncounted(crystal):
    repaired = repair(crystal)
    assert len(repaired.structure) + len(repaired.dropped) == len(crystal)
    assert len(repaired.structure) >= 1
    distances = all_distances(repaired.structure)
    symbols = [s.specie.symbol for s in repaired.structure]
    for i in range(len(symbols)):
        for j in range(i):
            assert distances[i, j] >= minimum_distance(symbols[i], symbols[j])


@settings(max_examples=30, deadline=None)
@given(crowded())
def test_a_repaired_crystal_needs_no_repair(crystal):
    repaired = repair(crystal).structure
    assert repair(repaired).structure is repaired


def test_the_later_of_two_alike_and_the_more_electronegative_of_two_unlike_go():
    lattice = Lattice.cubic(8)
    crystal = Structure(
        lattice,
        ["O", "V", "V", "O", "O"],
        np.array([[0, 0, 0], [1, 0, 0], [1, 0, 1.5], [4, 4, 4], [4, 4, 5]]) / 8,
    )
    repaired = repair(crystal)
    assert [s.specie.symbol for s in repaired.structure] == ["V", "O"]
    assert repaired.dropped == ["V2 (1.50 A from V1)", "O4 (1.00 A from O3)", "O0 (1.00 A from V1)"]


def test_atoms_that_meet_across_the_cell_wall_overlap():
    crystal = Structure(Lattice.cubic(6), ["V", "O"], [[0.01, 0, 0], [0.99, 0, 0]])
    assert len(repair(crystal).structure) == 1


def test_an_atom_near_its_own_image_stays():
    crystal = Structure(Lattice.orthorhombic(1.1, 4, 4), ["V"], [[0, 0, 0]])
    assert repair(crystal).dropped == []


def test_of_two_atoms_in_one_place_one_stays():
    crystal = Structure(Lattice.cubic(5), ["V", "V"], [[0.2, 0.2, 0.2]] * 2)
    assert len(repair(crystal).structure) == 1
