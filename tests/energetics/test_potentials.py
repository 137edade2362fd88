"""Potentials: the registry, and that forces and stress are derivatives of the energy."""

from __future__ import annotations

import re
import subprocess
import sys

import ase
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.mp_corrections import mp2020_correction
from imatgen_flows.energetics.potential_registry import POTENTIALS, Potential
from imatgen_flows.energetics.potentials import (
    describe_shared_training,
    get_potential,
    register_potential,
    shared_training,
)
from imatgen_flows.energetics.relax import SINGLE_POINT, relax_one, single_points
from imatgen_flows.errors import InputError


def rutile(cation: str, anion: str, a: float = 4.55, c: float = 2.85) -> Structure:
    sites = [[0, 0, 0], [0.3, 0.3, 0]]
    return Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(a, c), [cation, anion], sites)


@pytest.mark.parametrize("seed", range(4))
def test_toy_forces_and_stress_are_the_derivatives_of_its_energy(seed):
    rng = np.random.default_rng(seed)
    atoms = Atoms(
        "V2O3",
        scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]],
        cell=4 * np.eye(3) + rng.normal(scale=0.3, size=(3, 3)),
        pbc=True,
    )
    atoms.rattle(0.2, rng=rng)
    atoms.calc = get_potential("toy").calculator()
    np.testing.assert_allclose(atoms.get_forces(), calculate_numerical_forces(atoms), atol=1e-6)
    np.testing.assert_allclose(atoms.get_stress(), calculate_numerical_stress(atoms, force_consistent=False), atol=1e-7)


def test_a_misspelt_name_gets_a_hint():
    with pytest.raises(InputError, match="Did you mean `chgnet`"):
        get_potential("chgnt")
    with pytest.raises(InputError, match="Known: chgnet, .*`module:function`"):
        get_potential("zzz")


def test_a_missing_package_is_named():
    register_potential(
        Potential("unheard", "", "", factory="no_such_package.calculators:make", package="no-such-package")
    )
    with pytest.raises(InputError, match="pip install no-such-package"):
        get_potential("unheard")
    POTENTIALS.remove("unheard")
    with pytest.raises(InputError, match="`no_such_module`"):
        get_potential("no_such_module:make")


@pytest.mark.parametrize("name", [":x", "mypot:", ":", ".mypot:make"])
def test_a_function_without_a_module_or_a_name_is_told_how_to_be_given(name):
    with pytest.raises(InputError, match=rf"^potential `{re.escape(name)}`: give `module:function`"):
        get_potential(name)


def test_an_unknown_correction_is_refused():
    with pytest.raises(InputError, match="mp2019"):
        register_potential(Potential("old", "", "", factory="ase:Atoms", correction="mp2019"))


def test_mp2020_adds_per_anion_and_per_metal_with_u():
    # fitted values of the scheme in eV (Wang et al. 2021): O -0.687, V -1.700 and Mn -1.668 with U, S -0.503
    assert mp2020_correction(rutile("V", "O")) * 3 == pytest.approx(-1.700 - 2 * 0.687)
    assert mp2020_correction(rutile("Ti", "O")) * 3 == pytest.approx(-2 * 0.687)
    assert mp2020_correction(rutile("Mn", "S", 6, 4)) * 3 == pytest.approx(-2 * 0.503)
    assert mp2020_correction(Structure(Lattice.cubic(3), ["V"], [[0, 0, 0]])) == 0


def test_the_correction_reaches_the_energy_of_a_structure():
    structure = rutile("V", "O")
    corrected = Potential(
        "corrected", "", "", factory="imatgen_flows.energetics.toy:ToyCalculator", correction="mp2020"
    )
    plain = relax_one(structure, corrected.calculator(), SINGLE_POINT).energy_per_atom
    assert single_points([structure], corrected, workers=1)[0].energy_per_atom == pytest.approx(
        plain + mp2020_correction(structure)
    )


def test_the_scale_names_the_weights():
    assert get_potential("chgnet").scale == "chgnet 0.3.0"
    assert get_potential("emt").scale == f"emt {ase.__version__}"


def test_a_registered_potential_is_listed_and_relaxes_in_worker_processes():
    copper = Potential(
        "copper", "Copper", "EMT under another name.", factory="imatgen_flows.energetics.other_calculators:emt"
    )
    register_potential(copper)
    try:
        assert POTENTIALS.help().endswith("`copper`: EMT under another name.")
        crystal = Structure(Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])
        ours, theirs = (single_points([crystal], name, workers=1)[0] for name in ("copper", "emt"))
        assert ours.energy_per_atom == theirs.energy_per_atom
    finally:
        POTENTIALS.remove("copper")


def test_the_registry_needs_neither_ase_nor_pymatgen():
    code = "import sys, imatgen_flows.energetics.potentials; print(*sorted({'ase', 'pymatgen', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []


def test_every_potential_of_crystals_says_what_it_learnt_from_and_what_its_energies_are():
    trained = [potential for potential in POTENTIALS if potential.name not in ("emt", "toy")]
    assert {"chgnet", "chgnet-r2scan", "sevennet", "sevennet-l3i5", "mace", "orb", "mattersim", "matgl"} == {
        potential.name for potential in trained
    }
    for potential in trained:
        assert potential.trained_on and potential.functional and potential.weights and potential.package
        assert (potential.f1 is None) == (not potential.f1_source)
        assert potential.correction == "none" or potential.functional == "PBE / PBE+U"
    assert len({potential.scale for potential in POTENTIALS}) == len(POTENTIALS)
    published = {"chgnet": 0.613, "sevennet": 0.724, "sevennet-l3i5": 0.760}
    assert {name: POTENTIALS[name].f1 for name in published} == published


def test_potentials_that_learnt_from_the_same_data_are_named():
    assert shared_training(["chgnet", "sevennet", "toy", "my_module:make"]) == [("CHGNet", "SevenNet", ("MPtrj",))]
    mace = Potential("own", "Own", "", factory="a:b", trained_on=("sAlex", "MPtrj"))
    assert [pair[2] for pair in shared_training(["mace", mace, "matgl"])] == [("MPtrj", "sAlex")]
    assert describe_shared_training(["chgnet", "matgl"]) == "" == describe_shared_training([])
    said = describe_shared_training(["chgnet", "sevennet-l3i5"])
    assert said.startswith("CHGNet and SevenNet-l3i5 were both trained on MPtrj: their agreement is not independent")
