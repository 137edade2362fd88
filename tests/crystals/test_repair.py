from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.repair import repair
from imatgen_flows.crystals.shortest_distances import minimum_distances


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
    limits = minimum_distances([s.specie.symbol for s in repaired.structure])
    for i in range(len(limits)):
        for j in range(i):
            assert distances[i, j] >= limits[i, j]


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


def lithium_phosphate():
    """Beta-Li3PO4: Keffer et al., Inorg. Chem. 6, 119 (1967)."""
    return Structure.from_spacegroup(
        "Pmn2_1",
        Lattice.orthorhombic(6.1150, 5.2394, 4.8554),
        ["Li", "Li", "P", "O", "O", "O"],
        [
            [0.248, 0.328, 0.986],
            [0.5, 0.843, 0.989],
            [0, 0.8243, 0],
            [0.2080, 0.6863, 0.8947],
            [0, 0.1053, 0.8983],
            [0.5, 0.1867, 0.8214],
        ],
    )


def calcite():
    """R. W. G. Wyckoff, Crystal Structures (1963)."""
    return Structure.from_spacegroup(
        "R-3c", Lattice.hexagonal(4.990, 17.061), ["Ca", "C", "O"], [[0, 0, 0], [0, 0, 0.25], [0.2578, 0, 0.25]]
    )


def sodium_nitrate():
    """R. W. G. Wyckoff, Crystal Structures (1963)."""
    return Structure.from_spacegroup(
        "R-3c", Lattice.hexagonal(5.070, 16.82), ["Na", "N", "O"], [[0, 0, 0], [0, 0, 0.25], [0.2450, 0, 0.25]]
    )


def barite():
    """R. W. G. Wyckoff, Crystal Structures (1963)."""
    return Structure.from_spacegroup(
        "Pnma",
        Lattice.orthorhombic(8.884, 5.457, 7.157),
        ["Ba", "S", "O", "O", "O"],
        [
            [0.1845, 0.25, 0.1585],
            [0.4370, 0.75, 0.1910],
            [0.5870, 0.75, 0.1060],
            [0.3176, 0.75, 0.0493],
            [0.4194, 0.9704, 0.3118],
        ],
    )


def potassium_superoxide():
    """Kassatochkin and Kotow, J. Chem. Phys. 4, 458 (1936): O-O 1.28 A."""
    return Structure.from_spacegroup(
        "I4/mmm", Lattice.tetragonal(4.034, 6.699), ["K", "O"], [[0, 0, 0], [0, 0, 0.5 - 0.64 / 6.699]]
    )


def ice():
    """Ice XI: O-H 0.96 to 1.01 A; Leadbetter et al., J. Chem. Phys. 82, 424 (1985)."""
    return Structure.from_spacegroup(
        "Cmc2_1",
        Lattice.orthorhombic(4.465, 7.859, 7.292),
        ["O", "O", "H", "H", "H"],
        [
            [0, 0.6648, 0.0631],
            [0.5, 0.8255, -0.0631],
            [0, 0.6636, 0.1963],
            [0, 0.5363, 0.0183],
            [0.6766, -0.2252, -0.0183],
        ],
    )


KNOWN = [lithium_phosphate, calcite, sodium_nitrate, barite, potassium_superoxide, ice]


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.__name__)
def test_a_crystal_with_short_bonds_keeps_its_atoms(known):
    crystal = known()
    assert repair(crystal).structure is crystal


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.__name__)
def test_and_loses_an_atom_that_is_too_many(known):
    crystal = known()
    for index in range(len(crystal)):
        crowded = crystal.copy()
        crowded.append(crystal[index].specie, crystal[index].coords + [0.3, 0.3, 0.3], coords_are_cartesian=True)
        assert repair(crowded).dropped
