"""Pieces of the page: numbers, formulas and tables as HTML, everything escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from imatgen_flows.metrics.statistics import rate_interval

Cell = str  # HTML


def table(head: Sequence[Cell], rows: Iterable[Sequence[Cell]], foot: Sequence[Cell] = ()) -> str:
    """Write a table of cells that are HTML already; a first heading alone means that the other column is text."""
    kind = "plain" if all(head[1:]) else "'plain text'"

    def line(cells: Sequence[Cell], tag: str) -> str:
        return (
            "<tr>"
            + "".join(f"<{tag}{' class=num' if place else ''}>{cell}</{tag}>" for place, cell in enumerate(cells))
            + "</tr>"
        )

    body = "".join(line(row, "td") for row in rows)
    last = f"<tfoot>{line(foot, 'td')}</tfoot>" if foot else ""
    return f"<table class={kind}><thead>{line(head, 'th')}</thead><tbody>{body}</tbody>{last}</table>"


def words(name: str) -> str:
    """Write a name of the program for people."""
    return escape(str(name).replace("_", " "))


def plural(count: int) -> str:
    """Return the s of more than one."""
    return "" if count == 1 else "s"


def energy(value: float) -> str:
    """Write an energy in eV/atom, with a minus that is one."""
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")


def share(count: int, total: int) -> str:
    """Write a count, its share, and the 95 % interval of that."""
    low, high = rate_interval(count, total)
    rate = f"{100 * count / total:.1f} %" if total else "–"
    return f"{count:,} &nbsp;{rate} <small>({100 * low:.1f}–{100 * high:.1f})</small>"


def duration(seconds: float) -> str:
    """Write a time in the units that suit it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def formula(text: str) -> str:
    """Write a formula with its numbers lowered."""
    return re.sub(r"([A-Za-z)])([\d.]+)", r"\1<sub>\2</sub>", escape(text))


def spacegroup(symbol: str) -> str:
    """Write a space group with its bars and screw axes."""
    return re.sub(r"_(\d)", r"<sub>\1</sub>", re.sub(r"-(\d)", r"<span class=over>\1</span>", escape(symbol)))
