"""Files of crystals: JSON lines, a file of another format, or a folder of files of any format."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.crystals.batches import map_items
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.formats import OPENERS, SUFFIXES, decode, find_reader
from imatgen_flows.crystals.json_crystals import read_line
from imatgen_flows.crystals.json_lines import read_lines
from imatgen_flows.crystals.raw_crystal import MAX_BYTES, RawCrystal, unreadable
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import writing

__all__ = ["CrystalRow", "RawCrystal", "crystal_row", "list_files", "read_crystals", "read_files", "write_crystals"]

LINES = (".jsonl", ".ndjson")
FORMATS = "JSON lines, CIF, POSCAR, extended XYZ, JSON of pymatgen and others (docs/reference/file-formats.md)"


class CrystalRow(TypedDict):
    """One line of a .jsonl file of crystals; a site that is disordered has the share of each species."""

    id: str
    source: str
    lattice: list[list[float]]
    species: list[str | dict[str, float]]
    frac_coords: list[list[float]]


def read_crystals(
    path: Path, where: Mapping[str, object] | None, section: str, workers: int = 1
) -> Iterator[RawCrystal]:
    """Read the crystals of a file, or of all files of a folder and of the folders in it.

    Each crystal has an id of its own: that of its row, or the name of its file with the name or number of the crystal
    within it. What is no crystal that can be read comes as an exclusion with the reason: nothing is passed over.

    Parameters
    ----------
    path : of the file or folder; files may be compressed (.gz, .bz2, .xz)
    where : for a .jsonl file: fields of its rows and the values that they must have
    section : of the campaign file, to begin error messages with
    workers : number of processes that read a folder of many files

    Raises
    ------
    InputError
        Where a file is missing, empty, truncated or of a format that is not read, where it holds no crystal, or where
        `where` chooses none.
    """
    lines = path.is_file() and _split(path.name)[1] in LINES
    if where and path.exists() and not lines:
        kind = "a folder" if path.is_dir() else "of another format"
        raise InputError(f"{section}: `where` chooses rows of a .jsonl file; {path} is {kind}. Leave `where` out.")
    if path.is_dir():
        found = _read_folder(path, section, workers)
    else:
        _check_file(path, section)
        found = read_lines(path, where, section) if lines else _read_alone(path, section)
    return _number_ids(found)


def list_files(paths: Iterable[Path]) -> list[Path]:
    """List files, and all that lies in folders and in the folders within, each once.

    Raises
    ------
    InputError
        Where a path does not exist, or there is nothing in the folders.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist. Give files or folders of crystals: {FORMATS}.")
        for file in _files_within(path) if path.is_dir() else [path]:
            found.setdefault(os.path.abspath(file), file)
    if not found:
        raise InputError(f"there is no file to read. Give files or folders of crystals: {FORMATS}.")
    return list(found.values())


def read_files(files: Sequence[Path], workers: int = 1) -> list[tuple[Path, RawCrystal]]:
    """Read the crystals of files, each with its file; a file of which nothing can be read gives an exclusion.

    Ids are those of `read_crystals`, and no two crystals share one.

    Parameters
    ----------
    files : as `list_files` lists them
    workers : number of processes, where there are many
    """
    found = list(_read_each(files, list(map(str, files)), workers))
    crystals = _number_ids(raw for _, raw in found)
    return [(file, raw) for (file, _), raw in zip(found, crystals, strict=True)]


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


def _check_file(path: Path, section: str) -> None:
    if not path.is_file():
        raise InputError(f"{section}: {path} does not exist. Give a file or a folder of crystals: {FORMATS}.")
    if path.stat().st_size == 0:
        raise InputError(f"{section}: {path} is empty.")
    name, suffix = _split(path.name)
    if suffix not in LINES and find_reader(name) is None:
        raise InputError(
            f"{section}: {path} is of no format that is read: {FORMATS}. Give it the suffix of its format."
        )


def _split(name: str) -> tuple[str, str]:
    """Return the name of a file without the suffix of a compression, and its suffix then, in small letters."""
    plain = Path(name)
    if plain.suffix.lower() in OPENERS:
        plain = plain.with_suffix("")
    return plain.name, plain.suffix.lower()


def _number_ids(crystals: Iterable[RawCrystal]) -> Iterator[RawCrystal]:
    """Number crystals whose id an earlier one has: two rows of one id are two crystals all the same."""
    seen: Counter[str] = Counter()
    for raw in crystals:
        name = raw.id
        while seen[name]:
            seen[raw.id] += 1
            name = f"{raw.id}-{seen[raw.id]}"
        seen[name] += 1
        crystal = replace(raw.crystal, id=name) if isinstance(raw.crystal, Exclusion) else raw.crystal
        yield RawCrystal(name, raw.source, crystal)


