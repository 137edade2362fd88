"""Crystals that are equal, nearly equal, and different."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Structure


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
