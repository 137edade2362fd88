"""Checks of finished DFT calculations: every document of VASP or of a force field is accepted or refused here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.energetics.dft_result import CalculationResult, DFTResult, Refusal
from imatgen_flows.energetics.mp_settings import hubbard_fault, potcar_fault, prescribed_u
from imatgen_flows.energetics.pressure import KILOBAR, enthalpy_per_atom

if TYPE_CHECKING:
    from emmet.core.tasks import TaskDoc

    from imatgen_flows.energetics.backends import Backend

STAND_IN = "STANDIN"  # in the version of a program that imitates VASP


def check_task_document(
    task: TaskDoc | Mapping[str, Any],
    backend: Backend,
    *,
    fmax: float,
    allow_stand_in: bool = False,
    pressure: float = 0.0,
) -> DFTResult | Refusal:
    """Accept or refuse the document of a relaxation or a static calculation by VASP.

    The state of a document is "successful" more often than it should be: after a stop near the walltime, without an
    energy, or with large forces where VASP converges on the energy. Everything that decides is therefore checked here,
    in the order of `Refusal.reason`; the first fault is reported.

    Parameters
    ----------
    task : document of emmet, or its plain form as a store returns it
    backend : whose run type, U and pseudopotentials are required
    fmax : largest force allowed at the last ionic step, eV/A
    allow_stand_in : accept a program that only imitates VASP, in tests
    pressure : GPa. A relaxation must have had it as PSTRESS; to the energy of a static calculation, which has none, pV is
        added here: with PSTRESS, whether VASP's energy holds pV depends on where in its output it is read

    Returns
    -------
    DFTResult, or the Refusal; no document raises, however little is in it
    """
    try:
        record = _Record(task)
    except _UnreadableError as fault:
        return Refusal("unreadable", str(fault))
    refusal = (
        _stand_in_refusal(record, allow_stand_in)
        or _interruption(record)
        or _missing_results(record)
        or _other_settings(record, backend)
        or _other_pressure(record, pressure)
    )
    if refusal:
        return refusal
    largest = record.largest_force
    if not largest <= fmax:
        return Refusal(
            "not_converged",
            f"the largest force at the last of {record.ionic_steps} ionic steps is {largest:.4g} eV/A, above the "
            f"tolerance of {fmax:g} eV/A.",
        )
    return DFTResult(
        structure=record.structure,
        energy_per_atom=record.energy / len(record.structure)
        if record.pstress or not pressure
        else _enthalpy(record.structure, record.energy / len(record.structure), pressure),
        fmax=largest,
        run_type=record.run_type,
        hubbards=record.hubbards,
        potcar_spec=record.potcar_spec,
        ionic_steps=record.ionic_steps,
        gap=record.gap,
        magnetisation=record.magnetisation,
        directory=record.directory,
        vasp_version=record.vasp_version,
    )


def check_force_field_document(
    task: Any, backend: Backend, *, fmax: float, allow_stand_in: bool = False, pressure: float = 0.0
) -> CalculationResult | Refusal:
    """Accept or refuse the document of a relaxation by a force field of atomate2; see `check_task_document`."""
    document = task if isinstance(task, Mapping) else task.model_dump()
    output = document["output"]
    largest = max(sum(x * x for x in force) ** 0.5 for force in output["forces"])
    if not np.isfinite(output["energy_per_atom"]):
        return Refusal("energy_not_finite", f"the energy is {output['energy_per_atom']} eV/atom.")
    if not largest <= fmax:  # NaN included
        return Refusal("not_converged", f"largest force {largest:.3f} eV/A (limit {fmax:g})")
    try:
        structure = _structure(output.get("structure") or output.get("mol_or_struct"))
    except _UnreadableError as fault:
        return Refusal("unreadable", str(fault))
    return CalculationResult(structure, _enthalpy(structure, output["energy_per_atom"], pressure), largest)


def _enthalpy(structure: Structure, energy: float, pressure: float) -> float:
    """Add pV to an energy (eV/atom) at a pressure in GPa."""
    return enthalpy_per_atom(energy, structure.volume / len(structure), pressure) if pressure else energy


def ionic_evaluations(task: TaskDoc | Mapping[str, Any]) -> int:
    """Count the evaluations of energy and forces in a document: ionic steps, summed over its calculations.

    Attempts that custodian discarded are not in the document, and not counted. For a force field they are the steps of
    its relaxation, the last of which atomate2 lists twice.
    """
    steps = sum(_steps(calculation) for calculation in _sequence(_dig(task, "calcs_reversed")))
    listed = _number(_dig(task, "output", "n_steps"))
    return steps or (max(1, int(listed) - 1) if np.isfinite(listed) else 0)


def _stand_in_refusal(record: _Record, allow_stand_in: bool) -> Refusal | None:
    if STAND_IN in record.vasp_version.upper() and not allow_stand_in:
        return Refusal("stand_in", f"version {record.vasp_version} is a stand-in for tests; its energies mean nothing.")
    return None


def _interruption(record: _Record) -> Refusal | None:
    force = "unknown" if record.forces is None else f"{record.largest_force:.4g} eV/A"
    then = f"at ionic step {record.ionic_steps}; the largest force was {force}"
    if record.walltime:
        return Refusal("walltime", f"custodian stopped VASP before the walltime ({record.walltime}) {then}.")
    if record.stopped:
        return Refusal("stopped", f"a STOPCAR ended VASP {then}.")
    if record.state != "successful":
        return Refusal("not_successful", f"the state of the document is `{record.state}` {then}.")
    return None


def _missing_results(record: _Record) -> Refusal | None:
    sites = len(record.structure)
    if not np.isfinite(record.energy):
        return Refusal("energy_not_finite", f"the energy is {record.energy} eV for {sites} sites.")
    if record.forces is None:
        return Refusal("no_forces", f"the last ionic step does not hold {sites} finite forces, one for each site.")
    if record.stress is None:
        return Refusal("no_stress", "the last ionic step does not hold the 3 x 3 finite numbers of a stress.")
    if not np.isfinite(record.gap):
        return Refusal("no_gap", "there is no band gap: eigenvalues or density of states are missing.")
    return None


def _other_settings(record: _Record, backend: Backend) -> Refusal | None:
    composition = record.structure.composition
    wanted_u = prescribed_u(composition, backend)
    wanted_run = backend.run_types[-1 if wanted_u else 0]
    if record.run_type != wanted_run:
        return Refusal(
            "wrong_run_type",
            f"the run type is {record.run_type}, expected {wanted_run} for {composition.reduced_formula}.",
        )
    if fault := potcar_fault(composition, [spec["titel"] for spec in record.potcar_spec], backend):
        return Refusal("wrong_potcar", fault)
    if fault := hubbard_fault(composition, record.hubbards, wanted_u):
        return Refusal("wrong_u", fault)
    return None


def _other_pressure(record: _Record, pressure: float) -> Refusal | None:
    wanted = pressure * KILOBAR if record.relaxes else 0.0
    if abs(record.pstress - wanted) > 1e-6 * max(1.0, wanted):
        kind = "relaxation" if record.relaxes else "static calculation"
        return Refusal("wrong_pressure", f"PSTRESS is {record.pstress:g} kB, expected {wanted:g} kB in a {kind}.")
    return None


class _UnreadableError(Exception):
    """A document lacks what is needed to check it; the message says what."""


class _Record:
    """Values of a document, or of its plain form, that decide; NaN or None where a number is missing."""

    def __init__(self, task: Any) -> None:
        last = _dig(task, "calcs_reversed", 0)
        if last is None:
            raise _UnreadableError("the document holds no calculation (`calcs_reversed` is empty).")
        self.structure = _structure(_dig(task, "structure") or _dig(task, "output", "structure"))
        self.vasp_version = self._text(_dig(task, "vasp_version") or _dig(last, "vasp_version"), "the version of VASP")
        self.state = self._text(_dig(task, "state"), "the state")
        self.run_type = self._text(_dig(task, "run_type") or _dig(last, "run_type"), "the run type")
        self.directory = str(_dig(task, "dir_name") or _dig(last, "dir_name") or "")
        stopped = _dig(last, "output", "outcar", "is_stopped")
        if stopped is None:
            raise _UnreadableError("the document does not say whether a STOPCAR ended VASP: OUTCAR was not parsed.")
        self.stopped = bool(stopped)
        self.walltime = _walltime(task)
        self.potcar_spec = _potcar_spec(last)
        self.hubbards = _hubbards(last)
        self.ionic_steps = ionic_evaluations(task)
        incar = _dig(last, "input", "incar") or {}
        self.pstress = float(_dig(incar, "PSTRESS") or 0.0)  # kB
        self.relaxes = bool(_dig(incar, "NSW")) and _dig(incar, "IBRION") != -1
        self.energy = _number(_dig(task, "output", "energy"))
        self.gap = _number(_dig(task, "output", "bandgap"))
        steps = _sequence(_dig(last, "output", "ionic_steps"))
        final = steps[-1] if steps else _dig(task, "output")  # steps may be stored elsewhere, as a trajectory
        self.forces = _array(_dig(final, "forces"), (len(self.structure), 3))
        self.stress = _array(_dig(final, "stress"), (3, 3))
        magnetisation = _number(_dig(last, "output", "outcar", "total_magnetization"))
        self.magnetisation = magnetisation if np.isfinite(magnetisation) else None

    @property
    def largest_force(self) -> float:
        return float("nan") if self.forces is None else float(np.linalg.norm(self.forces, axis=1).max())

    @staticmethod
    def _text(value: Any, what: str) -> str:
        if not isinstance(value, str) or not value:
            raise _UnreadableError(f"the document does not give {what}.")
        return value


def _dig(document: Any, *path: str | int) -> Any:
    """Follow keys, attributes and indices; return None where one is missing, and the value of an enumeration."""
    for step in path:
        if isinstance(step, int):
            items = _sequence(document)
            document = items[step] if step < len(items) else None
        else:
            document = document.get(step) if isinstance(document, Mapping) else getattr(document, step, None)
    return document.value if isinstance(document, Enum) else document


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _array(value: Any, shape: tuple[int, int]) -> np.ndarray | None:
    try:
        numbers = np.array(value, dtype=float)
    except (TypeError, ValueError):
        return None
    return numbers if numbers.shape == shape and np.isfinite(numbers).all() else None


def _structure(value: Any) -> Structure:
    if isinstance(value, Structure) and len(value):
        return value
    try:
        structure = Structure.from_dict(value)
    except Exception as error:  # whatever a damaged structure makes pymatgen raise
        raise _UnreadableError(f"the document holds no structure that can be read ({type(error).__name__}).") from error
    if not len(structure):
        raise _UnreadableError("the structure of the document has no sites.")
    return structure


def _steps(calculation: Any) -> int:
    steps = _sequence(_dig(calculation, "output", "ionic_steps"))
    return len(steps) or len(_sequence(_dig(calculation, "output", "num_electronic_steps")))


def _walltime(task: Any) -> str:
    """Return the error with which custodian stopped VASP before the walltime; empty where it did not."""
    for run in _sequence(_dig(task, "custodian")):
        for correction in _sequence(_dig(run, "corrections")):
            errors = _dig(correction, "errors")
            text = ", ".join(map(str, _sequence(errors))) or str(errors)
            if "walltime" in text.lower():
                return text
    return ""


def _potcar_spec(calculation: Any) -> tuple[dict[str, Any], ...]:
    specs = [
        {"titel": _dig(spec, "titel"), "hash": _dig(spec, "hash")}
        for spec in _sequence(_dig(calculation, "input", "potcar_spec"))
    ]
    return tuple(spec for spec in specs if isinstance(spec["titel"], str))


def _hubbards(calculation: Any) -> dict[str, float]:
    values = _dig(calculation, "input", "hubbards")
    if not _dig(calculation, "input", "is_hubbard") or not isinstance(values, Mapping):
        return {}
    return {str(symbol): _number(u) for symbol, u in values.items() if _number(u) != 0}
