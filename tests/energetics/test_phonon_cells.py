"""Cells of phonons: what is a solid, how large a supercell is, and what its displacements will cost."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.phonon_cells import (
    PhononSettings,
    phonon_cost,
    phonopy_of,
    primitive_standard_cell,
    supercell_matrix,
    vacuum_in,
)


def fcc(a=3.61, symbol="Cu"):
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [symbol], [[0, 0, 0]])


def rutile():
    return Structure.from_spacegroup(136, Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0] * 3, [0.305, 0.305, 0]])


def crystals():
    return {
        "fcc": fcc(),
        "bcc": Structure.from_spacegroup("Im-3m", Lattice.cubic(3.25), ["Ti"], [[0, 0, 0]]),
        "rutile": rutile(),
        "hcp": Structure.from_spacegroup("P6_3/mmc", Lattice.hexagonal(2.94, 4.65), ["Ti"], [[1 / 3, 2 / 3, 0.25]]),
        "corundum": Structure.from_spacegroup(
            "R-3c", Lattice.hexagonal(4.76, 12.99), ["Al", "O"], [[0, 0, 0.352], [0.306, 0, 0.25]]
        ),
        "body-centred, of three different edges": Structure.from_spacegroup(
            "Immm", Lattice.orthorhombic(2.9, 3.4, 6.1), ["V", "O"], [[0, 0, 0], [0, 0, 0.5]]
        ),
        "monoclinic": Structure.from_spacegroup(
            "C2/m", Lattice.monoclinic(12.2, 3.04, 5.8, 107), ["Ga", "O"], [[0.09, 0, 0.79], [0.17, 0, 0.11]]
        ),
    }


@pytest.mark.parametrize("name", crystals())
def test_the_faces_of_a_supercell_lie_as_far_apart_as_asked_and_its_symmetry_is_that_of_the_crystal(name):
    cell = primitive_standard_cell(crystals()[name])
    for length in (5.0, 7.0):
        matrix = supercell_matrix(cell, length)
        volume, edges = np.linalg.det(matrix @ cell.lattice.matrix), matrix @ cell.lattice.matrix
        faces = [abs(volume) / np.linalg.norm(np.cross(edges[i], edges[j])) for i, j in ((1, 2), (2, 0), (0, 1))]
        for face, row in zip(faces, matrix.astype(int), strict=True):
            is_even = np.gcd.reduce(row) % 2 == 0  # an even number of cells along this edge may lack a tenth
            assert face > length - 0.03 or (is_even and face >= 0.9 * length)
        phonon = phonopy_of(cell, matrix)
        assert len(phonon.symmetry.symmetry_operations["rotations"]) == round(abs(np.linalg.det(matrix))) * len(
            phonon.primitive_symmetry.symmetry_operations["rotations"]
        )


@pytest.mark.parametrize("name", crystals())
def test_the_cost_does_not_depend_on_how_a_crystal_is_described(name):
    crystal = crystals()[name]
    other = crystal.copy()
    other.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    other.translate_sites(range(len(other)), [0.13, 0.27, 0.41])
    assert phonon_cost(crystal) == phonon_cost(other)


def test_the_cost_is_known_before_anything_runs():
    cost = phonon_cost(rutile(), PhononSettings(supercell=8.5))
    assert (cost.atoms, cost.supercell_atoms, cost.displacements, cost.obstacle) == (6, 2 * 2 * 3 * 6, 3, "")
    assert cost.supercell == ((2, 0, 0), (0, 2, 0), (0, 0, 3))


def test_a_cell_of_two_hundred_atoms_is_refused_with_its_cost():
    large = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0] * 3, [0.5] * 3])
    large.make_supercell([5, 5, 1])
    cost = phonon_cost(large.perturb(0.2))
    assert (cost.atoms, cost.displacements, cost.obstacle) == (200, 1200, "too_large")
    assert (
        "1,200 displaced supercells of 600 atoms each (200 in the primitive cell): `max_atoms` allows 300"
        in cost.detail
    )
    allowed = phonon_cost(large, PhononSettings(max_atoms=600, max_displacements=1200))
    assert not allowed.obstacle


def test_more_displacements_than_allowed_are_refused():
    cost = phonon_cost(rutile(), PhononSettings(max_displacements=2))
    assert cost.obstacle == "too_large" and "`max_displacements` allows 2" in cost.detail


def test_a_disordered_structure_is_refused():
    alloy = Structure(Lattice.cubic(3.8), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    assert phonon_cost(alloy).obstacle == "disordered"


@pytest.mark.parametrize(
    ("what", "structure"),
    [
        ("a molecule or an atom", Structure(Lattice.cubic(12), ["O", "O"], [[0, 0, 0], [0.1, 0, 0]])),
        ("a molecule or an atom", Structure(Lattice.cubic(9), ["Ar"], [[0, 0, 0]])),
        ("a chain", Structure(Lattice.tetragonal(12, 2.5), ["C"], [[0, 0, 0]])),
        ("a slab", Structure(Lattice.hexagonal(2.46, 15), ["C", "C"], [[0, 0, 0], [1 / 3, 2 / 3, 0]])),
        # atoms on both sides of a cell's face are neighbours
        ("a molecule or an atom", Structure(Lattice.cubic(12), ["O", "O"], [[0.97, 0, 0], [0.07, 0, 0]])),
    ],
)
def test_what_stands_in_a_vacuum_is_no_solid(what, structure):
    assert what in vacuum_in(structure)
    cost = phonon_cost(structure)
    assert cost.obstacle == "no_solid" and "in a box" in cost.detail


def test_layers_and_molecular_crystals_are_solids():
    graphite = Structure(
        Lattice.hexagonal(2.46, 6.7),
        ["C"] * 4,
        [[0, 0, 0.25], [0, 0, 0.75], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
    )
    dry_ice = Structure.from_spacegroup("Pa-3", Lattice.cubic(5.6), ["C", "O"], [[0, 0, 0], [0.119, 0.119, 0.119]])
    assert vacuum_in(graphite) == vacuum_in(dry_ice) == ""


def test_noise_below_the_tolerance_leaves_the_symmetry():
    noisy = fcc() * (2, 1, 1)
    noisy.perturb(0.005)
    assert len(primitive_standard_cell(noisy)) == 1
