"""Writing of crystals to files that other programs read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from pymatgen.core import Structure

from imatgen_flows.crystals.structure_files import crystal_row
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic


def write_structures(structures: Sequence[Structure], path: Path, source: str) -> Path:
    """Write crystals, each named by the `id` of its properties, with its other properties where the format has room.

    Parameters
    ----------
    structures : crystals
    path : a file that ends in `.extxyz` or `.jsonl`; otherwise a folder, for a CIF file each
    source : of the crystals, for formats that have a place for it

    Returns
    -------
    what was written

    Raises
    ------
    InputError
        Where it cannot be written, or the name ends in something else.
    """
    if path.suffix and path.suffix not in _FILES and not path.is_dir():
        known = ", ".join(_FILES)
        raise InputError(f"{path}: crystals are written to a file that ends in {known}, or as CIF files to a folder.")
    try:
        if path.suffix in _FILES:
            path.parent.mkdir(parents=True, exist_ok=True)
            return write_atomic(path, _FILES[path.suffix](structures, source))
        path.mkdir(parents=True, exist_ok=True)
        for structure in structures:
            write_atomic(path / f"{structure.properties['id']}.cif", structure.to(fmt="cif"))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error
    return path


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
