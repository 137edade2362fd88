"""Entries of the Materials Project: a chemical system is downloaded once and then read from a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from pymatgen.core import Composition

from imatgen_flows.crystals.system import chemical_system
from imatgen_flows.energetics.backends import MP2020
from imatgen_flows.energetics.hull import HullEntry
from imatgen_flows.energetics.mp_corrections import run_types_of
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.io.files import write_atomic

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedStructureEntry


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
    version, answer = _download(symbols, key)
    rows = _rows(answer, symbols)
    path = Path(cache_dir) / pattern.replace("*", version)
    content = {"database": version, "scale": MP2020, "sha256": _digest(rows), "entries": rows}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(content))
    except OSError as error:
        raise InputError(f"references: cannot write to {path.parent}: {error.strerror}. Set another cache.") from error
    return _read_cache(path)


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
