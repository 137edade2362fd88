"""Checks of a block of a CIF for what pymatgen reads as another crystal, or reads for minutes, without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from math import cos, inf, radians
from typing import Any

from pymatgen.io.cif import CifBlock, str2float
from pymatgen.symmetry.groups import SpaceGroup

CELL = tuple(f"_cell_length_{axis}" for axis in "abc") + tuple(
    f"_cell_angle_{name}" for name in ("alpha", "beta", "gamma")
)
COORDINATES = tuple(f"_atom_site_fract_{axis}" for axis in "xyz")
OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
UNKNOWN = ("", "?", ".")  # values that are none
# Sites that the operations make of those in the table, before equal ones are joined, which takes pymatgen 1 s for 4,000 and
# four times as long for twice as many. A crystal within the limits of 200 sites has fewer by far.
MAX_POSITIONS = 5000
FLAT = 1e-6  # squared volume of a cell of edges 1
LENGTH, ANGLE = 0.02, 1.0  # by which a cell may miss its crystal system: as a share, and in degrees; choices

TEXT_FIELD = re.compile(r"^;.*?^;", re.MULTILINE | re.DOTALL)
NAME = re.compile(
    r"^[ \t]*(_(?:cell|atom_site|symmetry|space_group)\S*)[ \t]*(.*?)[ \t]*$", re.MULTILINE | re.IGNORECASE
)
GROUP_KEY = re.compile(r"_(symmetry|space_group)[._].*(name|number|int_tables)", re.IGNORECASE)


def faults(block: CifBlock, text: str) -> Iterator[str]:
    """Yield what forbids to read a block.

    Parameters
    ----------
    block : as pymatgen takes it apart
    text : of the block; where a name stands twice, pymatgen keeps the last
    """
    yield from _repeated_names(text)
    yield from _cell_faults(block.data)
    yield from _site_faults(block.data)
    yield from _group_faults(block.data)


def count_positions(block: CifBlock) -> int:
    """Count the sites that the symmetry operations make of the table of sites, at most."""
    rows = max((len(value) for key in COORDINATES if isinstance(value := block.data.get(key), list)), default=0)
    operations = next((len(v) for key in OPERATIONS if isinstance(v := block.data.get(key), list)), 0)
    group = _named_group(block.data)
    return rows * (operations or (group.order if group else 1))


def stated_groups(data: dict[str, Any]) -> list[str]:
    """List the names and numbers of a space group that a block states, but for P 1."""
    stated = {str(value).strip("'\" ") for key, value in data.items() if GROUP_KEY.match(key)}
    return sorted(name for name in stated if name.replace(" ", "") not in (*UNKNOWN, "P1", "1"))


def _repeated_names(text: str) -> Iterator[str]:
    values: dict[str, list[str]] = {}
    for name, value in NAME.findall(TEXT_FIELD.sub("", text)):
        values.setdefault(name.lower(), []).append(value)
    for name, given in values.items():
        # the same value twice does no harm, a second table of sites does
        if len(given) > 1 and (len(set(given)) > 1 or name.startswith("_atom_site")):
            yield f"`{name}` stands {len(given)} times"


def _cell_faults(data: dict[str, Any]) -> Iterator[str]:
    if missing := [key for key in CELL if data.get(key) in (None, *UNKNOWN)]:
        yield f"it has no cell (`{missing[0]}` is missing), as a molecule"
        return
    values = [str2float(data[key]) for key in CELL]
    for key, value in zip(CELL, values, strict=True):
        if not 0 < value < inf:
            yield f"`{key}` is {value:g}"
    x, y, z = (cos(radians(angle)) for angle in values[3:])
    if 1 - x * x - y * y - z * z + 2 * x * y * z < FLAT:
        yield f"no cell has the angles {values[3]:g}, {values[4]:g} and {values[5]:g}"


def _site_faults(data: dict[str, Any]) -> Iterator[str]:
    labels = data.get("_atom_site_label") or data.get("_atom_site_type_symbol") or []
    for key in COORDINATES:
        column = data.get(key)
        if not isinstance(column, list):
            yield f"it has no fractional coordinates (`{key}`)"
            return
        if empty := [number for number, value in enumerate(column) if value in UNKNOWN]:
            yield f"site {_label(labels, empty[0])} has no coordinates"
    shares = data.get("_atom_site_occupancy")
    for number, share in enumerate(shares if isinstance(shares, list) else []):
        if share not in UNKNOWN and str2float(share) < 0:
            yield f"site {_label(labels, number)} has an occupancy of {share}"
    flags = data.get("_atom_site_calc_flag")
    if isinstance(flags, list) and "dum" in flags:
        yield f"site {_label(labels, flags.index('dum'))} is a dummy (`_atom_site_calc_flag`)"


def _label(labels: Any, number: int) -> str:
    return str(labels[number]) if isinstance(labels, list) and number < len(labels) else str(number + 1)


def _group_faults(data: dict[str, Any]) -> Iterator[str]:
    """Compare the name of the space group with its number, and the cell with the crystal system."""
    group, number = _named_group(data), _group_number(data)
    if group and number and group.int_number != number:
        yield f"its space group is {group.symbol} ({group.int_number}) by name, and number {number}"
        return
    group = group or (SpaceGroup.from_int_number(number) if number else None)
    if group is None or any(data.get(key) in (None, *UNKNOWN) for key in CELL):
        return
    a, b, c, alpha, beta, gamma = (str2float(data[key]) for key in CELL)
    right = max(abs(angle - 90) for angle in (alpha, beta, gamma)) < ANGLE
    square, cube = abs(a / b - 1) < LENGTH, abs(a / b - 1) < LENGTH and abs(a / c - 1) < LENGTH
    hexagonal = square and max(abs(alpha - 90), abs(beta - 90), abs(gamma - 120)) < ANGLE
    rhombohedral = cube and max(abs(alpha - beta), abs(alpha - gamma)) < ANGLE
    # a monoclinic cell has one of three unique axes, and a triclinic one no condition
    fits = {
        "cubic": cube and right,
        "tetragonal": right and (square or abs(b / c - 1) < LENGTH or abs(a / c - 1) < LENGTH),
        "orthorhombic": right,
        "hexagonal": hexagonal,
        "trigonal": hexagonal or rhombohedral,
    }
    if not fits.get(group.crystal_system, True):
        cell = f"{a:g} {b:g} {c:g} {alpha:g} {beta:g} {gamma:g}"
        yield f"its cell {cell} is not {group.crystal_system}, as its space group {group.symbol} is"


def _named_group(data: dict[str, Any]) -> SpaceGroup | None:
    """Find the space group by its Hermann-Mauguin name; None where none is given that pymatgen knows."""
    for key, value in data.items():
        if GROUP_KEY.match(key) and "H-M" in key and (group := _group(str(value).strip("'\" ").replace(" ", ""))):
            return group
    return None


@lru_cache(maxsize=500)
def _group(name: str) -> SpaceGroup | None:
    try:
        return SpaceGroup(name)
    except ValueError:
        return None


def _group_number(data: dict[str, Any]) -> int | None:
    for key in ("_symmetry_Int_Tables_number", "_space_group_IT_number"):
        value = str(data.get(key, "")).strip()
        if value.isdecimal() and 1 <= int(value) <= 230:
            return int(value)
    return None
