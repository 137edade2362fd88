"""Writing of crystals to files that other programs read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from pymatgen.core import Structure

from imatgen_flows.crystals.structure_files import crystal_row
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic

TABLE = "crystals.csv"  # beside CIF files, which have no place for the properties of a crystal


def refuse_overwriting(path: Path) -> None:
    """Refuse a file that exists, a folder that holds crystals already, and a name that no format has.

    Raises
    ------
    InputError
        Where crystals cannot be written there.
    """
    if path.suffix and path.suffix not in _FILES and not path.is_dir():
        known = ", ".join(_FILES)
        raise InputError(f"{path}: crystals are written to a file that ends in {known}, or as CIF files to a folder.")
    if path.is_file():
        raise InputError(f"{path} exists, and nothing is overwritten: choose another name, or remove it.")
    if path.is_dir() and (number := len(list(path.glob("*.cif")))):
        raise InputError(f"{path} holds {number} CIF files of another call: choose another folder, or remove them.")


def write_structures(structures: Sequence[Structure], path: Path, source: str) -> Path:
    """Write crystals, each named by the `id` of its properties, with its other properties where the format has room.

    Parameters
    ----------
    structures : crystals
    path : a file that ends in `.extxyz` or `.jsonl`; otherwise a folder, for a CIF file each and a table of their properties
    source : of the crystals, for formats that have a place for it

    Returns
    -------
    what was written

    Raises
    ------
    InputError
        Where it cannot be written, or as `refuse_overwriting`.
    """
    refuse_overwriting(path)
    try:
        if path.suffix in _FILES:
            path.parent.mkdir(parents=True, exist_ok=True)
            return write_atomic(path, _FILES[path.suffix](structures, source))
        path.mkdir(parents=True, exist_ok=True)
        for structure in structures:
            write_atomic(path / f"{structure.properties['id']}.cif", structure.to(fmt="cif"))
        write_atomic(path / TABLE, _csv(structures))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error
    return path


def _csv(structures: Sequence[Structure]) -> str:
    rows = [
        {"id": one.properties["id"], "formula": one.composition.reduced_formula, "nsites": len(one), **one.properties}
        for one in structures
    ]
    text = io.StringIO()
    table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _jsonl(structures: Sequence[Structure], source: str) -> str:
    lines = [
        json.dumps({**crystal_row(str(one.properties["id"]), source, one), **one.properties}) for one in structures
    ]
    return "".join(line + "\n" for line in lines)


def _extxyz(structures: Sequence[Structure], source: str) -> str:
    from ase.io import write

    crystals = []
    for structure in structures:
        atoms = structure.to_ase_atoms(msonable=False)
        atoms.calc = None
        atoms.info = {name: value for name, value in structure.properties.items() if value is not None} | {
            "source": source
        }
        crystals.append(atoms)
    text = io.StringIO()
    write(text, crystals, format="extxyz")
    return text.getvalue()


_FILES: dict[str, Callable[[Sequence[Structure], str], str]] = {".extxyz": _extxyz, ".jsonl": _jsonl}
