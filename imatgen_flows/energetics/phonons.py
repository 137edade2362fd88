"""Phonons of crystals by finite displacements with a potential; each structure is isolated from the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from imatgen_flows.energetics.guard import VOLUME_CHANGE, StoppedError, guarded
from imatgen_flows.energetics.isolated import PotentialWorkers
from imatgen_flows.energetics.phonon_cells import (
    PhononSettings,
    phonon_cost,
    phonopy_of,
    primitive_standard_cell,
)
from imatgen_flows.energetics.phonon_checks import (
    Checks,
    check_interpolated,
    is_long_wave,
    lowest_elastic_constant,
)
from imatgen_flows.energetics.phonon_spectrum import STABLE_ABOVE, DensityOfStates, PhononBands, Spectrum, read_spectrum
from imatgen_flows.energetics.potentials import Potential, get_potential
from imatgen_flows.energetics.relax import Relaxation, RelaxSettings, relax_one
from imatgen_flows.energetics.soft_mode import SoftMode, soft_mode_of
from imatgen_flows.parallel import Tick

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

TIMEOUT = 3600.0  # s, of one structure
SYMMETRY_ROUNDS = 3  # relaxations, each in the symmetry that the one before it found
DEFAULT = PhononSettings()


@dataclass
class PhononResult:
    """Phonons of one structure.

    Attributes
    ----------
    structure : the primitive standard cell, as relaxed tightly; None where it was not
    energy_per_atom : of it, eV/atom, on the potential's scale; at a pressure the enthalpy
    is_stable : whether `lowest_frequency` is above `STABLE_ABOVE`; None where there are no phonons
    lowest_frequency : THz, of the whole zone but for the translations at Gamma; an imaginary frequency is negative, and
        that of a wave that fits into the supercell. What interpolation alone makes imaginary was checked, and is replaced by
        what was computed
    wave_vector : of it, in the reciprocal basis of the cell
    lowest_interpolated : THz, of the whole zone as interpolated, without such a check
    free_energy : eV/atom, vibrational and harmonic, at 300 K; None where a mode is imaginary
    bands, density : for a report
    supercell : its matrix; rows are its edges in those of the cell
    supercell_atoms, displacements : size of a supercell, and the number of displaced ones
    soft_mode : the softest mode of those that nothing was interpolated for; None where none is imaginary
    evaluations : energy-and-force evaluations that were spent, those of the relaxation and those before a failure included
    relaxation_evaluations, check_evaluations : those of the relaxation, and of the check of what is interpolated
    state : ``computed`` or ``rejected``
    reason : ``disordered``, ``no_solid`` or ``too_large``, before anything was spent; or as those of a `Relaxation`
    detail : for people; of what was computed, what must be known of it
    seconds : wall time
    """

    structure: Structure | None = None
    energy_per_atom: float | None = None
    is_stable: bool | None = None
    lowest_frequency: float | None = None
    wave_vector: list[float] = field(default_factory=list)
    lowest_interpolated: float | None = None
    free_energy: float | None = None
    bands: PhononBands = field(default_factory=PhononBands)
    density: DensityOfStates = field(default_factory=DensityOfStates)
    supercell: list[list[int]] = field(default_factory=list)
    supercell_atoms: int = 0
    displacements: int = 0
    soft_mode: SoftMode | None = None
    evaluations: int = 0
    relaxation_evaluations: int = 0
    check_evaluations: int = 0
    state: Literal["computed", "rejected"] = "computed"
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0


def phonons_of_many(
    structures: Sequence[Structure],
    potential: str | Potential = "chgnet",
    settings: PhononSettings = DEFAULT,
    *,
    workers: int | None = None,
    timeout: float = TIMEOUT,
    device: str = "cpu",
    on_result: Callable[[int, PhononResult], None] | None = None,
) -> list[PhononResult]:
    """Relax structures tightly and compute their phonons in worker processes, each isolated from the others.

    Parameters
    ----------
    structures : crystals
    potential : see `get_potential`
    settings : of relaxation and displacements
    workers : processes, each with one thread; where None, one for each core that this process may use
    timeout : time limit of one structure, s
    device : where the potential runs
    on_result : called with index and result when a structure ends, in any order

    Returns
    -------
    one `PhononResult` a structure, in the order of the structures

    Raises
    ------
    InputError
        Where the potential is not known or not installed.
    ImatgenError
        Where the potential cannot be loaded. Nothing that a structure does raises.
    """
    results: dict[int, PhononResult] = {}

    def add(index: int, result: PhononResult) -> None:
        results[index] = result
        if on_result:
            on_result(index, result)

    def displaced_atoms(structure: Structure) -> int:
        cost = phonon_cost(structure, settings)
        return cost.supercell_atoms * cost.displacements

    for index, cost in enumerate(phonon_cost(structure, settings) for structure in structures):
        if cost.obstacle:
            add(index, _rejected(cost.obstacle, cost.detail))
    waiting = [index for index in range(len(structures)) if index not in results]
    started = PotentialWorkers(get_potential(potential), workers, timeout, device)
    started.results(
        _computer,
        [structures[index] for index in waiting],
        _rejected,
        lambda place, result: add(waiting[place], result),
        settings,
        cost=displaced_atoms,
    )
    return [results[index] for index in range(len(structures))]


def _rejected(reason: str, detail: str) -> PhononResult:
    return PhononResult(state="rejected", reason=reason, detail=detail)


def phonons_of_one(
    structure: Structure, calculator: Calculator, settings: PhononSettings = DEFAULT, tick: Tick = lambda: None
) -> PhononResult:
    """Relax one structure tightly and compute its phonons, in this process, with an ASE calculator.

    `tick` is called before each evaluation. Exceptions of the calculator are not caught.
    """
    cost = phonon_cost(structure, settings)
    if cost.obstacle:
        return _rejected(cost.obstacle, cost.detail)
    relaxed = relax_tightly(structure, calculator, settings, tick)
    found = PhononResult(evaluations=relaxed.evaluations, relaxation_evaluations=relaxed.evaluations)
    if relaxed.state != "relaxed" or relaxed.structure is None:
        return replace(found, state="rejected", reason=relaxed.reason, detail=relaxed.detail)
    cell = relaxed.structure
    cost = phonon_cost(cell, settings)  # of the symmetry that it has now
    if cost.obstacle:
        return replace(
            found, structure=cell, state="rejected", reason=cost.obstacle, detail=f"as relaxed: {cost.detail}"
        )
    found = replace(
        found,
        structure=cell,
        energy_per_atom=relaxed.energy_per_atom,
        supercell=[list(row) for row in cost.supercell],
        supercell_atoms=cost.supercell_atoms,
        displacements=cost.displacements,
    )
    try:
        phonon = force_constants(cell, cost.supercell, calculator, settings, tick)
        found.evaluations += cost.displacements
        spectrum = read_spectrum(phonon, settings.mesh)
        checks = None
        if spectrum.lowest <= STABLE_ABOVE < spectrum.lowest_commensurate:
            checks = _check(found, spectrum, phonon, calculator, settings, tick)
    except StoppedError as stop:
        return replace(found, state="rejected", reason=stop.reason, detail=f"of a displaced supercell: {stop.detail}")
    found.evaluations += found.check_evaluations
    return decide_stability(found, spectrum, phonon, checks)


def _check(
    found: PhononResult, spectrum: Spectrum, phonon: Any, calculator: Calculator, settings: PhononSettings, tick: Tick
) -> Checks:
    """Check what interpolation alone makes imaginary, and count the evaluations."""
    cell = found.structure
    assert cell is not None

    def counted() -> None:
        tick()
        found.check_evaluations += 1

    def compute(matrix: NDArray[np.int64]) -> Any:
        return force_constants(cell, matrix, calculator, settings, counted)

    points = check_interpolated(phonon, STABLE_ABOVE, compute)
    checks = Checks(points, is_long=is_long_wave(spectrum.wave_vector, found.supercell))
    if checks.confirmed(STABLE_ABOVE) is None:
        checks.elastic = lowest_elastic_constant(cell, calculator, settings, counted)
    return checks


def relax_tightly(
    structure: Structure, calculator: Calculator, settings: PhononSettings, tick: Tick = lambda: None
) -> Relaxation:
    """Relax a structure, with its cell, in its primitive standard cell and in its symmetry, without noise.

    The symmetry that it has at the end may be a higher one: then it is relaxed again in that.
    """
    tight = RelaxSettings(fmax=settings.fmax, max_steps=settings.max_steps, rattle=0.0, pressure=settings.pressure)
    cell, spent, steps = primitive_standard_cell(structure, settings.symprec), 0, 0
    for _ in range(SYMMETRY_ROUNDS):
        result = relax_one(cell, calculator, tight, tick=tick)
        spent, steps = spent + result.evaluations, steps + result.steps
        if result.state != "relaxed" or result.structure is None:
            break
        before, cell = cell, primitive_standard_cell(result.structure, settings.symprec)
        if len(cell) == len(before) and _group(cell) == _group(before):
            break
    if result.state == "relaxed":
        result.structure = cell
    return replace(result, evaluations=spent, steps=steps)


def force_constants(
    cell: Structure, supercell: Any, calculator: Calculator, settings: PhononSettings, tick: Tick = lambda: None
) -> Any:
    """Compute the forces in each displaced supercell, and from them force constants that obey sum rule and symmetry.

    Rows of the matrix `supercell` are edges of the supercell in those of the primitive `cell`.

    Raises
    ------
    StoppedError
        Where an energy or a force is unphysical.
    """
    from ase import Atoms

    phonon = phonopy_of(cell, supercell)
    phonon.generate_displacements(distance=settings.displacement)
    guard = guarded(calculator, tick, ("energy", "forces"), VOLUME_CHANGE)
    forces = []
    for displaced in phonon.supercells_with_displacements:
        atoms = Atoms(displaced.symbols, displaced.positions, cell=displaced.cell, pbc=True)
        atoms.calc = guard
        of_atoms = np.array(atoms.get_forces(), dtype=float)
        forces.append(of_atoms - of_atoms.mean(axis=0))  # forces of a potential in single precision do not quite cancel
    phonon.forces = forces
    phonon.produce_force_constants(show_drift=False)
    phonon.symmetrize_force_constants(use_symfc_projector=True, show_drift=False)
    return phonon


def decide_stability(
    found: PhononResult, spectrum: Spectrum, phonon: Any, checks: Checks | None = None
) -> PhononResult:
    """Write what the spectrum says into the result, with a note on what it cannot say.

    Parameters
    ----------
    found : the result so far
    spectrum, phonon : of the supercell
    checks : of what interpolation alone makes imaginary; None where nothing is
    """
    lowest, at, mode, note = spectrum.lowest, spectrum.wave_vector, None, ""
    if checks is None:
        if spectrum.lowest_commensurate <= STABLE_ABOVE:
            lowest, at = spectrum.lowest_commensurate, spectrum.commensurate_wave_vector
            mode = soft_mode_of(phonon, at)
    else:
        note = f"interpolated {lowest:.2f} THz at {_point(at)}, between the wave vectors of the supercell"
        confirmed = checks.confirmed(STABLE_ABOVE)
        for check in checks.points:
            note += f"; computed at {_point(check.wave_vector)} {check.exact:.2f} instead of {check.interpolated:.2f}"
        if confirmed:
            lowest, at, mode = (
                confirmed.exact,
                confirmed.wave_vector,
                soft_mode_of(confirmed.phonon, confirmed.wave_vector),
            )
        elif checks.refutes:
            lowest, at = min(
                [
                    (spectrum.lowest_commensurate, spectrum.commensurate_wave_vector),
                    *((check.exact, check.wave_vector) for check in checks.points),
                ]
            )
            note += f"; elastically stable ({checks.elastic:.0f} GPa)"
        elif checks.elastic is not None and checks.elastic <= 0:
            note += f"; elastically unstable ({checks.elastic:.0f} GPa): long acoustic waves are imaginary"
        else:
            note += f"; not checked there: a larger supercell may tell; elastically stable ({checks.elastic:.0f} GPa)"
    stable = lowest > STABLE_ABOVE
    return replace(
        found,
        is_stable=stable,
        lowest_frequency=lowest,
        wave_vector=at,
        lowest_interpolated=spectrum.lowest,
        free_energy=spectrum.free_energy if stable else None,
        bands=spectrum.bands,
        density=spectrum.density,
        soft_mode=mode,
        detail=note,
    )


def _point(wave_vector: Sequence[float]) -> str:
    return "(" + ", ".join(f"{component:.3g}" for component in wave_vector) + ")"


def _group(cell: Structure) -> int:
    return int(cell.get_space_group_info(symprec=1e-3)[1])


def _computer(potential: Potential, device: str, settings: PhononSettings) -> Callable[[Structure, Tick], PhononResult]:
    """Load the potential, once in each worker."""
    return partial(_compute, potential, potential.calculator(device), settings)


def _compute(
    potential: Potential, calculator: Calculator, settings: PhononSettings, structure: Structure, tick: Tick
) -> PhononResult:
    result = phonons_of_one(structure, calculator, settings, tick)
    if result.structure is not None and result.energy_per_atom is not None:
        result.energy_per_atom += potential.correction_per_atom(result.structure)
    return result
