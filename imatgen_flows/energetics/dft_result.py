"""Results of checked calculations: what was accepted, and why something was refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymatgen.core import Structure


@dataclass(frozen=True)
class CalculationResult:
    """A calculation that was accepted.

    Attributes
    ----------
    structure : final structure
    energy_per_atom : eV/atom, as the program gave it, without any correction; at a pressure, with pV
    fmax : largest force on an atom at the last ionic step, eV/A
    """

    structure: Structure
    energy_per_atom: float
    fmax: float


@dataclass(frozen=True)
class DFTResult(CalculationResult):
    """A calculation by VASP that was accepted.

    Attributes
    ----------
    run_type : ``GGA``, ``GGA+U`` or ``r2SCAN``
    hubbards : element -> U in eV; elements without U are left out
    potcar_spec : one of each pseudopotential, with its ``titel`` and ``hash``
    ionic_steps : evaluations of energy and forces
    gap : band gap, eV
    magnetisation : of the cell, Bohr magnetons; None for a calculation without spin
    directory : where VASP ran
    vasp_version : as VASP printed it
    """

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
    """Reason why a calculation was refused.

    Attributes
    ----------
    reason : machine readable: ``unreadable``, ``stand_in``, ``walltime``, ``stopped``, ``not_successful``,
        ``energy_not_finite``, ``no_forces``, ``no_stress``, ``no_gap``, ``wrong_run_type``, ``wrong_potcar``,
        ``wrong_u``, ``wrong_pressure`` or ``not_converged``; of jobs, also ``job_lost``
    detail : a sentence with the value that decided and its limit
    """

    reason: str
    detail: str
