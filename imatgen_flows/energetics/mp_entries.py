"""Entries of the Materials Project: a chemical system is downloaded once and then read from a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from pymatgen.core import Composition

from imatgen_flows.crystals.materials_project import ask_materials_project, refuse_part
from imatgen_flows.crystals.system import chemical_system
from imatgen_flows.energetics.backends import MP2020
from imatgen_flows.energetics.hull import HullEntry
from imatgen_flows.energetics.mp_corrections import run_types_of
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.io.files import write_atomic

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedStructureEntry


SECTION = "references"  # to begin error messages with
INSTEAD = "Or compute the reference phases with the same flow, which needs no key."
THERMO_TYPE = "GGA_GGA+U"  # of the documents on the corrected scale of GGA and GGA+U
FIELDS = ("material_id", "thermo_type", "energy_per_atom", "entries")
PAGE = 1000  # documents that are asked for at once; the server sends no more
ENERGY_TOLERANCE = 1e-4  # eV/atom, between a document and its entry; what both are computed from is the same


class _Row(TypedDict):
    """An entry as it is stored: its composition by element, its corrected energy in eV/atom."""

    name: str
    composition: dict[str, float]
    energy_per_atom: float


def fetch_mp_entries(chemsys: str | Iterable[str], cache_dir: Path, key: str | None = None) -> list[HullEntry]:
    """Return the phases of the Materials Project in a chemical system, on its corrected scale of GGA and GGA+U.

    They are downloaded once; later calls read the file, which holds the version of the database and a hash, and need
    neither key nor network.

    Parameters
    ----------
    chemsys : elements, as ``V-O`` or one by one
    cache_dir : directory of the downloads
    key : API key of the Materials Project

    Raises
    ------
    InputError
        Without a key, mp-api or an answer where nothing is cached; where the cached file is damaged or a symbol is not an
        element.
    ImatgenError
        Where the answer is not on the scale.
    """
    try:
        symbols = sorted(chemical_system(set(chemsys.split("-") if isinstance(chemsys, str) else chemsys)))
    except InputError as error:
        raise InputError(f"references: {error} Give a system such as V-O.") from error
    pattern = f"mp_*_{'-'.join(symbols)}_GGA_GGA+U.json"
    if cached := sorted(Path(cache_dir).glob(pattern)):
        return _read_cache(cached[-1])
    version, rows = _download(symbols, key)
    path = Path(cache_dir) / pattern.replace("*", version)
    content = {"database": version, "scale": MP2020, "sha256": _digest(rows), "entries": rows}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(content))
    except OSError as error:
        raise InputError(f"references: cannot write to {path.parent}: {error.strerror}. Set another cache.") from error
    return _read_cache(path)


def _download(symbols: list[str], key: str | None) -> tuple[str, list[_Row]]:
    """Ask for the thermodynamic documents of a system and its parts, and compare their number with the count.

    Raises
    ------
    InputError
        Where there is no answer, or not all of it.
    ImatgenError
        Where the answer is not on the scale, or does not agree with itself.
    """
    chemsys = ["-".join(part) for size in range(1, len(symbols) + 1) for part in combinations(symbols, size)]

    def ask(rester: Any) -> tuple[list[Mapping[str, Any]], Any]:
        thermo = rester.materials.thermo
        # without the type, energies of several scales come in one list
        documents = thermo.search(
            chemsys=chemsys, thermo_types=[THERMO_TYPE], all_fields=False, chunk_size=PAGE, fields=list(FIELDS)
        )
        # `search` stops without a word at a page that is empty before all have come
        return documents or [], thermo.count({"chemsys": ",".join(chemsys), "thermo_types": THERMO_TYPE})

    version, (documents, counted) = ask_materials_project(key, ask, SECTION, INSTEAD)
    names = [str(document.get("material_id")) for document in documents]
    if not names:
        raise InputError(
            f"{SECTION}: the Materials Project {version} sent nothing of {'-'.join(symbols)} on the scale {MP2020}. {INSTEAD}"
        )
    refuse_part(len(set(names)), counted, SECTION, INSTEAD)
    entries = [_entry_of(name, document) for name, document in zip(names, documents, strict=True)]
    return version, _rows(entries, symbols)


def _entry_of(name: str, document: Mapping[str, Any]) -> ComputedStructureEntry:
    """Read the entry of a thermodynamic document whose energy the document gives.

    Raises
    ------
    ImatgenError
        Where the document is of another type, has no entry that can be read, or none with its own corrected energy: the
        corrections were read in another way than they were written.
    """
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    said = f"{SECTION}: the Materials Project returned {name}"
    if str(_value(document.get("thermo_type"))) != THERMO_TYPE:
        raise ImatgenError(f"{said} of the type {_value(document.get('thermo_type'))}; asked for was {THERMO_TYPE}.")
    try:
        # mp-api returns dictionaries; versions that decode them, entries
        entries = [
            ComputedStructureEntry.from_dict(dict(entry)) if isinstance(entry, Mapping) else entry
            for entry in document["entries"].values()
        ]
        energy = float(document["energy_per_atom"])
    except Exception as error:  # a document may hold anything
        raise ImatgenError(
            f"{said}, whose entry cannot be read ({type(error).__name__}: {str(error)[:200]})."
        ) from error
    for entry in entries:
        if abs(entry.energy_per_atom - energy) <= ENERGY_TOLERANCE:
            return entry
    read = ", ".join(f"{entry.energy_per_atom:.4f}" for entry in entries) or "none"
    raise ImatgenError(
        f"{said} with {energy:.4f} eV/atom, but with its corrections its entries have {read}: the format of the Materials "
        "Project has changed. Compute the references with the same flow instead."
    )


def _value(member: Any) -> Any:
    """Return the value of a member of an enum, or what is none."""
    return getattr(member, "value", member)


def _rows(answer: Iterable[ComputedStructureEntry], symbols: list[str]) -> list[_Row]:
    """Convert entries to plain values, one for each name, sorted by it; refuse what is not on the scale."""
    rows: dict[str, _Row] = {}
    for entry in answer:
        name, run_type = str(entry.entry_id), str(entry.parameters.get("run_type"))
        if run_type not in run_types_of(MP2020):
            raise ImatgenError(
                f"references: the Materials Project returned {name} computed with {run_type}, which the scale {MP2020} "
                "does not take."
            )
        oxide = "O" in entry.composition and len(entry.composition) > 1  # MP2020 corrects every one
        if oxide and not entry.energy_adjustments:
            raise ImatgenError(
                f"references: the Materials Project returned the oxide {name} without the correction of {MP2020}."
            )
        row: _Row = {
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


def _digest(rows: list[_Row]) -> str:
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
