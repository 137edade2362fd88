"""Crystals that are equal, nearly equal, and different."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure


def rutile(metal="V", anion="O", u=0.305, a=4.55, c=2.86):
    return Structure.from_spacegroup(136, Lattice.tetragonal(a, c), [metal, anion], [[0, 0, 0], [u, u, 0]])


def fluorite(metal="V", anion="O", a=4.9):
    return Structure.from_spacegroup(225, Lattice.cubic(a), [metal, anion], [[0, 0, 0], [0.25, 0.25, 0.25]])


def rocksalt(metal="V", anion="O", a=4.1):
    return Structure.from_spacegroup(225, Lattice.cubic(a), [metal, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride(metal="V", anion="O", a=2.6):
    return Structure.from_spacegroup(221, Lattice.cubic(a), [metal, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def zincblende(metal="V", anion="O", a=4.5):
    return Structure.from_spacegroup(216, Lattice.cubic(a), [metal, anion], [[0, 0, 0], [0.25, 0.25, 0.25]])


PROTOTYPES = (rutile, fluorite, rocksalt, caesium_chloride, zincblende)


def retold(structure, rng):
    """Describe a crystal anew: another origin, rotation, handedness, order of axes and sites, volume, and a supercell."""
    axes = rng.permutation(3)
    shear = np.eye(3, dtype=int)[axes]
    shear[0] += rng.integers(-1, 2) * shear[1]
    told = structure.copy()
    told.make_supercell(shear * (2 if rng.random() < 0.3 else 1))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    lattice = told.lattice.matrix @ rotation * rng.uniform(0.9, 1.1)
    order = rng.permutation(len(told))
    return Structure(lattice, [told[i].specie for i in order], told.frac_coords[order] + rng.random(3))


def deformed(structure, rng, strain=0.1, rattle=0.3):
    """Strain the cell and move the atoms so far that it is an open question whether the crystal is still the same."""
    lattice = structure.lattice.matrix @ (np.eye(3) + rng.uniform(-strain, strain, (3, 3)))
    moved = Structure(lattice, structure.species, structure.frac_coords)
    moved.perturb(rattle * rng.random(), seed=int(rng.integers(2**31)))
    return moved


@pytest.fixture(scope="session")
def crowd():
    """Forty primitive cells around five prototypes, from equal to different."""
    rng = np.random.default_rng(5)
    primitive = [make().get_primitive_structure() for make in PROTOTYPES]
    return [deformed(primitive[i % 5], rng, strain=0.04 * (i % 4), rattle=0.9) for i in range(40)]
