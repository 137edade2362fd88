"""Crystals that are equal, nearly equal, and different."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure


@pytest.fixture(scope="session")
def prototypes():
    """Five oxides, by name."""

    def cubic(group, edge, anion):
        return Structure.from_spacegroup(group, Lattice.cubic(edge), ["V", "O"], [[0, 0, 0], anion])

    rutile = Structure.from_spacegroup(136, Lattice.tetragonal(4.55, 2.86), ["V", "O"], [[0, 0, 0], [0.305, 0.305, 0]])
    return {
        "rutile": rutile,
        "fluorite": cubic(225, 4.9, [0.25, 0.25, 0.25]),
        "rocksalt": cubic(225, 4.1, [0.5, 0.5, 0.5]),
        "caesium chloride": cubic(221, 2.6, [0.5, 0.5, 0.5]),
        "zincblende": cubic(216, 4.5, [0.25, 0.25, 0.25]),
    }


@pytest.fixture(scope="session")
def retold():
    """Describe a crystal anew: other axes, handedness, origin, order of sites, volume, perhaps a supercell."""

    def tell(structure, rng):
        axes = np.eye(3, dtype=int)[rng.permutation(3)]
        axes[0] += rng.integers(-1, 2) * axes[1]
        told = structure.copy()
        told.make_supercell(axes * [[1], [1], [rng.integers(1, 3)]])
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        order = rng.permutation(len(told))
        species, coords = [told[i].specie for i in order], told.frac_coords[order] + rng.random(3)
        return Structure(told.lattice.matrix @ rotation * rng.uniform(0.9, 1.1), species, coords)

    return tell


@pytest.fixture(scope="session")
def crowd(prototypes):
    """Crystals about the prototypes, strained and rattled until it is open whether they are still the same."""
    rng = np.random.default_rng(5)
    cells = [structure.get_primitive_structure() for structure in prototypes.values()]
    crystals = []
    for number in range(24):
        cell = cells[number % len(cells)]
        strain = rng.uniform(-1, 1, (3, 3)) * 0.05 * (number % 4)
        moved = Structure(cell.lattice.matrix @ (np.eye(3) + strain), cell.species, cell.frac_coords)
        moved.perturb(0.9 * rng.random(), seed=number)
        crystals.append(moved)
    return crystals
