"""Enthalpies: those of a relaxation are the minima of E(V) + pV, and their slope over pressure is the volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import GPa
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.optimize import minimize_scalar

from imatgen_flows.energetics.batched import relax_batched
from imatgen_flows.energetics.compression import SAME_VOLUME, find_lowest
from imatgen_flows.energetics.guard import COMPRESSION
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.energetics.pressure import enthalpy_per_atom, scale_at
from imatgen_flows.energetics.relax import (
    SINGLE_POINT,
    RelaxSettings,
    relax_many,
    relax_one,
    single_points,
)
from imatgen_flows.errors import InputError

# symmetry leaves these crystals only their volume, and keeps it so while nothing displaces the atoms
TIGHT = {"fmax": 0.001, "max_steps": 2000, "rattle": 0.0}


def rocksalt(a=4.1, cation="V"):
    cell = Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, "O"], [[0] * 3, [0.5] * 3])
    return cell.get_primitive_structure()


def copper():
    return AseAtomsAdaptor.get_structure(bulk("Cu"))


CRYSTALS = {"toy": rocksalt(), "emt": copper()}


def scan(structure: Structure, potential: str, pressure: float) -> tuple[float, float]:
    """Lowest enthalpy and its volume (eV, A^3, an atom), by ASE alone: a crystal whose symmetry leaves only its volume."""
    atoms: Atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.calc = get_potential(potential).calculator()
    cell, number = atoms.cell[:].copy(), len(atoms)

    def enthalpy(scale: float) -> float:
        atoms.set_cell(cell * scale, scale_atoms=True)
        return (atoms.get_potential_energy() + pressure * GPa * atoms.get_volume()) / number

    found = minimize_scalar(enthalpy, bounds=(0.75, 1.1), method="bounded", options={"xatol": 1e-7})
    atoms.set_cell(cell * found.x, scale_atoms=True)
    return float(found.fun), atoms.get_volume() / number


def relaxed(structure, potential, pressure, **changes):
    settings = RelaxSettings(**TIGHT | changes, pressure=pressure)
    result = relax_one(structure, get_potential(potential).calculator(), settings)
    assert result.state == "relaxed", result
    return result


@pytest.mark.parametrize("potential", CRYSTALS)
@pytest.mark.parametrize("pressure", [0.0, 60.0])
def test_a_relaxed_enthalpy_is_the_minimum_of_a_scan_of_volumes(potential, pressure):
    result = relaxed(CRYSTALS[potential], potential, pressure)
    enthalpy, volume = scan(CRYSTALS[potential], potential, pressure)
    assert result.energy_per_atom == pytest.approx(enthalpy, abs=1e-4)
    assert result.structure.volume / len(result.structure) == pytest.approx(volume, rel=2e-3)


def test_the_slope_of_the_enthalpy_over_the_pressure_is_the_volume():
    low, middle, high = (relaxed(rocksalt(3.9), "toy", pressure, fmax=0.02) for pressure in (18.0, 20.0, 22.0))
    slope = (high.energy_per_atom - low.energy_per_atom) / (4 * GPa)
    assert slope == pytest.approx(middle.structure.volume / len(middle.structure), rel=5e-3)


def test_stress_and_pressure_balance_in_a_relaxed_crystal():
    result = relaxed(rocksalt(3.9), "toy", 30.0, fmax=0.01)
    atoms = AseAtomsAdaptor.get_atoms(result.structure, msonable=False)
    atoms.calc = get_potential("toy").calculator()
    assert -atoms.get_stress(voigt=False) / GPa == pytest.approx(30.0 * np.eye(3), abs=0.2)
    assert result.fmax < 0.01


def test_without_a_pressure_nothing_changes():
    assert RelaxSettings() == RelaxSettings(pressure=0.0)
    plain, zero = (
        relax_one(rocksalt(3.9), get_potential("toy").calculator(), s) for s in (RelaxSettings(0.2), SINGLE_POINT)
    )
    again = relax_one(rocksalt(3.9), get_potential("toy").calculator(), RelaxSettings(0.2, pressure=0.0))
    assert plain.energy_per_atom == again.energy_per_atom and plain.structure == again.structure
    assert zero.evaluations == 1 and zero.structure == rocksalt(3.9)


@pytest.mark.parametrize("edge", [3.7, 4.1, 4.6])
@pytest.mark.parametrize("pressure", [0.5, 10.0, 100.0])
def test_a_single_point_is_the_lowest_enthalpy_of_the_crystal_compressed_as_a_whole(edge, pressure):
    single_point = replace(SINGLE_POINT, pressure=pressure)
    result = relax_one(rocksalt(edge), get_potential("toy").calculator(), single_point)
    enthalpy, volume = scan(rocksalt(), "toy", pressure)
    assert result.energy_per_atom == pytest.approx(enthalpy, abs=2e-3) and result.energy_per_atom >= enthalpy - 1e-6
    assert result.structure.volume / len(result.structure) == pytest.approx(volume, rel=0.015)
    assert result.evaluations <= 12
    assert np.allclose(result.structure.frac_coords, rocksalt(edge).frac_coords)


@given(st.floats(-1.5, 1.0), st.floats(0.5, 50), st.floats(-0.3, 0.3))
def test_the_search_of_a_volume_finds_the_minimum_near_which_it_starts(lowest, stiffness, skew):
    asked = []

    def enthalpy(x):
        asked.append(x)
        return stiffness * (x - lowest) ** 2 * (1 + skew * np.tanh(x - lowest))

    found = find_lowest(enthalpy)
    assert found in asked and enthalpy(found) == min(map(enthalpy, set(asked)))
    assert abs(found - lowest) < 2 * SAME_VOLUME


def test_a_volume_at_which_there_is_no_energy_ends_the_search_before_it():
    def enthalpy(x):
        return (x + 0.5) ** 2 if x > -0.45 else float("inf")

    assert -0.45 < find_lowest(enthalpy) < -0.3


def test_a_single_point_in_a_worker_process_is_the_same():
    [result] = single_points([rocksalt(4.0)], "toy", workers=1, pressure=10.0)
    single_point = replace(SINGLE_POINT, pressure=10.0)
    alone = relax_one(rocksalt(4.0), get_potential("toy").calculator(), single_point)
    assert (result.energy_per_atom, result.evaluations) == (alone.energy_per_atom, alone.evaluations)


def test_a_cell_that_is_kept_has_no_enthalpy():
    with pytest.raises(InputError, match="has no enthalpy at 5 GPa: give a solid"):
        relax_many([rocksalt()], "toy", RelaxSettings(pressure=5.0), fixed_cell=True)


def test_batches_on_a_gpu_refuse_a_pressure(monkeypatch):
    monkeypatch.setattr("imatgen_flows.energetics.batched.batching_obstacle", lambda *_: "")
    with pytest.raises(InputError, match="know no pressure, and 5 GPa is asked for"):
        relax_batched([rocksalt()], "toy", RelaxSettings(pressure=5.0))


def test_a_crystal_may_shrink_more_under_a_pressure_than_without():
    soft = rocksalt(4.1 * 4 ** (1 / 3))
    plain = relax_one(soft, get_potential("toy").calculator(), RelaxSettings(0.1, 500, 0.0))
    pressed = relax_one(soft, get_potential("toy").calculator(), RelaxSettings(0.1, 500, 0.0, pressure=20.0))
    assert (plain.state, plain.reason) != ("relaxed", "") and pressed.state == "relaxed"
    assert 3 < soft.volume / pressed.structure.volume < COMPRESSION


def test_an_enthalpy_is_energy_and_pressure_times_volume():
    assert enthalpy_per_atom(-8.0, 12.0, 10.0) == pytest.approx(-8.0 + 0.0624150907 * 12)
    assert scale_at("chgnet 0.3.0", 0.0) == "chgnet 0.3.0" != scale_at("chgnet 0.3.0", 12.5)
