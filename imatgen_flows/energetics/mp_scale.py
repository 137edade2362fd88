"""The hull of DFT on one energy scale: that of the Materials Project for GGA and GGA+U, or plain r2SCAN.

Energies of GGA and GGA+U compare only after the corrections of MaterialsProject2020Compatibility (A. Wang et al., Sci.
Rep. 11, 15496 (2021)); r2SCAN compares with neither.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymatgen.core import Composition, Element, Structure

from imatgen_flows.energetics.backends import MP2020, R2SCAN
from imatgen_flows.energetics.dft import DFTResult, hubbard_fault, potcar_fault, prescribed_u
from imatgen_flows.energetics.hull import Hull, HullEntry
from imatgen_flows.errors import ImatgenError, InputError

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

NOTE = "imatgen_note"  # in the data of an entry
SCALES = {MP2020: ("GGA", "GGA+U"), R2SCAN: ("r2SCAN",)}  # scale -> run types that it can place

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """Where a calculation lies with respect to a hull, on the scale of that hull.

    Attributes
    ----------
    energy_per_atom : on the scale, corrected where the scale corrects, eV/atom
    formation_energy : eV/atom
    e_above_hull : eV/atom; negative for a phase that would extend the hull
    decomposition : phases of the hull at the composition: name -> fraction of the atoms
    note : what a reader must know of the energy; empty if nothing
    """

    energy_per_atom: float
    formation_energy: float
    e_above_hull: float
    decomposition: dict[str, float]
    note: str = ""


class DFTHull(Hull):
    """Hull of DFT reference phases; candidates are no part of it.

    Parameters
    ----------
    entries : reference phases, their energies already on the scale
    scale : one of `SCALES`

    Raises
    ------
    InputError
        Where the scale is unknown, and as `Hull` does.
    """

    def __init__(self, entries: Sequence[HullEntry], scale: str = MP2020) -> None:
        _run_types(scale)
        super().__init__(entries, scale)

    @property
    def scale(self) -> str:
        """Name of the energy scale."""
        return self.potential

    def place(self, result: DFTResult) -> Placement:
        """Put a calculation on the scale and measure its distance to the hull.

        Raises
        ------
        InputError
            Where it cannot be put on the scale, or holds an element that the hull does not know.
        """
        composition = result.structure.composition
        energy, note = noted_energy(result, self.scale)
        return Placement(
            energy,
            self.formation_energy(composition, energy),
            self.e_above_hull(composition, energy),
            self.decomposition(composition),
            note,
        )


def scaled_energy(result: DFTResult, scale: str) -> float:
    """Energy of a calculation on a scale, eV/atom.

    Raises
    ------
    InputError
        Where the scale is unknown, or cannot take this calculation.
    """
    return noted_energy(result, scale)[0]


def noted_energy(result: DFTResult, scale: str) -> tuple[float, str]:
    """Energy of a calculation on a scale, eV/atom, and what a reader must know of it; raises as `scaled_energy` does."""
    _refuse_other_functional(result, scale)
    if scale != MP2020:
        return result.energy_per_atom, ""
    entry = mp2020_entry(result)
    return float(entry.energy_per_atom), entry.data[NOTE]


def mp2020_entry(
    result: DFTResult, entry_id: str | None = None, *, refuse_guessed_anion: bool = False
) -> ComputedStructureEntry:
    """Entry with the corrections of MaterialsProject2020Compatibility.

    The scheme drops what it cannot correct without a word; here that raises. Where it finds no oxidation states, for
    example in V2N, it corrects the most electronegative element as if it were an anion. The Materials Project does so
    with its own entries too, and a hull on which only some phases are corrected is none: hence this is kept, logged,
    and said in ``data["imatgen_note"]`` of the entry.

    Parameters
    ----------
    result : accepted by `imatgen_flows.energetics.dft.judge`
    entry_id : name of the entry; in messages, the formula otherwise
    refuse_guessed_anion : raise where the correction of an element rests on such a guess

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
    # pymatgen skips the pseudopotentials where PMG_POTCAR_CHECKS is off, and tells more of U than anyone can read
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
        warnings.simplefilter("ignore")  # of guessed oxidation states, which are logged below
        try:
            entry = MaterialsProject2020Compatibility().process_entry(raw, inplace=False, on_error="raise")
        except CompatibilityError as error:
            raise InputError(f"{name} is not on the scale {MP2020}: {str(error)[:200]}") from error
    if entry is None:
        raise InputError(f"{name} is not on the scale {MP2020}: the scheme dropped it without a reason.")
    guess = _guess(entry)
    if guess and refuse_guessed_anion:
        raise InputError(f"{name}: {guess}")
    if guess:
        logger.warning("%s: %s", name, guess)
    entry.data[NOTE] = guess
    return entry


