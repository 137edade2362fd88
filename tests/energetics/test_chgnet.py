"""CHGNet with one gradient: energies, forces and stresses equal those of the package."""

import numpy as np
import pytest
from ase.calculators.calculator import all_changes
from chgnet.model.dynamics import CHGNetCalculator
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.potentials import get_potential


@pytest.fixture(scope="module")
def atoms():
    """Rutile, displaced and strained, so that nothing vanishes by symmetry."""
    sites = [[0, 0, 0], [0.305, 0.305, 0]]
    structure = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], sites)
    lattice = Lattice(structure.lattice.matrix @ [[1.02, 0.01, 0], [0.01, 0.97, 0.02], [0, 0.02, 1.01]])
    places = structure.frac_coords + np.random.default_rng(0).normal(0, 0.02, (6, 3))
    return Structure(lattice, structure.species, places).to_ase_atoms()


@pytest.fixture(scope="module")
def calculator():
    return get_potential("chgnet").calculator()


def test_energy_forces_and_stress_are_those_of_the_package(atoms, calculator):
    calculator.calculate(atoms, ["energy", "forces", "stress"], all_changes)
    theirs = CHGNetCalculator(use_device="cpu")
    theirs.calculate(atoms)
    assert calculator.results["energy"] == pytest.approx(theirs.results["energy"], abs=1e-5)
    np.testing.assert_allclose(calculator.results["forces"], theirs.results["forces"], atol=1e-4)
    np.testing.assert_allclose(calculator.results["stress"], theirs.results["stress"], atol=1e-5)
    assert np.abs(theirs.results["forces"]).max() > 0.1


def test_asked_for_the_energy_alone_it_gives_the_same_one_and_no_forces(atoms, calculator):
    calculator.results.clear()
    calculator.calculate(atoms, ["energy"], all_changes)
    alone = dict(calculator.results)
    calculator.calculate(atoms, ["energy", "forces", "stress"], all_changes)
    assert "forces" not in alone and "stress" not in alone
    assert alone["energy"] == pytest.approx(calculator.results["energy"], abs=1e-5)
