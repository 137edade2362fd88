"""Imaginary modes, followed: a structure is displaced along its softest mode and relaxed to where that leads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.energetics.guard import VOLUME_CHANGE, StoppedError, guarded
from imatgen_flows.energetics.isolated import PotentialWorkers
from imatgen_flows.energetics.phonon_cells import (
    PhononSettings,
    primitive_standard_cell,
    smallest_cell,
    structure_of_phonopy,
)
from imatgen_flows.energetics.potentials import Potential, get_potential
from imatgen_flows.energetics.pressure import enthalpy_per_atom
from imatgen_flows.energetics.relax import Relaxation, RelaxSettings, relax_one
from imatgen_flows.parallel import Tick

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

AMPLITUDES = (
    0.05,
    0.1,
    0.2,
    0.4,
)  # A, largest displacement of an atom; where the energy is lowest the relaxation starts
LOWER_BY = 0.001  # eV/atom; what lies lower by less is the same within the noise of two relaxations to 0.005 eV/A
TIMEOUT = 1800.0  # s, of one mode


@dataclass
class SoftMode:
    """The softest mode of a structure, of those wave vectors at which nothing is interpolated.

    Attributes
    ----------
    frequency : THz, negative
    wave_vector : in the reciprocal basis of the primitive cell
    cell : the smallest cell into which its wave fits, not displaced
    displacements : of the atoms in it, Cartesian; the largest has length one
    """

    frequency: float
    wave_vector: list[float]
    cell: Structure
    displacements: list[list[float]]

    def displaced(self, amplitude: float) -> Structure:
        """Displace the cell along the mode, by `amplitude` (A) at most."""
        cell = self.cell
        coords = cell.cart_coords + amplitude * np.array(self.displacements)
        return Structure(cell.lattice, cell.species, coords, coords_are_cartesian=True)


@dataclass
class FollowedMode:
    """Where a soft mode leads.

    Attributes
    ----------
    structure : the primitive standard cell of the lower structure; None where none was found
    energy_per_atom : of it, eV/atom, on the potential's scale; at a pressure the enthalpy
    lowered_by : eV/atom, below the structure that it came from, without corrections; None where the relaxation failed
    amplitude : A, at which the relaxation started
    evaluations : that were spent
    state : ``lower``, ``none`` (it leads to nothing lower), or ``rejected``
    reason, detail, seconds : as those of a `Relaxation`
    """

    structure: Structure | None = None
    energy_per_atom: float | None = None
    lowered_by: float | None = None
    amplitude: float = 0.0
    evaluations: int = 0
    state: Literal["lower", "none", "rejected"] = "lower"
    reason: str = ""
    detail: str = ""
    seconds: float = field(default=0.0, compare=False)


def soft_mode_of(phonon: Any, wave_vector: Sequence[float]) -> SoftMode:
    """Find the softest mode at a wave vector, as displacements in the smallest cell into which its wave fits.

    Parameters
    ----------
    phonon : phonopy's object, with force constants
    wave_vector : fractional; a multiple of it is a lattice vector of the reciprocal lattice
    """
    point = np.array(wave_vector)
    matrix = smallest_cell(point)
    phonon.run_modulations(matrix.T, [[point, 0, 1.0, 0.0]])
    wave = np.array(phonon.modulation.modulations[0])
    # a standing wave: that phase of a complex one at which its atoms move most
    phases = np.exp(1j * np.linspace(0, np.pi, 24, endpoint=False))
    moved = max((np.real(wave * phase) for phase in phases), key=lambda u: float((u**2).sum()))
    moved = moved / np.linalg.norm(moved, axis=1).max()
    return SoftMode(
        frequency=float(phonon.get_frequencies(point)[0]),
        wave_vector=list(wave_vector),
        cell=structure_of_phonopy(phonon.modulation.supercell),
        displacements=moved.tolist(),
    )


def follow_soft_modes(
    modes: Sequence[SoftMode],
    potential: str | Potential = "chgnet",
    settings: PhononSettings = PhononSettings(),  # noqa: B008 - frozen
    *,
    workers: int | None = None,
    timeout: float = TIMEOUT,
    device: str = "cpu",
    on_result: Callable[[int, FollowedMode], None] | None = None,
) -> list[FollowedMode]:
    """Follow soft modes in worker processes, each isolated from the others; see `phonons_of_many`."""
    started = PotentialWorkers(get_potential(potential), workers, timeout, device)
    return started.results(_follower, list(modes), _rejected, on_result, settings)


def _rejected(reason: str, detail: str) -> FollowedMode:
    return FollowedMode(state="rejected", reason=reason, detail=detail)


def follow_soft_mode(
    mode: SoftMode, calculator: Calculator, settings: PhononSettings, tick: Tick = lambda: None
) -> FollowedMode:
    """Displace a structure along its softest mode, both ways, and relax it from where its energy is lowest.

    Exceptions of the calculator are not caught.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    guard = guarded(calculator, tick, ("energy",), VOLUME_CHANGE)
    energies: dict[float, float] = {}
    try:
        for amplitude in (0.0, *AMPLITUDES, *(-amplitude for amplitude in AMPLITUDES)):
            atoms = AseAtomsAdaptor.get_atoms(mode.displaced(amplitude), msonable=False)
            atoms.calc = guard
            energies[amplitude] = float(atoms.get_potential_energy()) / len(atoms)
    except StoppedError as stop:
        return FollowedMode(evaluations=guard.evaluations, state="rejected", reason=stop.reason, detail=stop.detail)
    start = min((amplitude for amplitude in energies if amplitude), key=lambda amplitude: energies[amplitude])
    # a little noise: what is left of the symmetry may be too high as well
    relax = RelaxSettings(fmax=settings.fmax, max_steps=settings.max_steps, rattle=0.01, pressure=settings.pressure)
    relaxed = relax_one(mode.displaced(start), calculator, relax, tick=tick)
    volume = mode.cell.volume / len(mode.cell)
    before = enthalpy_per_atom(energies[0.0], volume, settings.pressure)
    found = FollowedMode(amplitude=start, evaluations=guard.evaluations + relaxed.evaluations)
    return _end(found, relaxed, before, settings.symprec)


