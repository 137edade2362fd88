"""Readers of INCAR, POSCAR, KPOINTS and POTCAR that refuse what VASP refuses.

They do not use pymatgen on purpose: what pymatgen wrote is checked by independent code.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# the tags that are known, by the type of their values
LOGICAL = _words(
    "ADDGRID GGA_COMPAT KGAMMA LAECHG LASPH LCHARG LCHIMAG LDAU LDIPOL LELF LEPSILON LHFCALC LMIXTAU LNONCOLLINEAR "
    "LOPTICS LORBITALREAL LPEAD LPLANE LSCALAPACK LSORBIT LUSE_VDW LVHAR LVTOT LWAVE"
)
INTEGER = _words(
    "IALGO IBRION ICHARG IMIX INIMIX ISEARCH ISIF ISMEAR ISPIN ISTART ISYM IVDW KPAR LDAUPRINT LDAUTYPE LMAXMIX LORBIT "
    "MAXMIX MIXPRE NBANDS NCORE NEDOS NELM NELMDL NELMIN NPAR NSIM NSW NUPDOWN"
)
REAL = _words(
    "AEXX AMIN AMIX AMIX_MAG BMIX BMIX_MAG EDIFF EDIFFG EFERMI EMAX EMIN ENAUG ENCUT ENINI HFSCREEN KSPACING NELECT "
    "POTIM PSTRESS SIGMA SYMPREC TIME"
)
TEXT = _words("ALGO GGA LREAL METAGGA PREC SYSTEM")
VECTOR = _words("LDAUJ LDAUL LDAUU MAGMOM ROPT RWIGS")


class VaspError(Exception):
    """An error in the inputs at which VASP would stop, or a request that the stand-in does not support."""


@dataclass(frozen=True)
class Crystal:
    """A crystal as read from a POSCAR. Lengths in A; rows of `cell` are the lattice vectors."""

    comment: str
    cell: np.ndarray
    species: tuple[str, ...]
    counts: tuple[int, ...]
    fractional: np.ndarray

    @property
    def symbols(self) -> list[str]:
        """Element of each ion."""
        return [name for name, count in zip(self.species, self.counts, strict=True) for _ in range(count)]


@dataclass(frozen=True)
class Pseudopotential:
    """The header of a POTCAR. Mass in u, cutoff in eV."""

    header: str
    title: str
    element: str
    valence: float
    mass: float
    cutoff: float


@dataclass(frozen=True)
class Mesh:
    """A k-point mesh before its reduction by symmetry, in units of the reciprocal vectors."""

    style: str  # "Gamma", "Monkhorst-Pack" or "explicit"
    divisions: tuple[int, int, int] = (0, 0, 0)
    points: np.ndarray | None = None  # of an explicit list
    weights: np.ndarray | None = None


def read_incar(text: str) -> dict[str, Any]:
    """Read the tags of an INCAR, each as a value of its type.

    Raises
    ------
    VaspError
        Where a value is not of its tag's type, or the tag is not known to the stand-in.
    """
    tags: dict[str, Any] = {}
    for line in text.replace("\\\n", " ").splitlines():
        for statement in re.split(r"[!#]", line)[0].split(";"):
            name, equals, value = (part.strip() for part in statement.partition("="))
            if not equals:
                continue
            name = name.upper()
            try:
                tags[name] = _typed(name, value)
            except (ValueError, IndexError) as error:
                raise VaspError(f"Error reading item {name} from file INCAR: {value!r}") from error
    return tags


def _typed(name: str, value: str) -> Any:
    if name in LOGICAL:
        return _logical(value)
    if name in INTEGER:
        return int(value.split(maxsplit=1)[0])
    if name in REAL:
        return float(value.split(maxsplit=1)[0].lower().replace("d", "e"))
    if name in VECTOR:
        numbers = _numbers(value)
        return [int(number) for number in numbers] if name == "LDAUL" else numbers
    if name in TEXT:
        return value
    raise VaspError(f"INCAR: the tag {name} is not known to the stand-in.")


def _logical(value: str) -> bool:
    letter = value.lstrip(".")[0].upper()
    if letter not in "TF":
        raise ValueError(value)
    return letter == "T"


def _numbers(value: str) -> list[float]:
    """Expand `2*0.6 5` to three numbers."""
    numbers = []
    for word in value.split():
        count, star, number = word.rpartition("*")
        numbers += [float(number)] * (int(count) if star else 1)
    return numbers


def read_poscar(text: str) -> Crystal:
    """Read a POSCAR with element names (VASP 5 or newer).

    Raises
    ------
    VaspError
        Where it is malformed, or fixes some coordinates (selective dynamics).
    """
    lines = text.splitlines()
    try:
        scale = float(lines[1])
        cell = np.array([_row(line) for line in lines[2:5]])
        # a negative scale is the volume
        factor = scale if scale > 0 else (-scale / abs(np.linalg.det(cell))) ** (1 / 3)
        cell = cell * factor
        species, counts = tuple(lines[5].split()), tuple(int(count) for count in lines[6].split())
        mode = lines[7].strip()[:1].lower()
        if mode == "s":
            raise VaspError("POSCAR: selective dynamics is not known to the stand-in.")
        positions = np.array([_row(line) for line in lines[8 : 8 + sum(counts)]])
    except (IndexError, ValueError, np.linalg.LinAlgError) as error:
        raise VaspError(f"POSCAR is malformed: {error}") from error
    if len(species) != len(counts) or positions.shape != (sum(counts), 3):
        raise VaspError("POSCAR: the numbers of species, of counts and of positions do not agree.")
    if mode in ("c", "k"):
        positions = positions * factor @ np.linalg.inv(cell)
    return Crystal(lines[0].strip(), cell, species, counts, positions)


def _row(line: str) -> list[float]:
    first, second, third = line.split()[:3]
    return [float(first), float(second), float(third)]


def read_potcar(text: str) -> list[Pseudopotential]:
    """Read the headers of the pseudopotentials in a POTCAR, in order.

    Raises
    ------
    VaspError
        Where one of them lacks its title, element, valence, mass or cutoff.
    """
    found = []
    for block in text.split("End of Dataset"):
        if not block.strip():
            continue

        def look_up(name: str, block: str = block) -> str:
            match = re.search(rf"\b{name}\s*=\s*([^;\n]+)", block)
            if match is None:
                raise VaspError(f"POTCAR: a pseudopotential has no {name}.")
            return match[1].strip()

        found.append(
            Pseudopotential(
                header=block.strip().splitlines()[0].strip(),
                title=look_up("TITEL"),
                element=look_up("VRHFIN").split(":")[0].strip(),
                valence=float(look_up("ZVAL").split(maxsplit=1)[0]),
                mass=float(look_up("POMASS").split(maxsplit=1)[0]),
                cutoff=float(look_up("ENMAX").split(maxsplit=1)[0]),
            )
        )
    return found


def read_kpoints(text: str) -> Mesh:
    """Read a KPOINTS file: a regular mesh, or a list of points with their weights.

    Raises
    ------
    VaspError
        Where it is malformed, or holds a path or a shifted mesh.
    """
    lines = text.splitlines()
    try:
        count, letter = int(lines[1].split(maxsplit=1)[0]), lines[2].strip()[:1].upper()
        if count > 0:
            if letter != "R":
                raise VaspError("KPOINTS: only points in reciprocal coordinates are known to the stand-in.")
            rows = np.array([[float(word) for word in line.split()[:4]] for line in lines[3 : 3 + count]])
            if rows.shape != (count, 4):
                raise VaspError(f"KPOINTS: {count} points with weights are announced, {rows.shape[0]} are there.")
            return Mesh("explicit", points=rows[:, :3], weights=rows[:, 3] / rows[:, 3].sum())
        if letter not in ("G", "M"):
            raise VaspError(f"KPOINTS: the mode {lines[2].strip()!r} is not known to the stand-in.")
        first, second, third = (int(float(word)) for word in lines[3].split()[:3])
        if len(lines) > 4 and any(float(word) for word in lines[4].split()[:3]):
            raise VaspError("KPOINTS: a shifted mesh is not known to the stand-in.")
    except (IndexError, ValueError) as error:
        raise VaspError(f"KPOINTS is malformed: {error}") from error
    return Mesh("Gamma" if letter == "G" else "Monkhorst-Pack", (first, second, third))


def mesh_by_spacing(cell: np.ndarray, spacing: float, gamma: bool) -> Mesh:
    """Choose the mesh that KSPACING (1/A, with the factor 2 pi) asks for."""
    reciprocal = 2 * np.pi * np.linalg.inv(cell).T
    first, second, third = (max(1, math.ceil(float(np.linalg.norm(vector)) / spacing)) for vector in reciprocal)
    return Mesh("Gamma" if gamma else "Monkhorst-Pack", (first, second, third))


@dataclass(frozen=True)
class Inputs:
    """All input files of one run."""

    incar: dict[str, Any]
    crystal: Crystal
    potcar: list[Pseudopotential]
    mesh: Mesh


def read_inputs(directory: Path) -> Inputs:
    """Read the input files of a directory and check them against each other.

    Raises
    ------
    VaspError
        Where a file is missing or malformed; where POSCAR and POTCAR differ in their elements or the order of these;
        where MAGMOM has not one number an ion, or LDAUU, LDAUJ, LDAUL one a species.
    """
    incar = read_incar(_text(directory / "INCAR"))
    crystal = read_poscar(_text(directory / "POSCAR"))
    potcar = read_potcar(_text(directory / "POTCAR"))
    elements = tuple(item.element for item in potcar)
    if elements != crystal.species:
        raise VaspError(f"POSCAR and POTCAR are inconsistent: {' '.join(crystal.species)} against {' '.join(elements)}")
    _check_length(incar, "MAGMOM", sum(crystal.counts), "ions")
    if incar.get("LDAU"):
        for name in ("LDAUL", "LDAUU", "LDAUJ"):
            _check_length(incar, name, len(crystal.species), "species")
    if (directory / "KPOINTS").exists():
        mesh = read_kpoints(_text(directory / "KPOINTS"))
    else:
        mesh = mesh_by_spacing(crystal.cell, incar.get("KSPACING", 0.5), incar.get("KGAMMA", True))
    return Inputs(incar, crystal, potcar, mesh)


def _check_length(incar: dict[str, Any], name: str, needed: int, unit: str) -> None:
    if name in incar and len(incar[name]) != needed:
        raise VaspError(f"Error reading item {name} from file INCAR: {len(incar[name])} values for {needed} {unit}")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise VaspError(f"{path.name} cannot be read: {error.strerror}") from error
