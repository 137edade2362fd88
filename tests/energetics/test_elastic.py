"""Elastic constants: those of cubic crystals, and that they tell a crystal which would shear away."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.core.operations import SymmOp

from imatgen_flows.energetics.elastic import elastic_constants
from imatgen_flows.energetics.phonon_cells import PhononSettings
from imatgen_flows.energetics.phonons import relax_tightly
from imatgen_flows.energetics.potentials import get_potential

TIGHT = PhononSettings(fmax=0.001)


def relaxed(group, a, symbol="Cu"):
    emt = get_potential("emt").calculator()
    structure = Structure.from_spacegroup(group, Lattice.cubic(a), [symbol], [[0, 0, 0]])
    return relax_tightly(structure, emt, TIGHT).structure, emt


def test_copper_is_cubic_and_stable_and_its_compression_agrees_with_its_energy():
    cell, emt = relaxed("Fm-3m", 3.6)
    ticks = []
    constants = elastic_constants(cell, emt, 0.001, 50, lambda: ticks.append(1))
    assert np.linalg.eigvalsh(constants).min() > 10 and len(ticks) >= 12
    bulk = constants[:3, :3].mean()  # of a cubic crystal (C11 + 2 C12) / 3
    energies, strains = [], (-0.01, 0.0, 0.01)
    for strain in strains:
        atoms = cell.copy().apply_strain(strain, inplace=False).to_ase_atoms()
        atoms.calc = emt
        energies.append(atoms.get_potential_energy())
    curvature = (energies[0] - 2 * energies[1] + energies[2]) / 0.01**2  # 9 B V
    assert bulk == pytest.approx(160.2177 * curvature / (9 * cell.volume), rel=0.02)


def test_stability_does_not_depend_on_the_orientation():
    cell, emt = relaxed("Fm-3m", 3.6)
    turned = cell.copy()
    turned.apply_operation(SymmOp.from_axis_angle_and_translation([1, 2, 3], 40))
    lowest = [np.linalg.eigvalsh(elastic_constants(c, emt, 0.001, 50)).min() for c in (cell, turned)]
    assert all(value > 0 for value in lowest)


def test_bcc_copper_shears_away():
    cell, emt = relaxed("Im-3m", 2.87)
    assert np.linalg.eigvalsh(elastic_constants(cell, emt, 0.001, 50)).min() < 0
