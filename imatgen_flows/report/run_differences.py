"""The page that shows two runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.metrics.run_differences import Find, Pair, RunDifferences
from imatgen_flows.report.markup import count, duration, render, words
from imatgen_flows.report.page import plain

TABLES = {
    "found": "What was found",
    "settings": "Settings that differ",
    "versions": "Versions that differ",
    "evaluations": "Energy evaluations",
    "seconds": "Time",
}


def difference_tables(found: RunDifferences) -> dict[str, list[list[str]]]:
    """Write the tables of a comparison for people: by its key in `TABLES`, rows of a name and both values."""
    return {name: _rows(name, getattr(found, name)) for name in TABLES}


def write_differences(found: RunDifferences, path: Path) -> Path:
    """Write the page of a comparison, one HTML file that fetches nothing.

    Raises
    ------
    InputError
        Where it cannot be written.
    """
    style = (files("imatgen_flows.report") / "assets" / "style.css").read_text(encoding="utf-8")
    page = render(
        "differences",
        found=found,
        tables=difference_tables(found),
        titles=TABLES,
        structures=_structures(found),
        style=Markup(style),
    )
    try:
        return write_atomic(path, page)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}.") from error


def _structures(found: RunDifferences) -> list[tuple[Find, float | None, float | None]]:
    """List the new structures of both runs, with their E_hull in each, lowest first."""
    rows: list[tuple[Find, float | None, float | None]] = [
        (one, one.e_above_hull, other.e_above_hull) for one, other in found.common
    ]
    rows += [(find, find.e_above_hull, None) for find in found.alone[0]]
    rows += [(find, None, find.e_above_hull) for find in found.alone[1]]
    return sorted(rows, key=lambda row: row[0].e_above_hull)


def _rows(name: str, pairs: Mapping[str, Pair]) -> list[list[str]]:
    names = words if name in ("evaluations", "seconds") else str
    return [[names(key), *(_value(name, value) for value in pair)] for key, pair in pairs.items()]


def _value(table: str, value: Any) -> str:
    if value in (None, "", []):
        return "–"
    if table == "seconds":
        return duration(value)
    if isinstance(value, float):
        return f"{value:.3f}" if table == "found" else f"{value:g}"
    return count(value) if isinstance(value, int) and not isinstance(value, bool) else plain(value)