def _end(found: FollowedMode, relaxed: Relaxation, before: float, symprec: float) -> FollowedMode:
    """Write where a relaxation has ended, beside the energy of the structure that it came from (eV/atom)."""
    if relaxed.state != "relaxed" or relaxed.structure is None or relaxed.energy_per_atom is None:
        return replace(found, state="rejected", reason=relaxed.reason, detail=relaxed.detail)
    found.lowered_by = before - relaxed.energy_per_atom
    if found.lowered_by < LOWER_BY:
        detail = f"it leads to no lower structure ({1000 * found.lowered_by:.2f} meV/atom; {1000 * LOWER_BY:g} count)"
        return replace(found, state="none", detail=detail)
    cell = primitive_standard_cell(relaxed.structure, symprec)
    symbol, _ = cell.get_space_group_info(symprec=symprec)
    detail = f"{1000 * found.lowered_by:.1f} meV/atom lower, {symbol}, {len(cell)} atoms"
    return replace(found, structure=cell, energy_per_atom=relaxed.energy_per_atom, detail=detail)


def _follower(potential: Potential, device: str, settings: PhononSettings) -> Callable[[SoftMode, Tick], FollowedMode]:
    """Load the potential, once in each worker."""
    return partial(_follow, potential, potential.calculator(device), settings)


def _follow(
    potential: Potential, calculator: Calculator, settings: PhononSettings, mode: SoftMode, tick: Tick
) -> FollowedMode:
    result = follow_soft_mode(mode, calculator, settings, tick)
    if result.structure is not None and result.energy_per_atom is not None:
        result.energy_per_atom += potential.correction_per_atom(result.structure)
    return result
