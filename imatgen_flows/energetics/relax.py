"""Relaxation of crystals with a potential; each is isolated, so that a failure is that of one structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.compression import find_lowest
from imatgen_flows.energetics.guard import COMPRESSION, PROPERTIES, VOLUME_CHANGE, StoppedError, guarded
from imatgen_flows.energetics.isolated import PotentialWorkers
from imatgen_flows.energetics.known_ends import CHECK_EVERY, FIRST_CHECK, KNOWN_END, EndCheck, KnownEnd
from imatgen_flows.energetics.optimisers import OPTIMISER, OPTIMISERS
from imatgen_flows.energetics.potential_registry import DEFAULT_POTENTIAL, Potential
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.energetics.pressure import enthalpy_per_atom
from imatgen_flows.errors import InputError
from imatgen_flows.parallel import Tick

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator


@dataclass
class Relaxation:
    """Result of a relaxation or a single point.

    Attributes
    ----------
    structure : the end of the relaxation; None if rejected, but for ``not_converged``, where it is the last step's
    energy_per_atom : eV/atom, on the potential's scale (corrections applied); at a pressure the enthalpy, E + pV; None as
        `structure` is
    fmax : eV/A, largest force on an atom or, where the cell is free, generalised force on the cell, in which stress and
        pressure balance
    steps : steps of the optimiser
    evaluations : energy-and-force evaluations that were spent, those before a failure included
    state : ``relaxed`` (done) or ``rejected``
    reason : ``not_converged``, ``known_end``, ``not_finite``, ``diverged``, ``crashed``, ``timed_out`` or ``error``; empty if
        done
    detail : for people
    seconds : wall time
    """

    structure: Structure | None = None
    energy_per_atom: float | None = None
    fmax: float | None = None
    steps: int = 0
    evaluations: int = 0
    state: Literal["relaxed", "rejected"] = "relaxed"
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0


FindEnd = Callable[[Structure, float], str]  # crystal, eV/atom -> name of the known crystal that it is; empty if none
Evaluator = Callable[[Mapping[str, Structure]], Mapping[str, Relaxation]]  # structures by name -> results by name


@dataclass(frozen=True)
class RelaxSettings:
    """Settings of a relaxation by an optimiser of ASE and a Frechet cell filter.

    A symmetric structure may be at a saddle point, where its forces vanish; therefore the atoms are first displaced by
    a little noise, the same for the same seed.

    Attributes
    ----------
    fmax : a structure is relaxed when the largest force, of atoms and cell, is below it, eV/A
    max_steps : steps of the optimiser; zero means a single point
    rattle : standard deviation of the initial displacements, A
    seed : of these displacements
    optimiser : name of one of `OPTIMISERS`
    pressure : GPa, on a free cell; of a single point, see `single_points`
    """

    fmax: float = 0.05
    max_steps: int = 500
    rattle: float = 0.01
    seed: int = 0
    optimiser: str = OPTIMISER
    pressure: float = 0.0


DEFAULT = RelaxSettings()
SINGLE_POINT = RelaxSettings(max_steps=0, rattle=0.0)


@dataclass(frozen=True)
class Task:
    """One structure to be relaxed, for a worker process."""

    structure: Structure
    settings: RelaxSettings
    fixed_cell: bool = False
    ends: tuple[KnownEnd, ...] = ()


def relax_many(
    structures: Sequence[Structure],
    potential: str | Potential = DEFAULT_POTENTIAL,
    settings: RelaxSettings = DEFAULT,
    *,
    fixed_cell: bool | Sequence[bool] = False,
    workers: int | None = None,
    timeout: float | None = None,
    device: str = "cpu",
    on_result: Callable[[int, Relaxation], None] | None = None,
) -> list[Relaxation]:
    """Relax structures in worker processes, each isolated from the others.

    Parameters
    ----------
    structures : ordered crystals
    potential : see `get_potential`
    settings : of the relaxation
    fixed_cell : keep the cell; for all structures, or one flag each (a molecule in a box keeps it)
    workers : processes, each with one thread; where None, one for each core that this process may use
    timeout : time limit of one structure, s; where None, that of the potential
    device : where the potential runs
    on_result : called with index and result when a structure ends, in any order

    Returns
    -------
    one `Relaxation` a structure, in the order of the structures

    Raises
    ------
    InputError
        Where the potential is not known or not installed.
    ImatgenError
        Where the potential cannot be loaded. Nothing that a structure does raises.
    """
    return run_tasks(relax_tasks(structures, settings, fixed_cell), potential, workers, timeout, device, on_result)


def single_points(
    structures: Sequence[Structure],
    potential: str | Potential = DEFAULT_POTENTIAL,
    workers: int | None = None,
    timeout: float = 300.0,
    device: str = "cpu",
    on_result: Callable[[int, Relaxation], None] | None = None,
    pressure: float = 0.0,
) -> list[Relaxation]:
    """Calculate the energies of unrelaxed structures, without forces; see `relax_many`. A success is ``relaxed``.

    At a pressure (GPa) the result is the lowest enthalpy that a structure has when it is compressed as a whole, its
    fractional coordinates kept, in five to ten evaluations. The volume of a structure that was made for zero pressure says
    nothing there: with it, pV would decide, 0.6 eV/atom at 10 GPa for each 10 A^3 that it is off.
    """
    settings = replace(SINGLE_POINT, pressure=pressure)
    return run_tasks(relax_tasks(structures, settings, not pressure), potential, workers, timeout, device, on_result)


def relax_tasks(
    structures: Sequence[Structure],
    settings: RelaxSettings,
    fixed_cell: bool | Sequence[bool],
    ends: Sequence[Sequence[KnownEnd]] | None = None,
) -> list[Task]:
    """Make one task a structure.

    Parameters
    ----------
    structures, settings, fixed_cell : as in `relax_many`
    ends : for each structure, crystals relaxed before; a relaxation that falls into one of them is stopped

    Raises
    ------
    InputError
        Where the number of flags `fixed_cell` is not that of the structures, or a cell is fixed under a pressure.
    """
    known = [()] * len(structures) if ends is None else [tuple(item) for item in ends]
    fixed = [fixed_cell] * len(structures) if isinstance(fixed_cell, bool) else list(fixed_cell)
    if len(fixed) != len(structures):
        raise InputError(f"fixed_cell has {len(fixed)} flags for {len(structures)} structures; give one each.")
    if settings.pressure and any(fixed):
        raise InputError(
            f"a cell that is kept, as that of a molecule in a box, has no enthalpy at {settings.pressure:g} GPa: "
            "give a solid."
        )
    return [
        Task(structure, settings, flag, item) for structure, flag, item in zip(structures, fixed, known, strict=True)
    ]


def relax_one(
    structure: Structure,
    calculator: Calculator,
    settings: RelaxSettings = DEFAULT,
    *,
    fixed_cell: bool = False,
    tick: Tick = lambda: None,
    find_end: FindEnd | None = None,
) -> Relaxation:
    """Relax one structure in this process with an ASE calculator.

    `tick` is called before each evaluation. `find_end` names the known crystal that a structure at an energy has fallen
    into, which stops the relaxation. The evaluations in the result are those counted here. Exceptions of the
    calculator are not caught.
    """
    from ase.filters import FrechetCellFilter
    from ase.units import GPa
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.calc = guard = guarded(
        calculator,
        tick,
        PROPERTIES if settings.max_steps else PROPERTIES[:1],
        COMPRESSION if settings.pressure else VOLUME_CHANGE,
    )
    if not settings.max_steps:
        return _single_point(structure, atoms, guard, settings.pressure)
    if settings.rattle and len(atoms) > 1:
        atoms.rattle(settings.rattle, seed=settings.seed)
    target = atoms if fixed_cell else FrechetCellFilter(atoms, scalar_pressure=settings.pressure * GPa)
    optimiser = OPTIMISERS[settings.optimiser].start(target)
    if find_end is not None:
        optimiser.attach(_stop_at_known_end, CHECK_EVERY, optimiser, atoms, structure, find_end, settings.pressure)
    try:
        converged = optimiser.run(fmax=settings.fmax, steps=settings.max_steps)
    except StoppedError as stop:
        return Relaxation(
            steps=optimiser.nsteps,
            evaluations=guard.evaluations,
            state="rejected",
            reason=stop.reason,
            detail=stop.detail,
        )
    force = float(np.linalg.norm(target.get_forces(), axis=1).max())
    result = Relaxation(
        structure=_structure_of(atoms, structure),
        energy_per_atom=_enthalpy(atoms, settings.pressure),
        fmax=force,
        steps=optimiser.nsteps,
        evaluations=guard.evaluations,
    )
    if not converged:
        result.state, result.reason = "rejected", "not_converged"
        result.detail = f"largest force {force:.3f} eV/A after {result.steps} steps (limit {settings.fmax:g})"
    return result


def _stop_at_known_end(optimiser: Any, atoms: Atoms, start: Structure, find_end: FindEnd, pressure: float) -> None:
    """Stop a relaxation that has fallen into a known crystal.

    Raises
    ------
    StoppedError
        Where it has; the message names the crystal.
    """
    if optimiser.nsteps < FIRST_CHECK:
        return
    structure = _structure_of(atoms, start)
    if name := find_end(structure, _enthalpy(atoms, pressure)):
        raise StoppedError(KNOWN_END, f"after {optimiser.nsteps} steps it is {name}, which was relaxed before")


def _structure_of(atoms: Atoms, start: Structure) -> Structure:
    return Structure(Lattice(atoms.cell[:]), start.species, atoms.positions, coords_are_cartesian=True)


def _enthalpy(atoms: Atoms, pressure: float) -> float:
    """Return E + pV, eV/atom, at a pressure in GPa: the energy where that is zero."""
    energy = float(atoms.get_potential_energy()) / len(atoms)
    return enthalpy_per_atom(energy, float(atoms.get_volume()) / len(atoms), pressure) if pressure else energy


def _single_point(structure: Structure, atoms: Atoms, guard: Any, pressure: float) -> Relaxation:
    """Calculate the energy alone, which takes many potentials a quarter of the time."""
    try:
        energy = _enthalpy(atoms, pressure)
        if pressure:
            structure, energy = _compress(structure, atoms, pressure, energy)
    except StoppedError as stop:
        return Relaxation(evaluations=guard.evaluations, state="rejected", reason=stop.reason, detail=stop.detail)
    return Relaxation(structure=structure, energy_per_atom=energy, evaluations=guard.evaluations)


def _compress(structure: Structure, atoms: Atoms, pressure: float, energy: float) -> tuple[Structure, float]:
    """Compress a structure as a whole until its enthalpy is lowest; `energy` is that at its own volume."""
    cell, found = atoms.cell[:].copy(), {0.0: energy}

    def enthalpy(change: float) -> float:
        atoms.set_cell(cell * np.exp(change / 3), scale_atoms=True)
        if change not in found:
            try:
                found[change] = _enthalpy(atoms, pressure)
            except StoppedError:  # at a volume that is only tried
                found[change] = float("inf")
        return found[change]

    lowest = find_lowest(enthalpy)
    lattice = Lattice(structure.lattice.matrix * np.exp(lowest / 3))
    return Structure(lattice, structure.species, structure.frac_coords), found[lowest]


def run_tasks(
    tasks: list[Task],
    potential: str | Potential,
    workers: int | None = None,
    timeout: float | None = None,
    device: str = "cpu",
    on_result: Callable[[int, Relaxation], None] | None = None,
) -> list[Relaxation]:
    """Relax the structures of tasks in worker processes; see `relax_many`."""
    started = PotentialWorkers(get_potential(potential), workers, timeout, device)
    return started.results(_relaxer, tasks, _rejected, on_result, cost=lambda task: len(task.structure))


def _rejected(reason: str, detail: str) -> Relaxation:
    return Relaxation(state="rejected", reason=reason, detail=detail)


def _relaxer(potential: Potential, device: str) -> Callable[[Task, Tick], Relaxation]:
    """Load the potential, once in each worker."""
    return partial(_relax_task, potential, potential.calculator(device))


def _relax_task(potential: Potential, calculator: Calculator, task: Task, tick: Tick) -> Relaxation:
    correction = potential.correction_per_atom(task.structure)
    check = EndCheck(task.ends) if task.ends else None

    def find_end(structure: Structure, energy: float) -> str:
        return check.find(structure, energy + correction) if check else ""

    result = relax_one(
        task.structure,
        calculator,
        task.settings,
        fixed_cell=task.fixed_cell,
        tick=tick,
        find_end=find_end if check else None,
    )
    if result.structure is not None and result.energy_per_atom is not None:
        result.energy_per_atom += potential.correction_per_atom(result.structure)
    return result