def hull_from_results(
    results: Mapping[str, DFTResult],
    scale: str = MP2020,
    *,
    elements: Iterable[str] = (),
    source: str = "computed with the settings of the candidates",
) -> DFTHull:
    """Hull of reference phases that were computed by the same flow as the candidates, for those without a key.

    Formation energies refer to the lowest phase of each element that is given: O2 as a molecule and solid O2 differ by
    up to 65 meV/atom, so give the same one throughout a campaign.

    Parameters
    ----------
    results : name of the phase -> its calculation
    scale : one of `SCALES`
    elements : that must have a phase of their own, besides those that occur in `results`
    source : of every phase, for reports

    Raises
    ------
    InputError
        Where an element has no phase, or a calculation is not on the scale; it names them.
    """
    _run_types(scale)
    present = {e.symbol for result in results.values() for e in result.structure.composition.elements}
    alone = {
        result.structure.composition.elements[0].symbol
        for result in results.values()
        if len(result.structure.composition) == 1
    }
    if missing := sorted((present | set(elements)) - alone):
        raise InputError(
            f"the hull has no reference phase of the element {', '.join(missing)}: its calculation is missing or was "
            "refused. Compute it with the same settings, or take the references from the Materials Project."
        )
    entries = []
    for name, result in results.items():
        composition = result.structure.composition
        try:
            energy = scaled_energy(result, scale)
        except InputError as error:
            raise InputError(f"reference phase {name}: {error}") from error
        kind = "element" if len(composition) == 1 else "compound"
        entries.append(HullEntry(name, composition, energy, source, kind))
    return DFTHull(entries, scale)


def f_element_fault(structure: Structure | Composition) -> str:
    """Say which f-elements a candidate holds; empty where it holds none.

    The pseudopotentials of the Materials Project freeze most f-electrons (Nd_3, Yb_2) or treat them without U (Ce, Eu,
    U), and its hull mixes both.
    """
    composition = structure.composition if isinstance(structure, Structure) else structure
    found = sorted({e.symbol for e in composition.elements if e.is_lanthanoid or e.is_actinoid})
    if not found:
        return ""
    return (
        f"{composition.reduced_formula} holds {', '.join(found)}: pseudopotentials and U of the Materials Project are "
        "not reliable for f-elements, so its energy would not compare with others on the hull."
    )


def fetch_mp_entries(chemsys: str | Iterable[str], cache_dir: Path, key: str | None = None) -> list[HullEntry]:
    """Phases of the Materials Project in a chemical system, on its corrected scale of GGA and GGA+U.

    Downloaded once; later calls read the file, which holds the version of the database and a hash, and need neither
    key nor network.

    Parameters
    ----------
    chemsys : elements, as ``V-O`` or one by one
    cache_dir : of the downloads
    key : of the Materials Project

    Raises
    ------
    InputError
        Without a key, mp-api or an answer where nothing is cached; where the cached file is damaged or a symbol is no
        element.
    ImatgenError
        Where the answer is not on the scale.
    """
    symbols = sorted(set(chemsys.split("-") if isinstance(chemsys, str) else chemsys))
    if unknown := [symbol for symbol in symbols if not Element.is_valid_symbol(symbol)]:
        raise InputError(f"references: `{', '.join(unknown)}` is no element; give a system such as V-O.")
    pattern = f"mp_*_{'-'.join(symbols)}_GGA_GGA+U.json"
    if cached := sorted(Path(cache_dir).glob(pattern)):
        return _read_cache(cached[-1])
    version, answer = _download(symbols, key)
    rows = _rows(answer, symbols)
    path = Path(cache_dir) / pattern.replace("*", version)
    _write_cache(path, {"database": version, "scale": MP2020, "sha256": _digest(rows), "entries": rows})
    return _read_cache(path)


def _run_types(scale: str) -> tuple[str, ...]:
    if scale not in SCALES:
        raise InputError(f"energy scale `{scale}` is unknown; choose from {', '.join(SCALES)}.")
    return SCALES[scale]


