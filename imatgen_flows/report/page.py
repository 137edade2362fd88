"""The page of a report: one HTML file that fetches nothing."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.report.markup import render, words
from imatgen_flows.report.result_directory import ResultDirectory

SCRIPTS = ("compositions.js", "rounds.js", "plots.js", "drawing.js", "viewer.js", "files.js", "report.js")
UNPACKER = "fflate.js"  # makes zip files too
PACKED = ("3Dmol-min.js",)  # beside plotly.js: libraries that lie compressed in the page


def write_page(
    results: ResultDirectory,
    header: Markup,
    headline: Markup,
    sections: Mapping[str, tuple[str, Markup]],
    data: Mapping[str, Any],
) -> Path:
    """Write `report.html` into a directory.

    Parameters
    ----------
    results : the directory
    header, headline : the top of the page
    sections : by id: link at the top of the page (none where that is empty), and content (none where that is empty)
    data : what the scripts plot and list

    Returns
    -------
    the HTML file; it holds its libraries and all data, and its content security policy forbids any connection

    Raises
    ------
    InputError
        Where the directory cannot be written to.
    """
    from plotly.offline import get_plotlyjs

    assets = files("imatgen_flows.report") / "assets"
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    page = render(
        "page",
        run=results,
        header=header,
        headline=headline,
        links={name: link for name, (link, section) in sections.items() if link and section},
        sections=[section for _, section in sections.values() if section],
        style=Markup((assets / "style.css").read_text(encoding="utf-8")),
        script=Markup("\n".join((assets / name).read_text(encoding="utf-8") for name in SCRIPTS)),
        data=Markup(text.replace("<", "\\u003c")),
        unpacker=Markup((assets / "vendor" / UNPACKER).read_text(encoding="utf-8")),
        libraries=[
            _pack(text)
            for text in (get_plotlyjs(), *((assets / "vendor" / name).read_text(encoding="utf-8") for name in PACKED))
        ],
    )
    try:
        return write_atomic(results.path / "report.html", page)
    except OSError as error:
        raise InputError(f"{results.path}: report.html cannot be written: {error.strerror or error}.") from error


def _pack(script: str) -> str:
    """Compress a script: a third of its size in the page."""
    return base64.b64encode(gzip.compress(script.encode(), compresslevel=9, mtime=0)).decode()


def hull_section(results: ResultDirectory, funnel: bool) -> Markup:
    """Show the hull with the candidates; `funnel` says whether the page has one, in which validated ones are counted."""
    failed = [
        [row["name"], row.get("formula", ""), row.get("kind", ""), words(row["reason"])]
        for row in results.hull.get("failed") or []
    ]
    return render("hull", run=results, failed=failed, funnel=funnel)


def plain(value: object) -> str:
    """Write a value of a JSON file for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {plain(item)}" for key, item in value.items())
    return ", ".join(map(plain, value)) if isinstance(value, (list, tuple)) else str(value)


def when(stamp: str) -> str:
    """Write an ISO time stamp for people, in UTC where it names its zone."""
    try:
        time = datetime.fromisoformat(str(stamp))
    except ValueError:
        return str(stamp)
    return f"{time.astimezone(UTC):%d %b %Y %H:%M} UTC" if time.tzinfo else f"{time:%d %b %Y %H:%M}"
