"""Energy scales of DFT: the corrections of the Materials Project for GGA and GGA+U, and plain r2SCAN.

Energies of GGA and GGA+U can be compared only after the corrections of MaterialsProject2020Compatibility (A. Wang et al.,
Sci. Rep. 11, 15496 (2021)); r2SCAN can be compared with neither.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

from imatgen_flows.energetics.backends import BACKENDS, MP2020
from imatgen_flows.energetics.mp_settings import hubbard_fault, potcar_fault, prescribed_u
from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    from imatgen_flows.energetics.dft_result import DFTResult

NOTE = "imatgen_note"  # key in the data of an entry

logger = logging.getLogger(__name__)


def corrected_energy(result: DFTResult, scale: str) -> tuple[float, str]:
    """Return the energy of a calculation on a scale, eV/atom, and a note on how certain it is, mostly empty.

    Raises
    ------
    InputError
        Where the scale is unknown, or does not admit this calculation.
    """
    _refuse_other_functional(result, scale)
    if scale != MP2020:
        return result.energy_per_atom, ""
    entry = mp2020_entry(result)
    return float(entry.energy_per_atom), entry.data[NOTE]


def mp2020_entry(result: DFTResult, entry_id: str | None = None) -> ComputedStructureEntry:
    """Make an entry with the corrections of MaterialsProject2020Compatibility.

    The scheme drops silently what it cannot correct; here that raises. Where it finds no oxidation states, for example
    in V2N, it corrects the most electronegative element as if it were an anion. The Materials Project does so with its
    own entries too, and a hull on which only some phases are corrected would be wrong: hence this is kept, logged, and
    noted in ``data["imatgen_note"]`` of the entry.

    Parameters
    ----------
    result : accepted by `imatgen_flows.energetics.dft.check_task_document`
    entry_id : name of the entry; in messages, the formula otherwise

    Raises
    ------
    InputError
        Where functional, pseudopotentials or U are not those of the scheme.
    """
    from pymatgen.entries.compatibility import CompatibilityError, MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    composition = result.structure.composition
    name = entry_id or composition.reduced_formula
    _refuse_other_functional(result, MP2020, name)
    # pymatgen skips the pseudopotentials where PMG_POTCAR_CHECKS is off, and its message about U is very long
    titles = [spec["titel"] for spec in result.potcar_spec]
    fault = potcar_fault(composition, titles) or hubbard_fault(composition, result.hubbards, prescribed_u(composition))
    if fault:
        raise InputError(f"{name} is not on the scale {MP2020}: {fault}")
    raw = ComputedStructureEntry(
        result.structure,
        result.energy_per_atom * len(result.structure),
        parameters={
            "run_type": result.run_type,
            "is_hubbard": bool(result.hubbards),
            "hubbards": dict(result.hubbards),
            "potcar_spec": [dict(spec) for spec in result.potcar_spec],
        },
        entry_id=entry_id,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about guessed oxidation states, which are logged below
        try:
            entry = MaterialsProject2020Compatibility().process_entry(raw, inplace=False, on_error="raise")
        except CompatibilityError as error:
            raise InputError(f"{name} is not on the scale {MP2020}: {str(error)[:200]}") from error
    if entry is None:
        raise InputError(f"{name} is not on the scale {MP2020}: the scheme dropped it without a reason.")
    guess = _guess(entry)
    if guess:
        logger.warning("%s: %s", name, guess)
    entry.data[NOTE] = guess
    return entry


def mp2020_correction(structure: Structure) -> float:
    """Return the correction of the Materials Project 2020 scheme for a plain PBE / PBE+U energy, eV/atom.

    The scheme adds an energy per anion and, in oxides and fluorides, one per transition metal treated with U
    (Wang et al., Sci. Rep. 11, 15496 (2021)). The U values are those of pymatgen's MPRelaxSet.
    """
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    hubbards = prescribed_u(structure.composition)
    parameters = {"hubbards": hubbards, "run_type": "GGA+U" if hubbards else "GGA", "software": "mlip"}
    entry = ComputedStructureEntry(structure, 0.0, parameters=parameters)
    scheme = MaterialsProject2020Compatibility(check_potcar=False)
    return sum(adjustment.value for adjustment in scheme.get_adjustments(entry)) / len(structure)


def run_types_of(scale: str) -> tuple[str, ...]:
    """Return the run types of VASP that an energy scale admits.

    Raises
    ------
    InputError
        Where no back end calculates on this scale.
    """
    known = {backend.scale: backend.run_types for backend in BACKENDS if backend.scale}
    if scale not in known:
        raise InputError(f"energy scale `{scale}` is unknown; choose from {', '.join(known)}.")
    return known[scale]


def _refuse_other_functional(result: DFTResult, scale: str, name: str = "") -> None:
    allowed = run_types_of(scale)
    if result.run_type not in allowed:
        raise InputError(
            f"{name or result.structure.composition.reduced_formula} was computed with {result.run_type}, but the "
            f"scale {scale} takes {' and '.join(allowed)} only: energies of different functionals do not compare. "
            f"Compute it again with {' or '.join(allowed)}, or use a hull of its own functional."
        )


def _guess(entry: ComputedStructureEntry) -> str:
    """Describe the correction of an entry that depends on a guess of its anion; empty where none does."""
    anion = max(entry.composition.elements, key=lambda element: element.X).symbol
    by_distance = ("O", "S")  # MP2020 recognises them by their neighbours, not by oxidation states
    corrected = any(adjustment.name.endswith(f"anion correction ({anion})") for adjustment in entry.energy_adjustments)
    if entry.data.get("oxidation_states") or anion in by_distance or not corrected:
        return ""
    return (
        f"no oxidation states fit {entry.composition.reduced_formula}; the scheme corrects {anion}, its most "
        f"electronegative element, as an anion ({entry.correction_per_atom:+.3f} eV/atom in all)."
    )
