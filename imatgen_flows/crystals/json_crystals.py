"""Crystals of JSON: rows of a .jsonl file, and what pymatgen writes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from pymatgen.core import Structure
from pymatgen.core.periodic_table import get_el_sp

from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.raw_crystal import Found, unreadable


def read_json(text: str) -> Found:
    """Read a file that holds one crystal, a list of them, or JSON lines after all.

    Parameters
    ----------
    text : of the file

    Returns
    -------
    the id or the number of each crystal, empty where it is the only one, and the crystal or the reason why there is none
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if error.msg != "Extra data" or len(lines) == 1:
            raise
        return [read_line(line, str(number))[::2] for number, line in enumerate(lines, start=1)]
    if not isinstance(content, list):
        return [("", _structure_of(content))]
    return [(_id_of(item) or str(number), _structure_of(item)) for number, item in enumerate(content, start=1)]


def read_line(line: str, name: str) -> tuple[str, dict[str, Any], Structure | Exclusion]:
    """Read one line of a .jsonl file.

    Parameters
    ----------
    line : of the file; a comma at its end does no harm
    name : of a crystal whose row has no id

    Returns
    -------
    the id, the row, which is empty where the line is no JSON object, and the crystal or the reason why there is none
    """
    try:
        row = json.loads(line.rstrip().removesuffix(","))
    except (ValueError, RecursionError) as error:
        return name, {}, unreadable(error)
    return _id_of(row) or name, row if isinstance(row, dict) else {}, _structure_of(row)


def _id_of(row: Any) -> str:
    return str(row.get("id") or row.get("material_id") or "") if isinstance(row, dict) else ""


def _structure_of(row: Any) -> Structure | Exclusion:
    """Make the crystal of a row of ours, of pymatgen's dictionary, or of a document that holds one as `structure`."""
    if not isinstance(row, dict):
        return unreadable(f"one JSON object a crystal is expected, not {type(row).__name__}")
    if {"reason", "detail"} <= row.keys():  # an entry of a service that is no crystal, in a file of the cache
        return Exclusion("", str(row["reason"]), str(row["detail"]))
    inner = row.get("structure")
    row = inner if isinstance(inner, dict) else row
    try:
        if "sites" in row and "species" not in row:
            return Structure.from_dict(row)
        lattice = np.array(row["lattice"], dtype=float)
        coords = np.array(row["frac_coords"], dtype=float)
        species = row["species"]
        if lattice.shape != (3, 3) or coords.shape != (len(species), 3):
            raise ValueError(f"{len(species)} species, coordinates of shape {coords.shape}, lattice {lattice.shape}")
        _check_species(species)
        with np.errstate(all="ignore"):  # what is not a number is excluded by name
            return Structure(lattice, species, coords)
    except Exception as error:  # of any kind: pymatgen has none of its own
        return unreadable(error)


def _check_species(species: Iterable[str | dict[str, float]]) -> None:
    """Refuse what pymatgen cannot read as a species, or fails at without naming it."""
    for symbol in {symbol for site in species for symbol in (site if isinstance(site, dict) else (site,))}:
        try:
            get_el_sp(symbol)
        except Exception as error:  # a KeyError, a TypeError or another, by the symbol
            raise ValueError(f"`{symbol}` names no element") from error