def _refuse_other_functional(result: DFTResult, scale: str, name: str = "") -> None:
    allowed = _run_types(scale)
    if result.run_type not in allowed:
        raise InputError(
            f"{name or result.structure.composition.reduced_formula} was computed with {result.run_type}, but the "
            f"scale {scale} takes {' and '.join(allowed)} only: energies of different functionals do not compare. "
            f"Compute it again with {' or '.join(allowed)}, or use a hull of its own functional."
        )


def _guess(entry: ComputedStructureEntry) -> str:
    """Say which correction of an entry rests on a guess of its anion; empty where none does."""
    anion = max(entry.composition.elements, key=lambda element: element.X).symbol
    by_distance = ("O", "S")  # MP2020 tells them from their neighbours, whatever the oxidation states
    corrected = any(adjustment.name.endswith(f"anion correction ({anion})") for adjustment in entry.energy_adjustments)
    if entry.data.get("oxidation_states") or anion in by_distance or not corrected:
        return ""
    return (
        f"no oxidation states fit {entry.composition.reduced_formula}; the scheme corrects {anion}, its most "
        f"electronegative element, as an anion ({entry.correction_per_atom:+.3f} eV/atom in all)."
    )


def _download(symbols: list[str], key: str | None) -> tuple[str, list[ComputedStructureEntry]]:
    instead = "Or compute the reference phases with the same flow, which needs no key."
    if not key:
        raise InputError(
            "references: the Materials Project needs a key. Get one at https://next-gen.materialsproject.org/api and "
            f"set MP_API_KEY. {instead}"
        )
    try:
        from mp_api.client import MPRester
    except ImportError:
        raise InputError(
            f'references: the Materials Project needs mp-api: pip install "imatgen-flows[mp]". {instead}'
        ) from None
    try:
        with MPRester(key, use_document_model=False) as rester:
            version = str(rester.get_database_version())
            # without this criterion, energies of three scales come in one list
            answer = rester.get_entries_in_chemsys(symbols, additional_criteria={"thermo_types": ["GGA_GGA+U"]})
    except Exception as error:  # the client lets through what requests, urllib3 and its own decoder raise
        said = str(error).replace(key, "***")[:200]
        raise InputError(
            f"references: the Materials Project did not answer ({type(error).__name__}: {said}). "
            f"Check the key and the network. {instead}"
        ) from error
    return version, answer


def _rows(answer: Iterable[ComputedStructureEntry], symbols: list[str]) -> list[dict[str, Any]]:
    """Plain form of the entries, one for each name, sorted; only what is on the scale may pass."""
    rows: dict[str, dict[str, Any]] = {}
    for entry in answer:
        name, run_type = str(entry.entry_id), str(entry.parameters.get("run_type"))
        if run_type not in SCALES[MP2020]:
            raise ImatgenError(
                f"references: the Materials Project returned {name} computed with {run_type}, which the scale {MP2020} "
                "does not take."
            )
        oxide = "O" in entry.composition and len(entry.composition) > 1  # MP2020 corrects every one
        if oxide and not entry.energy_adjustments:
            raise ImatgenError(
                f"references: the Materials Project returned the oxide {name} without the correction of {MP2020}."
            )
        row = {
            "name": name,
            "composition": entry.composition.get_el_amt_dict(),
            "energy_per_atom": float(entry.energy_per_atom),
        }
        if name not in rows or row["energy_per_atom"] < rows[name]["energy_per_atom"]:
            rows[name] = row
    alone = {next(iter(row["composition"])) for row in rows.values() if len(row["composition"]) == 1}
    if missing := [symbol for symbol in symbols if symbol not in alone]:
        raise InputError(
            f"references: the Materials Project holds no phase of the element {', '.join(missing)} on the scale "
            f"{MP2020}."
        )
    return [rows[name] for name in sorted(rows)]


def _digest(rows: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def _read_cache(path: Path) -> list[HullEntry]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = content["entries"]
        whole = content["sha256"] == _digest(rows) and content["scale"] == MP2020
        source = f"Materials Project {content['database']}"
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise InputError(f"references: {path} is damaged (its hash does not match). Delete it; it is downloaded again.")
    return [
        HullEntry(
            row["name"],
            Composition(row["composition"]),
            row["energy_per_atom"],
            source,
            "element" if len(row["composition"]) == 1 else "compound",
        )
        for row in rows
    ]


def _write_cache(path: Path, content: dict[str, Any]) -> None:
    """Write under a temporary name, then rename: a cache is whole or absent."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    except OSError as error:
        raise InputError(f"references: cannot write to {path.parent}: {error.strerror}. Set another cache.") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
