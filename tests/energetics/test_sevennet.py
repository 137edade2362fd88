"""SevenNet: energies, forces and stresses equal those of the package, and its hull is pymatgen's."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.calculator import all_changes
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.hull import Hull, HullEntry
from imatgen_flows.energetics.mp_corrections import mp2020_correction
from imatgen_flows.energetics.potential_registry import POTENTIALS
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.energetics.references import reference_phases
from imatgen_flows.energetics.relax import RelaxSettings, relax_many, single_points

NAMES = ("sevennet", "sevennet-l3i5")


@pytest.fixture(scope="module")
def atoms():
    """Rutile, displaced and strained, so that nothing vanishes by symmetry."""
    sites = [[0, 0, 0], [0.305, 0.305, 0]]
    structure = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], sites)
    lattice = Lattice(structure.lattice.matrix @ [[1.02, 0.01, 0], [0.01, 0.97, 0.02], [0, 0.02, 1.01]])
    places = structure.frac_coords + np.random.default_rng(0).normal(0, 0.02, (6, 3))
    return Structure(lattice, structure.species, places).to_ase_atoms()


@pytest.fixture(scope="module", params=NAMES)
def potential(request):
    return get_potential(request.param)


@pytest.fixture(scope="module")
def calculator(potential):
    return potential.calculator()


@pytest.fixture(scope="module")
def theirs(potential):
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(potential.weights, device="cpu")


def test_energy_forces_and_stress_are_those_of_the_package(atoms, calculator, theirs):
    calculator.calculate(atoms, ["energy", "forces", "stress"], all_changes)
    theirs.calculate(atoms)
    assert calculator.results["energy"] / len(atoms) == pytest.approx(theirs.results["energy"] / len(atoms), abs=1e-6)
    np.testing.assert_allclose(calculator.results["forces"], theirs.results["forces"], atol=1e-5)
    np.testing.assert_allclose(calculator.results["stress"], theirs.results["stress"], atol=1e-6)
    assert np.abs(theirs.results["forces"]).max() > 0.1


def test_asked_for_the_energy_alone_it_gives_the_same_one_and_no_forces(atoms, calculator, theirs):
    calculator.calculate(atoms, ["energy"], all_changes)
    theirs.calculate(atoms)
    assert set(calculator.results) == {"energy"}
    assert calculator.results["energy"] / len(atoms) == pytest.approx(theirs.results["energy"] / len(atoms), abs=1e-6)


def test_forces_and_stress_are_derivatives_of_the_energy(atoms, calculator):
    # in single precision a difference over 0.01 A is good to a few meV/A
    crystal = atoms.copy()
    crystal.calc = calculator
    forces, stress = crystal.get_forces(), crystal.get_stress()
    np.testing.assert_allclose(forces, calculate_numerical_forces(crystal, eps=0.01), atol=0.01)
    strained = calculate_numerical_stress(crystal, eps=2e-3, force_consistent=False)
    np.testing.assert_allclose(stress, strained, atol=2e-3)


def test_an_element_that_it_does_not_know_costs_that_structure_alone():
    known = Structure(Lattice.cubic(3.0), ["V"], [[0, 0, 0]])
    unknown = Structure(Lattice.cubic(4.0), ["Po"], [[0, 0, 0]])
    good, bad = relax_many([known, unknown], "sevennet", RelaxSettings(max_steps=1), workers=1)
    assert good.structure is not None and bad.reason == "error" and "84" in bad.detail


@pytest.mark.parametrize("name", NAMES)
def test_the_hull_of_its_energies_is_pymatgens(name):
    potential = POTENTIALS[name]
    phases = [phase for phase in reference_phases(["V", "O"]) if len(phase.structure) < 15]
    results = single_points([phase.structure for phase in phases], name, workers=1)
    entries = [
        HullEntry(phase.name, phase.structure.composition, result.energy_per_atom)
        for phase, result in zip(phases, results, strict=True)
    ]
    hull = Hull(entries, potential.scale)
    pd_entries = [PDEntry(entry.composition, entry.energy_per_atom * entry.composition.num_atoms) for entry in entries]
    theirs = PhaseDiagram(pd_entries)
    assert hull.potential == f"{name} {potential.weights}"
    for entry, pd_entry in zip(entries, pd_entries, strict=True):
        ours = hull.e_above_hull(entry.composition, entry.energy_per_atom)
        assert ours == pytest.approx(theirs.get_e_above_hull(pd_entry), abs=1e-9)
        formation = hull.formation_energy(entry.composition, entry.energy_per_atom)
        assert formation == pytest.approx(theirs.get_form_energy_per_atom(pd_entry), abs=1e-9)


def test_its_energies_carry_the_corrections_of_the_materials_project(calculator, potential):
    rutile = next(phase.structure for phase in reference_phases(["V", "O"]) if phase.name == "VO2 rutile")
    calculator.calculate(rutile.to_ase_atoms(), ["energy"], all_changes)
    (result,) = single_points([rutile], potential, workers=1)
    plain = calculator.results["energy"] / len(rutile)
    assert result.energy_per_atom == pytest.approx(plain + mp2020_correction(rutile), abs=1e-6)
    assert result.energy_per_atom == pytest.approx(-8.8, abs=0.2)  # the entry mp-19094 has -8.79 eV/atom


def test_the_energies_of_chgnet_of_r2scan_are_of_another_scale_with_no_correction():
    crystals = [phase.structure for phase in reference_phases(["Ti", "O"]) if len(phase.structure) < 7]
    usual, other = (single_points(crystals, name, workers=1) for name in ("chgnet", "chgnet-r2scan"))
    assert get_potential("chgnet-r2scan").scale != get_potential("chgnet").scale
    apart = [one.energy_per_atom - two.energy_per_atom for one, two in zip(usual, other, strict=True)]
    assert min(apart) > 0.5 and max(apart) - min(apart) > 1  # eV/atom: no constant shift leads from one to the other
