"""The model Hessian is that of springs, whatever the axes; and no step of the optimiser leads uphill."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.data import covalent_radii
from ase.filters import FrechetCellFilter

from imatgen_flows.energetics.spring_bfgs import ACROSS, DECAY, LEAST, LEAST_BULK, STIFFNESS, SpringBFGS, model_hessian


@pytest.fixture(params=[1, 2])
def crystal(request):
    atoms = bulk("VO", "rocksalt", a=4.1) * (request.param, 1, 1)
    atoms.rattle(0.1, seed=1)
    return atoms


def test_it_is_symmetric_and_no_direction_is_soft(crystal):
    hessian = model_hessian(FrechetCellFilter(crystal))
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    atoms, cell = hessian[:-9, :-9], hessian[-9:, -9:]
    assert np.linalg.eigvalsh(atoms)[0] == pytest.approx(LEAST)  # a translation
    assert np.linalg.eigvalsh(cell)[0] > LEAST_BULK * crystal.cell.volume / len(crystal) ** 2
    assert np.linalg.eigvalsh(hessian)[0] > 0
    np.testing.assert_allclose(model_hessian(crystal), atoms)  # where the cell is fixed


def test_two_atoms_are_one_spring():
    pair = Atoms("O2", [[0, 0, 0], [1.5, 0, 0]], cell=[9, 9, 9], pbc=True)
    stiffness = STIFFNESS * np.exp((2 * covalent_radii[8] - 1.5) / DECAY)
    block = stiffness * np.diag([1, ACROSS, ACROSS])
    np.testing.assert_allclose(model_hessian(pair), np.block([[block, -block], [-block, block]]) + LEAST * np.eye(6))


def test_rotated_axes_rotate_it(crystal):
    from scipy.spatial.transform import Rotation

    rotation = Rotation.from_euler("xyz", [0.3, -0.7, 1.1]).as_matrix()
    rotated = crystal.copy()
    rotated.set_cell(crystal.cell[:] @ rotation.T)
    rotated.positions = crystal.positions @ rotation.T
    n = len(crystal)
    change = np.zeros((3 * n + 9, 3 * n + 9))
    change[: 3 * n, : 3 * n] = np.kron(np.eye(n), rotation)
    change[-9:, -9:] = np.kron(rotation, rotation)
    expected = change @ model_hessian(FrechetCellFilter(crystal)) @ change.T
    np.testing.assert_allclose(model_hessian(FrechetCellFilter(rotated)), expected, atol=1e-9)


def test_a_strain_with_the_atoms_costs_what_the_springs_cost(crystal):
    """Springs of a strained crystal change by the strain times their vectors, in all listed pairs."""
    target = FrechetCellFilter(crystal)
    strain = np.random.default_rng(0).normal(0, 1, (3, 3))
    step = np.concatenate([np.zeros(3 * len(crystal)), len(crystal) * strain.ravel()])
    supercell = crystal * (2, 1, 1)  # as many springs again, and the same strain
    double = np.concatenate([np.zeros(6 * len(crystal)), 2 * len(crystal) * strain.ravel()])
    one, two = step @ model_hessian(target) @ step, double @ model_hessian(FrechetCellFilter(supercell)) @ double
    assert two == pytest.approx(2 * one)


class DoubleWell(Calculator):
    """One atom between two wells along x, on a barrier at x = 0, and held across it."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x, y, z = self.atoms.positions[0]
        self.results["energy"] = (x**2 - 1) ** 2 + y**2 + z**2
        self.results["forces"] = -np.array([[4 * x * (x**2 - 1), 2 * y, 2 * z]])


def test_no_step_leads_uphill_where_the_energy_curves_down():
    atoms = Atoms("He", [[0.05, 0.1, 0]])
    atoms.calc = DoubleWell()
    optimiser = SpringBFGS(atoms, logfile=None)
    for _ in optimiser.irun(fmax=0.01, steps=50):
        assert optimiser.state is None or np.linalg.eigvalsh(optimiser.H)[0] > 0
    np.testing.assert_allclose(atoms.positions, [[1, 0, 0]], atol=0.01)