def _read_folder(folder: Path, section: str, workers: int) -> Iterator[RawCrystal]:
    files = _files_within(folder)
    if not any(
        find_reader(_split(file.name)[0]) or _split(file.name)[1] in LINES for file in files if not _hidden(file)
    ):
        raise InputError(f"{section}: {folder} holds no CIF, POSCAR or other file of crystals. Read are {FORMATS}.")
    places = [file.relative_to(folder).as_posix() for file in files]
    yield from (raw for _, raw in _read_each(files, places, workers))


def _read_each(files: Sequence[Path], places: Sequence[str], workers: int) -> Iterator[tuple[Path, RawCrystal]]:
    """Read each of many files, which people know by their places, to crystals or reasons why there are none."""
    contents = map_items(_read_member, files, workers, "reading files of crystals")
    for file, name, place, content in zip(files, _names(files, places), places, contents, strict=True):
        for part, origin, crystal in content:
            yield file, RawCrystal(_join(name, part), origin or place, _located(crystal, place))


def _files_within(folder: Path) -> list[Path]:
    """List what a folder and the folders in it hold; a link to a folder, or a folder that is closed, is listed itself."""
    closed: list[Path] = []
    files: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        files += [Path(place, name) for name in names]
        files += [Path(place, name) for name in folders if Path(place, name).is_symlink()]
    return sorted(files + closed)


def _names(files: Sequence[Path], places: Sequence[str]) -> list[str]:
    """Name files by their stem; by name, or by their place, where that leaves two alike."""
    stems, names = Counter(map(_stem, files)), Counter(file.name for file in files)
    return [
        stem if stems[stem := _stem(file)] == 1 else file.name if names[file.name] == 1 else place
        for file, place in zip(files, places, strict=True)
    ]


def _stem(file: Path) -> str:
    name, suffix = _split(file.name)
    return name.removesuffix(Path(name).suffix) or name if suffix in (*SUFFIXES, *LINES) else file.name


def _located(crystal: Structure | Exclusion, place: str) -> Structure | Exclusion:
    """Say in which file an exclusion arose."""
    return replace(crystal, detail=f"{place}: {crystal.detail}") if isinstance(crystal, Exclusion) else crystal


def _join(name: str, part: str) -> str:
    return f"{name}:{part}" if part else name


def _read_alone(path: Path, section: str) -> Iterator[RawCrystal]:
    """Read a file that is no JSON lines; one without any crystal is an error."""
    content = _read_file(path)
    faults = [crystal.detail for _, _, crystal in content if isinstance(crystal, Exclusion)]
    if len(faults) == len(content):
        raise InputError(f"{section}: no crystal of {path} can be read: {faults[0]}.")
    for part, origin, crystal in content:
        yield RawCrystal(_join(_stem(path), part), origin or path.name, _located(crystal, path.name))


def _hidden(file: Path) -> bool:
    return file.name.startswith(".")


def _read_member(file: Path) -> list[tuple[str, str, Structure | Exclusion]]:
    """Read a file of a folder as `_read_file`, unless it is hidden, as what macOS and editors leave beside a file is."""
    if _hidden(file):
        return [("", "", Exclusion("", "other_format", "hidden files, whose names begin with a dot, are not read"))]
    return _read_file(file)


def _read_file(file: Path) -> list[tuple[str, str, Structure | Exclusion]]:
    """Read a file, whatever it is, to at least one crystal or reason.

    Returns
    -------
    of each crystal the name within the file, its source where the file says it, and the crystal or why there is none
    """
    name, suffix = _split(file.name)
    reader = find_reader(name)
    if not file.is_file():
        kind = "a folder that cannot be entered or a link to one" if file.is_dir() else "no file, or a link to none"
        return [("", "", Exclusion("", "other_format", f"it is {kind}"))]
    if reader is None and suffix not in LINES:
        return [("", "", Exclusion("", "other_format", "files of this type are not read"))]
    try:
        content = _content(file)
        if len(content) > MAX_BYTES:
            return [("", "", Exclusion("", "too_large", f"more than {MAX_BYTES // 1_000_000} MB"))]
        if reader is None:
            return _lines_of(decode(content)) or [("", "", unreadable("it is empty"))]
        with np.errstate(all="ignore"):  # what is not a number is excluded by name
            found = [(part, "", crystal) for part, crystal in reader(content)]
        return found or [("", "", unreadable("it holds no crystal"))]
    except Exception as error:  # of any kind: pymatgen and ASE have none of their own
        return [("", "", unreadable(error))]


def _lines_of(text: str) -> list[tuple[str, str, Structure | Exclusion]]:
    """Read the JSON lines of a file of a folder; a row without an id bears the number of its line."""
    read = [read_line(line, str(number)) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    return [(name, str(row.get("source", "")), crystal) for name, row, crystal in read]


def _content(file: Path) -> bytes:
    """Read and uncompress a file, to a little more than the largest that is read at once."""
    with OPENERS.get(file.suffix.lower(), Path.open)(file, "rb") as stream:
        content: bytes = stream.read(MAX_BYTES + 1)
    return content
