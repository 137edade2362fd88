"""Files of crystals: JSON lines, and folders of CIF and POSCAR files."""

from __future__ import annotations

import gzip
import json
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import writing


@dataclass(frozen=True)
class RawCrystal:
    """A crystal as it was read: a structure, or the reason why there is none."""

    id: str
    source: str
    crystal: Structure | Exclusion


class CrystalRow(TypedDict):
    """One line of a .jsonl file of crystals; a site that is disordered has the share of each species."""

    id: str
    source: str
    lattice: list[list[float]]
    species: list[str | dict[str, float]]
    frac_coords: list[list[float]]


def read_crystals(path: Path, where: Mapping[str, object] | None, section: str) -> Iterator[RawCrystal]:
    """Read the crystals of a .jsonl file (plain or gzipped) or of a folder of CIF and POSCAR files.

    Parameters
    ----------
    path : of the file or folder
    where : for a .jsonl file: fields of its rows and the values that they must have
    section : of the campaign file, to begin error messages with

    Raises
    ------
    InputError
        Where a file is missing, empty, truncated or not what its name says, where it holds no crystal, or where `where`
        chooses none.
    """
    if path.is_dir() and where:
        raise InputError(f"{section}: `where` chooses rows of a .jsonl file; {path} is a folder. Leave `where` out.")
    return _read_folder(path, section) if path.is_dir() else _read_lines(path, where, section)


def write_crystals(path: Path, rows: Iterable[Mapping[str, object]], section: str) -> Path:
    """Write a gzipped .jsonl file, whole or not at all, and return its path.

    Parameters
    ----------
    path : of the file
    rows : its lines
    section : of the campaign file, to begin error messages with

    Raises
    ------
    InputError
        Where the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as temporary, gzip.open(temporary, "wt", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows)
    except OSError as error:
        raise InputError(f"{section}: cannot write to {path.parent}: {error.strerror}. Set another cache.") from error
    return path


def crystal_row(name: str, source: str, structure: Structure) -> CrystalRow:
    """Build the line of a crystal in a .jsonl file."""
    species = [{str(kind): share for kind, share in site.species.items()} for site in structure]
    return {
        "id": name,
        "source": source,
        "lattice": structure.lattice.matrix.tolist(),
        "species": [next(iter(mix)) if list(mix.values()) == [1.0] else mix for mix in species],
        "frac_coords": structure.frac_coords.tolist(),
    }


def _read_folder(folder: Path, section: str) -> Iterator[RawCrystal]:
    files = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in (".cif", ".vasp") or "POSCAR" in p.name.upper()]
    if not files:
        raise InputError(f"{section}: {folder} holds no CIF or POSCAR file (*.cif, *.vasp, *POSCAR*).")
    stems = [p.stem for p in files]
    for file in files:
        name = file.stem if stems.count(file.stem) == 1 else file.name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                text = file.read_text()
                crystal = Structure.from_str(text, fmt="cif" if file.suffix.lower() == ".cif" else "poscar")
        except Exception as error:
            yield RawCrystal(name, file.name, Exclusion(name, "unreadable", f"{file}: {error or type(error).__name__}"))
        else:
            yield RawCrystal(name, file.name, crystal)


def _read_lines(path: Path, where: Mapping[str, object] | None, section: str) -> Iterator[RawCrystal]:
    crystals = chosen = 0
    seen: Counter[str] = Counter()
    values: dict[str, Counter[str]] = {field: Counter() for field in where or {}}
    for number, line in enumerate(_text_lines(path, section), start=1):
        if not line.strip():
            continue
        name = f"{path.name}:{number}"
        try:
            row = json.loads(line)
            name = str(row.get("id") or name)
            seen[name] += 1
            # two rows of one id are two crystals all the same
            name = name if seen[name] == 1 else f"{name}-{seen[name]}"
            crystal: Structure | Exclusion = _read_row(row)
            crystals += 1
            for field, counter in values.items():
                counter[json.dumps(row.get(field))] += 1
            if other := next((field for field, value in (where or {}).items() if row.get(field) != value), None):
                crystal = Exclusion(name, "not_selected", f"{other} is {row.get(other)}")
            else:
                chosen += 1
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"no `{error.args[0]}`" if isinstance(error, KeyError) and error.args else str(error)
            crystal = Exclusion(name, "unreadable", f"{path.name}, line {number}: {problem}")
        source = str(row.get("source", path.name)) if isinstance(crystal, Structure) else path.name
        yield RawCrystal(name, source, crystal)
    if not crystals:
        raise InputError(f"{section}: no line of {path} is a crystal: one JSON object a line is expected, with "
                         "`lattice`, `species` and `frac_coords`.")  # fmt: skip
    if not chosen:
        raise InputError(
            f"{section}: `where` chooses none of the {crystals:,} crystals of {path}. {_describe_values(values)}"
        )


def _describe_values(values: dict[str, Counter[str]]) -> str:
    """Name the three most frequent values of each field of a file."""
    sentences = []
    for field, counter in values.items():
        common = ", ".join(f"{value} ({number:,})" for value, number in counter.most_common(3))
        sentences.append(f"There `{field}` is {common}{' and others' if len(counter) > 3 else ''}.")
    return " ".join(sentences)


def _read_row(row: dict[str, Any]) -> Structure:
    lattice = np.array(row["lattice"], dtype=float)
    coords = np.array(row["frac_coords"], dtype=float)
    if lattice.shape != (3, 3) or coords.shape != (len(row["species"]), 3):
        raise ValueError(f"{len(row['species'])} species, coordinates of shape {coords.shape}, lattice {lattice.shape}")
    return Structure(lattice, row["species"], coords)


def _text_lines(path: Path, section: str) -> Iterator[str]:
    """Yield the lines of a plain or gzipped file; a file that is not whole raises, naming how much of it could be read."""
    if not path.is_file():
        raise InputError(f"{section}: {path} does not exist. Give a .jsonl or .jsonl.gz file or a folder of CIF files.")
    if path.stat().st_size == 0:
        raise InputError(f"{section}: {path} is empty.")
    zipped = path.suffix == ".gz"
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") if zipped else path.open(encoding="utf-8") as stream:
            for line in stream:
                number += 1
                yield line
    except gzip.BadGzipFile as error:
        raise InputError(f"{section}: {path} is not a gzip file or is damaged ({error}).") from error
    except (EOFError, zlib.error) as error:
        raise InputError(
            f"{section}: {path} is truncated or damaged: {number} rows could be read. Copy or download it again."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{section}: {path} is not text: JSON lines are expected, one crystal a line.") from error
