"""Formats of crystal files: which program's reader takes a file, by its name."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.crystals.cif_files import read_cif
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.json_crystals import read_json
from imatgen_flows.crystals.raw_crystal import Found, unreadable

OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
INVENTED = "cannot be determined"  # pymatgen's warning of a POSCAR without elements, which it makes H, He, Li, ...


def find_reader(name: str) -> Callable[[bytes], Found] | None:
    """Find the function that reads the crystals of a file of this name, without the suffix of a compression.

    Returns
    -------
    the function, which takes the content and may raise anything; None where the format is not read
    """
    return next((reader for pattern, reader in READERS if fnmatch(name.lower(), pattern)), None)


def decode(content: bytes) -> str:
    """Decode text of any origin: UTF-16 with its byte order mark, else UTF-8, else Latin-1, with line feeds alone."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _text(reader: Callable[[str], Found], content: bytes) -> Found:
    text = decode(content)
    if not text.strip():
        return [("", unreadable("it is empty"))]
    if "\0" in text:
        return [("", unreadable("it is not text"))]
    return reader(text)


def _pymatgen(fmt: str, text: str) -> Found:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        crystal = Structure.from_str(text, fmt=fmt)  # type: ignore[arg-type]
    for message in (str(item.message) for item in caught):
        if INVENTED in message:
            return [("", unreadable(message))]
    return [("", crystal)]


def _poscar(text: str) -> Found:
    lines = text.splitlines()
    _refuse_more_than_lines(text, [word for line in lines[5:25] for word in line.split()])
    if len(lines) > 7 and lines[5].strip()[:1].isalpha():
        _check_counts(lines)
    return _pymatgen("poscar", text)


def _check_counts(lines: list[str]) -> None:
    """Refuse a POSCAR whose numbers of atoms suit neither its elements nor its rows: pymatgen takes the shorter list."""
    elements, counts = lines[5].split(), lines[6].split()
    counts = list(itertools.takewhile(str.isdecimal, counts))  # a comment may follow
    if len(elements) != len(counts):
        raise ValueError(f"{len(elements)} elements ({' '.join(elements)}) and {len(counts)} numbers of atoms")
    head = 9 if lines[7][:1] in "sS" and lines[7].strip() else 8
    after = lines[head + sum(map(int, counts)) :][:1]  # velocities stand behind an empty line
    if after and re.match(r"\s*(-?[\d.]+\s+){2}-?[\d.]+", after[0]):
        raise ValueError(f"more rows of coordinates than the {sum(map(int, counts))} atoms that are announced")


def _extxyz(content: bytes) -> Found:
    text = decode(content)
    columns = re.findall(r":[RILS]:(\d+)", text)
    _refuse_more_than_lines(text, [line.strip() for line in text.splitlines()])
    if too_many := next((number for number in columns if len(number) > 3), None):
        raise ValueError(f"{too_many[:20]} columns are announced")
    return _ase("extxyz", content)


def _refuse_more_than_lines(text: str, words: Iterable[str]) -> None:
    """Refuse a file that announces more atoms than it has lines: readers make room or loop for each of them."""
    lines = text.count("\n") + 1
    for word in words:
        try:
            number = int(word)
        except ValueError:
            continue
        if number > lines:
            raise ValueError(f"{word[:20]} atoms are announced in {lines} lines")


def _res(text: str) -> Found:
    """Read each crystal of a .res file: AIRSS joins many into one."""
    parts = [f"TITL{part}" for part in re.split(r"^TITL", text, flags=re.MULTILINE)[1:]]
    if len(parts) < 2:
        return _pymatgen("res", text)
    return [(_title(part), _res_crystal(part)) for part in parts]


def _title(part: str) -> str:
    words = part.splitlines()[0].split()
    return words[1] if len(words) > 1 else ""


def _res_crystal(part: str) -> Structure | Exclusion:
    try:
        return next(crystal for _, crystal in _pymatgen("res", part))
    except Exception as error:  # of any kind, as pymatgen raises it
        return unreadable(error)


def _vasprun(content: bytes) -> Found:
    from pymatgen.io.vasp.outputs import Vasprun

    with _as_file(content, "vasprun.xml") as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about POTCARs and convergence; the geometry is the last one in any case
        run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    return [("", run.final_structure)]


def _ase(fmt: str, content: bytes, text: bool = True) -> Found:
    import ase.io

    with _as_file(decode(content).encode() if text else content, f"crystal.{fmt}") as path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about calculators and constraints; what is no crystal is seen below
            images = ase.io.read(path, index=":", format=fmt)
    if not images:
        raise ValueError("ASE finds no crystal in it")
    names = [str(number) if len(images) > 1 else "" for number in range(1, len(images) + 1)]
    return [(name, _of_atoms(atoms)) for name, atoms in zip(names, images, strict=True)]


def _of_atoms(atoms: Any) -> Structure | Exclusion:
    if not atoms.cell.array.any():
        return unreadable("it has no cell, as a molecule")
    if not np.all(atoms.pbc):
        return unreadable(f"it is periodic along {int(np.sum(atoms.pbc))} axes of three")
    return Structure(atoms.cell.array, atoms.get_chemical_symbols(), atoms.positions, coords_are_cartesian=True)


def _json(text: str) -> Found:
    # the database of ASE has rows by number, and the list of the numbers
    if '"nextid"' in text:
        return _ase("json", text.encode())
    return read_json(text)


@contextmanager
def _as_file(content: bytes, name: str) -> Iterator[Path]:
    """Write what a reader wants to read from a file, under a name that says its format."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield path


# the first pattern that fits decides
READERS: tuple[tuple[str, Callable[[bytes], Found]], ...] = (
    *((pattern, partial(_text, read_cif)) for pattern in ("*.cif", "*.mcif")),
    ("*.json", partial(_text, _json)),
    *((pattern, partial(_text, _poscar)) for pattern in ("*.vasp", "*poscar*", "*contcar*")),
    ("*.res", partial(_text, _res)),
    *((f"*.{fmt}", partial(_text, partial(_pymatgen, fmt))) for fmt in ("xsf", "cssr")),
    ("*vasprun*.xml", _vasprun),
    *((pattern, _extxyz) for pattern in ("*.extxyz", "*.xyz")),
    ("*.cell", partial(_ase, "castep-cell")),
    ("*geometry.in", partial(_ase, "aims")),
    ("*.gen", partial(_ase, "gen")),
    ("*.pwi", partial(_ase, "espresso-in")),
    ("*xdatcar*", partial(_ase, "vasp-xdatcar")),
    *((f"*.{fmt}", partial(_ase, fmt, text=False)) for fmt in ("traj", "db")),
)

SUFFIXES = {pattern[1:] for pattern, _ in READERS if pattern.startswith("*.")} | {".poscar", ".contcar", ".xml"}
