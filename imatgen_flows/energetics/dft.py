"""Whether a finished DFT calculation may be believed: one gate for every document that VASP leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Composition, Structure

from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    from emmet.core.tasks import TaskDoc

MIXED = "GGA/GGA+U"  # whichever of the two the Materials Project prescribes for a composition
RUN_TYPES = ("GGA", "GGA+U", MIXED, "r2SCAN")
STAND_IN = "STANDIN"  # in the version of what only plays VASP
U_TOLERANCE = 0.005  # eV; U values are given with two decimals


@dataclass(frozen=True)
class DFTResult:
    """A calculation that passed the gate.

    Attributes
    ----------
    structure : final structure
    energy_per_atom : eV/atom, as VASP gave it, without any correction
    fmax : largest force on an atom at the last ionic step, eV/A
    run_type : ``GGA``, ``GGA+U`` or ``r2SCAN``
    hubbards : element -> U in eV; elements without U are left out
    potcar_spec : one of each pseudopotential, with its ``titel`` and ``hash``
    ionic_steps : evaluations of energy and forces
    gap : band gap, eV
    magnetisation : of the cell, Bohr magnetons; None for a calculation without spin
    directory : where VASP ran
    vasp_version : as VASP printed it
    """

    structure: Structure
    energy_per_atom: float
    fmax: float
    run_type: str
    hubbards: dict[str, float]
    potcar_spec: tuple[dict[str, Any], ...]
    ionic_steps: int
    gap: float
    magnetisation: float | None
    directory: str
    vasp_version: str


@dataclass(frozen=True)
class Refusal:
    """Why a calculation is not believed.

    Attributes
    ----------
    reason : machine readable: ``unreadable``, ``stand_in``, ``walltime``, ``stopped``, ``not_successful``,
        ``energy_not_finite``, ``no_forces``, ``no_stress``, ``no_gap``, ``wrong_run_type``, ``wrong_potcar``,
        ``wrong_u`` or ``not_converged``
    detail : a sentence with what decided
    """

    reason: str
    detail: str


def judge(
    task: TaskDoc | Mapping[str, Any],
    *,
    fmax: float,
    run_type: str = MIXED,
    allow_stand_in: bool = False,
    expected_u: Mapping[str, float] | None = None,
) -> DFTResult | Refusal:
    """Accept or refuse the document of a relaxation or a static calculation.

    A document says "successful" more often than it should: after a stop near the walltime, without an energy, or with
    large forces where VASP converges on the energy. Everything that decides is therefore looked at here, in the order
    of `Refusal.reason`; what comes first is reported.

    Parameters
    ----------
    task : of emmet, or its plain form as a store returns it
    fmax : largest force allowed at the last ionic step, eV/A
    run_type : ``GGA``, ``GGA+U``, ``r2SCAN``, or ``GGA/GGA+U`` for what the Materials Project prescribes
    allow_stand_in : believe a program that only plays VASP, in tests
    expected_u : element -> U in eV; by default that of the Materials Project for the composition

    Returns
    -------
    DFTResult, or the Refusal; no document raises, however little is in it

    Raises
    ------
    InputError
        Where `run_type` is none of these.
    """
    if run_type not in RUN_TYPES:
        raise InputError(f"run type `{run_type}` is unknown; choose from {', '.join(RUN_TYPES)}.")
    try:
        record = _Record(task)
    except _UnreadableError as fault:
        return Refusal("unreadable", str(fault))
    composition = record.structure.composition
    wanted_u = prescribed_u(composition, run_type) if expected_u is None else expected_u
    wanted_run = run_type if run_type != MIXED else ("GGA+U" if any(wanted_u.values()) else "GGA")
    refusal = (
        _honesty(record, allow_stand_in)
        or _interruption(record)
        or _gaps(record)
        or _settings(record, wanted_run, run_type, wanted_u)
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
        energy_per_atom=record.energy / len(record.structure),
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


def ionic_evaluations(task: TaskDoc | Mapping[str, Any]) -> int:
    """Evaluations of energy and forces that DFT spent: ionic steps, summed over the calculations of a document.

    Attempts that custodian threw away are not in the document, and not counted. Of a force field, the steps of its
    relaxation, the last of which atomate2 lists twice.
    """
    steps = sum(_steps(calculation) for calculation in _sequence(_dig(task, "calcs_reversed")))
    listed = _number(_dig(task, "output", "n_steps"))
    return steps or (max(1, int(listed) - 1) if np.isfinite(listed) else 0)


def prescribed_u(composition: Composition | str, run_type: str = MIXED) -> dict[str, float]:
    """U values that the Materials Project prescribes: element -> U in eV, only where there is one.

    Transition metals carry U where the most electronegative element is O or F: V in VO2, but not in VN or V.
    """
    if run_type == "r2SCAN":
        return {}
    elements = sorted(Composition(composition).elements, key=lambda element: element.X)
    table = _mp_settings(run_type)["INCAR"]["LDAUU"].get(elements[-1].symbol, {})
    return {element.symbol: float(table[element.symbol]) for element in elements if table.get(element.symbol)}


def potcar_fault(composition: Composition, titles: Sequence[str], run_type: str = MIXED) -> str:
    """Say in which pseudopotentials a calculation differs from the Materials Project's; empty where in none.

    Releases of the same pseudopotential (PBE, PBE_52, PBE_54) bear the same title and cannot be told apart.
    """
    known = _mp_settings(run_type)["POTCAR"]
    expected = {f"PAW_PBE {known.get(element.symbol, 'no pseudopotential')}" for element in composition.elements}
    found = {" ".join(title.split()[:2]) for title in titles}
    if found == expected:
        return ""
    return (
        f"pseudopotentials {', '.join(sorted(found)) or 'unknown'} where the Materials Project takes "
        f"{', '.join(sorted(expected))} for {composition.reduced_formula}."
    )


def hubbard_fault(composition: Composition, found: Mapping[str, float], expected: Mapping[str, float]) -> str:
    """Say on which elements U differs from what was expected; empty where on none. Values in eV."""
    faults = [
        f"U of {found.get(symbol, 0.0):g} eV on {symbol}, expected {expected.get(symbol, 0.0):g} eV"
        for symbol in sorted({element.symbol for element in composition.elements} | set(found))
        if not abs(found.get(symbol, 0.0) - expected.get(symbol, 0.0)) < U_TOLERANCE
    ]
    return f"{'; '.join(faults)} in {composition.reduced_formula}." if faults else ""


def _honesty(record: _Record, allow_stand_in: bool) -> Refusal | None:
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


def _gaps(record: _Record) -> Refusal | None:
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


def _settings(record: _Record, wanted_run: str, run_type: str, wanted_u: Mapping[str, float]) -> Refusal | None:
    composition = record.structure.composition
    if record.run_type != wanted_run:
        return Refusal(
            "wrong_run_type",
            f"the run type is {record.run_type}, expected {wanted_run} for {composition.reduced_formula}.",
        )
    if fault := potcar_fault(composition, [spec["titel"] for spec in record.potcar_spec], run_type):
        return Refusal("wrong_potcar", fault)
    if fault := hubbard_fault(composition, record.hubbards, wanted_u):
        return Refusal("wrong_u", fault)
    return None


class _UnreadableError(Exception):
    """A document lacks what it takes to judge it; says what."""


class _Record:
    """What decides, taken from a document or its plain form; NaN or None where a number is missing."""

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
    """Follow keys, attributes and indices; None where they end, the value of an enumeration at their end."""
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
    """What custodian wrote when it stopped VASP because of the walltime; empty where it did not."""
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


@lru_cache
def _mp_settings(run_type: str) -> dict[str, Any]:
    from pymatgen.io.vasp.sets import MPRelaxSet, MPScanRelaxSet

    return MPScanRelaxSet.CONFIG if run_type == "r2SCAN" else MPRelaxSet.CONFIG
