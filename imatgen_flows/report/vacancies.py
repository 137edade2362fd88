"""The report's section on the vacancy check, where one has been made."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from imatgen_flows.errors import InputError

VACANCIES_FILE = "vacancies.json"

_HEAD = (
    "Candidate",
    "Cell",
    "<i>E</i><sub>hull</sub>",
    "Filled",
    "Void (Å)",
    "<i>E</i> unrelaxed",
    "<i>E</i> relaxed",
    "<i>E</i><sub>hull</sub>, filled",
    "RMS",
    "Evaluations",
    "Equals",
)


def vacancies_section(path: str | Path) -> str:
    """Write what `imatgen evaluate vacancies` found as a section of HTML.

    Parameters
    ----------
    path : run directory

    Returns
    -------
    the section; empty where the check was not made

    Raises
    ------
    InputError
        Where the file of the check cannot be read.
    """
    file = Path(path) / VACANCIES_FILE
    if not file.is_file():
        return ""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        rows = [_row(row) for row in found["candidates"]]
        caption = _caption(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: cannot be read. Run `imatgen evaluate vacancies` again, or delete it.") from error
    table = _table(rows) if rows else ""
    return f"<section id=vacancies><h2>Vacancy check</h2><p class=caption>{caption}</p>{table}</section>"


def _caption(found: dict[str, Any]) -> str:
    rows, cation = found["candidates"], escape(found["cation"])
    compound = f"{cation}{escape(found['anion'])}"
    if not rows:
        return f"No new candidate lacks one {cation} to be {compound}: there was nothing to put back."
    again, dataset = sum(bool(row["match"]) for row in rows), found["dataset"]
    return (
        f"One {cation} was put into the best voids, at most {found['sites_at_most']}, of each cell that lacks one to be "
        f"{compound}, and the lowest that resulted was kept: {again} of {len(rows)} return a {compound} of the dataset or "
        f"a known one. {_controls(found)}"
        f"Of {dataset['structures']:,} such structures, {dataset['relaxed'] + dataset['relaxed_now']:,} were "
        f"compared as relaxed, and then all as made. Energies are of {escape(found['potential'])}, in eV/atom; the check "
        f"took {found['evaluations_total']:,} energy evaluations beside the ledger's."
    )


def _controls(found: dict[str, Any]) -> str:
    """Say what random crystals come to; runs without controls have none."""
    controls = found.get("controls_returned") or {}
    if not controls.get("of"):
        return ""
    count, of = controls["count"], controls["of"]
    return f"Of {of} controls, each the lowest of as many random crystals of the same cell, {count} do. "


def _row(row: dict[str, Any]) -> list[str]:
    if row["reason"]:
        equals = f"not relaxed: {escape(row['reason'].replace('_', ' '))}"
    elif row["match"]:
        equals = f"{escape(row['match'])} ({escape(row['match_state'])})"
    else:
        equals = "none"
    return [
        f"<code>{escape(row['id'])}</code>",
        _formula(row["formula"]),
        _number(row["e_above_hull"]),
        _formula(row["filled_formula"]),
        f"{row['site_distance']:.2f}",
        _number(row["unrelaxed_energy_per_atom"]),
        _number(row["filled_energy_per_atom"]),
        _number(row["filled_e_above_hull"]),
        _number(row["rms"]),
        f"{row['evaluations']:,}",
        equals,
    ]


def _table(rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        first, *numbers, last = cells
        middle = "".join(f"<{tag} class=num>{cell}</{tag}>" for cell in numbers)
        return f"<tr><{tag}>{first}</{tag}>{middle}<{tag}>{last}</{tag}></tr>"

    head, body = line(_HEAD, "th"), "".join(line(row, "td") for row in rows)
    table = f"<table class='plain text'><thead>{head}</thead><tbody>{body}</tbody></table>"
    return f"<div class=scroll>{table}</div>"


def _formula(text: str) -> str:
    return re.sub(r"(\d+)", r"<sub>\1</sub>", escape(text))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")
