"""Soft modes: the cell into which a wave fits, the way down, and modes that lead nowhere."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.phonon_cells import PhononSettings, primitive_standard_cell, smallest_cell
from imatgen_flows.energetics.phonon_spectrum import frequencies_at
from imatgen_flows.energetics.phonons import force_constants, relax_tightly
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.energetics.soft_mode import SoftMode, follow_soft_mode, follow_soft_modes, soft_mode_of

SETTINGS = PhononSettings(supercell=7.0)
ORDERS = {
    (0, 0, 0): 1,
    (0.5, 0, 0): 2,
    (0.5, 0.5, 0.5): 2,
    (1 / 3, 2 / 3, 0): 3,
    (0.5, 1 / 3, 0): 6,
    (0.25, 0.5, 0.75): 4,
}


def relaxed(structure, potential="emt"):
    calculator = get_potential(potential).calculator()
    return relax_tightly(structure, calculator, SETTINGS).structure, calculator


@pytest.fixture(scope="module")
def bcc():
    """Copper as bcc, which is at no minimum."""
    return relaxed(Structure.from_spacegroup("Im-3m", Lattice.cubic(2.87), ["Cu"], [[0, 0, 0]]))


@pytest.mark.parametrize("point", ORDERS)
def test_the_smallest_cell_of_a_wave_has_as_many_cells_as_its_order(point):
    matrix = smallest_cell(np.array(point))
    assert round(np.linalg.det(matrix)) == ORDERS[point]
    np.testing.assert_allclose(matrix @ point, np.rint(matrix @ point), atol=1e-9)


def test_the_energy_along_a_mode_curves_as_its_frequency_says(bcc):
    cell, emt = bcc
    phonon = force_constants(cell, 4 * np.eye(3), emt, SETTINGS)
    points = np.array(list(product((0, 0.25, 0.5, 0.75), repeat=3)))
    softest = points[np.nanargmin(np.nanmin(np.nan_to_num(frequencies_at(phonon, points), nan=9), axis=1))]
    for point in (softest, [0.5, 0.5, 0.0], [0.25, 0.25, 0.25]):
        mode = soft_mode_of(phonon, point)
        energies = []
        for amplitude in (-0.02, 0.0, 0.02):
            atoms = mode.displaced(amplitude).to_ase_atoms()
            atoms.calc = emt
            energies.append(atoms.get_potential_energy())
        curvature = (energies[0] - 2 * energies[1] + energies[2]) / 0.02**2
        mass = (np.array(mode.displacements) ** 2).sum() * 63.546
        frequency = 15.633302 * np.sign(curvature) * np.sqrt(abs(curvature) / mass)
        assert frequency == pytest.approx(mode.frequency, abs=0.05)


def test_a_mode_of_a_stable_crystal_leads_back(bcc):
    cell, emt = relaxed(Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]]))
    phonon = force_constants(cell, 2 * np.eye(3), emt, SETTINGS)
    found = follow_soft_mode(soft_mode_of(phonon, [0.5, 0.5, 0.0]), emt, SETTINGS)
    assert found.state == "none" and found.structure is None and abs(found.lowered_by) < 1e-3
    assert "no lower structure" in found.detail


def test_following_is_isolated_and_counted(bcc):
    cell, emt = bcc
    mode = soft_mode_of(force_constants(cell, 4 * np.eye(3), emt, SETTINGS), [0.0, 0.0, 0.5])
    collapsed = SoftMode(
        -1.0, [0, 0, 0], Structure(Lattice.cubic(3), ["Cu", "Cu"], [[0] * 3, [0.01, 0, 0]]), [[0] * 3] * 2
    )
    ticks = []
    here = follow_soft_mode(mode, emt, SETTINGS, lambda: ticks.append(1))
    lower, fault = follow_soft_modes([mode, collapsed], "emt", SETTINGS, workers=1)
    assert lower.state == here.state == "lower" and lower.evaluations == here.evaluations == len(ticks)
    assert lower.energy_per_atom == pytest.approx(here.energy_per_atom, abs=1e-6)
    assert (fault.state, fault.reason, fault.evaluations) == ("rejected", "diverged", 0)


def test_titanium_leaves_bcc_for_hcp():
    """Bcc titanium exists above 882 C only; CHGNet's softest mode leads to the hcp of room temperature."""
    cell, chgnet = relaxed(Structure.from_spacegroup("Im-3m", Lattice.cubic(3.25), ["Ti"], [[0, 0, 0]]), "chgnet")
    phonon = force_constants(cell, 4 * np.eye(3), chgnet, SETTINGS)
    found = follow_soft_mode(soft_mode_of(phonon, [0.0, 0.5, 0.0]), chgnet, SETTINGS)
    assert found.state == "lower" and found.structure.get_space_group_info(symprec=0.05)[1] == 194
    assert len(primitive_standard_cell(found.structure)) == 2
