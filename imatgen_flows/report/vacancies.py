"""The report's section on the vacancy check, where one has been made."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import UndefinedError
from markupsafe import Markup

from imatgen_flows.errors import InputError
from imatgen_flows.report.markup import render

VACANCIES_FILE = "vacancies.json"


def vacancies_section(path: str | Path) -> Markup:
    """Write the result of `imatgen study vacancies` as a section of HTML.

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
        return Markup()
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return render(
            "vacancies",
            found=found,
            returned=sum(bool(row["match"]) for row in found["candidates"]),
            controls=found.get("controls_returned") or {"of": 0},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UndefinedError) as error:
        raise InputError(f"{file}: cannot be read. Run `imatgen study vacancies` again, or delete it.") from error
