"""Templates of the page and their filters: numbers, names, formulas and space groups as HTML, everything escaped."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.schema import COLUMNS
from imatgen_flows.candidates.states import State
from imatgen_flows.metrics.statistics import rate_interval

Cell = str  # of a table; text is escaped, Markup is not


def render(template: str, /, **context: object) -> Markup:
    """Fill a template of `report/templates`; text in the context is escaped."""
    return Markup(_environment().get_template(f"{template}.html.j2").render(context).strip())


def words(name: object) -> str:
    """Write a name of the program for people."""
    return str(name).replace("_", " ")


def plural(count: int) -> str:
    """Return the s of more than one."""
    return "" if count == 1 else "s"


def count(number: float) -> str:
    """Write a count, with commas between thousands."""
    return f"{number:,}"


def energy(value: float) -> str:
    """Write an energy in eV/atom, with a minus that is one."""
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")


def share(number: int, total: int) -> Markup:
    """Write a count, its share, and the 95 % interval of that."""
    low, high = rate_interval(number, total)
    rate = f"{100 * number / total:.1f} %" if total else "–"
    return Markup("{} &nbsp;{} <small>({:.1f}–{:.1f})</small>").format(f"{number:,}", rate, 100 * low, 100 * high)


def duration(seconds: float) -> str:
    """Write a time in the units that suit it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def formula(text: str) -> Markup:
    """Write a formula with its numbers lowered."""
    return Markup(re.sub(r"([A-Za-z)])([\d.]+)", r"\1<sub>\2</sub>", str(escape(text))))


def spacegroup(symbol: str) -> Markup:
    """Write a space group with its bars and screw axes."""
    barred = re.sub(r"-(\d)", r"<span class=over>\1</span>", str(escape(symbol)))
    return Markup(re.sub(r"_(\d)", r"<sub>\1</sub>", barred))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("imatgen_flows.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (words, plural, count, energy, duration, formula, spacegroup)
    environment.filters |= {each.__name__: each for each in filters}
    meaning = next(column.description for column in COLUMNS if column.name == "e_above_hull")
    environment.globals["E_HULL"] = Markup('<abbr title="{}"><i>E</i><sub>hull</sub></abbr>').format(meaning)
    environment.globals["meaning"] = {entry.value: entry.description for entry in (*State, *Novelty)}
    return environment
