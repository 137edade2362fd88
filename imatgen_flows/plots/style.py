"""What all plots have in common: the palette, markers, names of crystals as Plotly writes them, and the look of a figure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from imatgen_flows.candidates.classes import Novelty

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure

Trace = dict[str, Any]  # of a figure, as Plotly's JSON has it
Layout = dict[str, Any]
DIGITS = 5  # of coordinates: 0.00001 eV/atom is far below what a potential can tell


@dataclass(frozen=True)
class Colour:
    """A colour on light paper, and what stands for it on dark paper; both as #rrggbb."""

    light: str
    dark: str


# The one list of colours: of plots, of still figures, and of the report (`report/assets/style.css` is tested against it).
# Classes and samplers are after Okabe and Ito, safe for colour-blind readers; each also has a marker of its own.
PALETTE = {
    "page": Colour("#fbfbfa", "#15181c"),
    "raised": Colour("#ffffff", "#1c2026"),
    "ink": Colour("#1c2127", "#e6e8eb"),
    "muted": Colour("#5c6570", "#9aa3ad"),
    "rule": Colour("#e1e4e8", "#30363d"),
    "band": Colour("#eef1f4", "#242a31"),
    "link": Colour("#0b5c93", "#7cc0f0"),
    "new": Colour("#c44e00", "#ff9345"),
    "substituted": Colour("#0072b2", "#62b6ee"),
    "known": Colour("#00805c", "#3ccfa4"),
    "duplicate": Colour("#8a8f96", "#8a929b"),
    "stable": Colour("#3f7fbf", "#5b9bd8"),
    "unstable": Colour("#c3bcb0", "#5d5a55"),
    "m0": Colour("#39434e", "#c3ccd6"),
    "m1": Colour("#a0458f", "#dc8fce"),
    "m2": Colour("#b08400", "#e3c04f"),
    "m3": Colour("#00827f", "#4fc9c4"),
    "m4": Colour("#8a5a44", "#c99a84"),
}
CLASS_SYMBOLS = {
    Novelty.NEW: "circle",
    Novelty.SUBSTITUTED: "diamond",
    Novelty.KNOWN: "square",
    Novelty.DUPLICATE: "x-thin",
}
# of samplers and sources, in the order of their first sample; their colours are m0 to m4
SAMPLER_SYMBOLS = ("triangle-up-open", "x-thin", "square-open", "diamond-open", "triangle-down-open")
PATTERNS = ("", "/", ".", "\\", "x")  # of bars, as symbols are of points
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif'
E_HULL, E_FORM = "<i>E</i><sub>hull</sub>", "<i>E</i><sub>f</sub>"


def colour(name: str) -> str:
    """Return a colour of the palette on light paper, as #rrggbb."""
    return PALETTE[name].light


def faint(name: str, alpha: float) -> str:
    """Return a colour of the palette that lets through what lies below.

    Examples
    --------
    >>> faint("ink", 0.2)
    'rgba(28, 33, 39, 0.2)'
    """
    red, green, blue = (int(colour(name)[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha})"


def sampler_colour(place: int) -> str:
    """Return the colour of the sampler or source at a place of the list of all."""
    return colour(f"m{place % len(SAMPLER_SYMBOLS)}")


def sampler_marker(place: int, size: float) -> Trace:
    """Return the marker of the sampler or source at a place of the list of all."""
    own, symbol = sampler_colour(place), SAMPLER_SYMBOLS[place % len(SAMPLER_SYMBOLS)]
    return {"symbol": symbol, "size": size, "color": own, "line": {"width": 1.3, "color": own}}


def sampler_bars(place: int) -> Trace:
    """Return the look of bars of the sampler or source at a place of the list of all."""
    return _bars(sampler_colour(place), PATTERNS[place % len(PATTERNS)])


def class_marker(novelty: Novelty, size: float) -> Trace:
    """Return the marker of a class of novelty."""
    own, symbol = colour(novelty.value), CLASS_SYMBOLS[novelty]
    thin = symbol.endswith("thin")
    line = {"width": 1.6, "color": own} if thin else {"width": 0.8, "color": colour("page")}
    return {"symbol": symbol, "size": size, "color": own, "opacity": 0.88, "line": line}


def class_bars(novelty: Novelty) -> Trace:
    """Return the look of bars of a class of novelty."""
    shape = PATTERNS[list(CLASS_SYMBOLS).index(novelty)]
    return _bars(colour(novelty.value), shape)


def _bars(own: str, shape: str) -> Trace:
    """Return bars of a colour, hatched by lines or points of the colour of the page."""
    return {
        "color": own,
        "pattern": {"shape": shape, "fillmode": "overlay", "fgcolor": colour("page"), "solidity": 0.2},
    }


def formula(text: str) -> str:
    """Write a formula with its numbers lowered, as HTML.

    Examples
    --------
    >>> formula("Ca3(PO4)2")
    'Ca<sub>3</sub>(PO<sub>4</sub>)<sub>2</sub>'
    """
    return re.sub(r"([A-Za-z)])([\d.]+)", r"\1<sub>\2</sub>", escape(str(text)))


def space_group(symbol: str) -> str:
    """Write the symbol of a space group with bars and lowered numbers, in the few tags that Plotly knows.

    Examples
    --------
    >>> space_group("P4_2/mnm")
    'P4<sub>2</sub>/mnm'
    """
    barred = re.sub(r"-(\d)", "\\1\u0305", escape(str(symbol)))
    return re.sub(r"_(\d)", r"<sub>\1</sub>", barred)


def energy(value: float | None) -> str:
    """Write an energy in eV/atom with a true minus, and no number as a dash.

    Examples
    --------
    >>> energy(-0.0001), energy(0.25), energy(None)
    ('0.000', '0.250', '–')
    """
    if value is None or not isfinite(value):
        return "–"
    text = f"{value:.3f}"
    return "0.000" if text == "-0.000" else text.replace("-", "−")


def numbers(values: Iterable[float | None], digits: int = DIGITS) -> list[float | None]:
    """Return coordinates as JSON takes them: rounded, and null where there is none."""
    return [round(float(value), digits) if value is not None and isfinite(value) else None for value in values]


# what is read in the box over a candidate: one template a trace, and the data of each point
CANDIDATE_HOVER = (
    f"<b>%{{customdata[0]}}</b>  %{{customdata[1]}}<br>{E_HULL} %{{customdata[2]}} eV/atom"
    f"<br>{E_FORM} %{{customdata[3]}} eV/atom%{{customdata[4]}}<br>%{{customdata[5]}}<br>%{{customdata[6]}}"
)


def candidate_hover(table: pandas.DataFrame) -> list[list[str]]:
    """Return the data of `CANDIDATE_HOVER` for some candidates.

    They are formula, space group, E_hull, formation energy, what else is to be known (E_hull by DFT, what it matches), how it
    was made, and the id of its latest crystal; without a column `made` the sample stands for it.
    """
    return [_hover_of({"made": str(sample), **row}) for sample, row in table_rows(table)]


def table_rows(table: pandas.DataFrame) -> Iterable[tuple[str, dict[str, Any]]]:
    """Return samples and values by column, without a pandas object for each row."""
    return zip(map(str, table.index), table.to_dict("records"), strict=True)


def _hover_of(row: Mapping[str, Any]) -> list[str]:
    validated = row.get("validated_e_above_hull")
    more = ""
    if validated is not None and isfinite(validated):
        more += f"<br>{escape(row['validated_scale'])}: {E_HULL} {energy(validated)} eV/atom"
    if row.get("novelty_match"):
        more += f"<br>as {escape(row['novelty_match'])}"
    return [
        formula(row["formula"]),
        f"{space_group(row['spacegroup'])} ({row['spacegroup_number']})",
        energy(row["e_above_hull"]),
        energy(row.get("formation_energy")),
        more,
        escape(row["made"]),
        str(row.get("validated_id") or row["relaxed_id"]),
    ]


def relaxed(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return the candidates that have an E_hull; the columns that plots read are there even where no row is."""
    if "e_above_hull" not in table:
        table = table.reindex(columns=["formula", "novelty", "e_above_hull", *table.columns])
    return table[table["e_above_hull"].notna()]


def by_class(table: pandas.DataFrame) -> Iterator[tuple[Novelty, pandas.DataFrame]]:
    """Yield the candidates of each class that has some; new ones last, so that they are drawn over the others."""
    for novelty in Novelty:
        rows = table[table["novelty"] == novelty.value]
        if len(rows):
            yield novelty, rows


def rank(novelty: Novelty) -> int:
    """Return the place of a class in the legend: new ones first."""
    return 10 - list(Novelty).index(novelty)


def legend_name(label: str, number: int) -> str:
    """Name a group in the legend, with its size."""
    return f"{escape(label)} ({number:,})"


def distance_title(quantity: str, scale: str) -> str:
    """Name the axis of energies, or at a pressure enthalpies, above the hull of an energy model."""
    above = E_HULL if quantity == "energy" else "Enthalpy above the hull"
    return f"{', '.join(filter(None, (above, escape(scale))))} (eV/atom)"


def axis(title: str, **more: Any) -> Layout:
    """Return an axis with its title; the caller's choices win over those of the template."""
    return {"title": {"text": title}, **more}


def line(at: float, across: Literal["x", "y"], name: str, dash: str = "solid") -> Layout:
    """Return a straight line through the whole plot where a coordinate has a value."""
    along = "y" if across == "x" else "x"
    ends = {f"{across}0": at, f"{across}1": at, f"{along}ref": "paper", f"{along}0": 0, f"{along}1": 1}
    return {"type": "line", "line": {"dash": dash, "width": 1, "color": colour(name)}, **ends}


@dataclass(frozen=True)
class PlotView:
    """One of several ways to look at a figure: the label of its button, and what it changes of traces and layout."""

    label: str
    traces: dict[str, Any]
    layout: Layout


def figure(traces: Sequence[Trace], layout: Layout, views: Sequence[PlotView] = ()) -> Figure:
    """Build a figure in the style of this package.

    Parameters
    ----------
    traces : as Plotly's JSON has them, with plain lists
    layout : what this figure adds to the template
    views : several ways to look at it, the first of which is shown; each gets a button

    Returns
    -------
    a figure whose JSON has neither NaN nor binary arrays
    """
    from plotly.graph_objects import Figure

    if len(views) > 1:
        buttons = [{"label": view.label, "method": "update", "args": [view.traces, view.layout]} for view in views]
        menu = {"type": "buttons", "direction": "right", "buttons": buttons, "showactive": True, "active": 0}
        place = {"x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top", "pad": {"t": 8}}
        layout = layout | {"updatemenus": [menu | place]}
    return Figure({"data": list(traces), "layout": {"template": {"layout": _template()}} | layout})


def _template() -> Layout:
    ruled = {
        "gridcolor": colour("rule"),
        "linecolor": colour("muted"),
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": colour("rule"),
        "tickfont": {"color": colour("muted"), "size": 12},
        "title": {"standoff": 12, "font": {"size": 13}},
    }
    return {
        "font": {"family": FONT, "color": colour("ink"), "size": 13},
        "paper_bgcolor": colour("page"),
        "plot_bgcolor": colour("page"),
        "margin": {"l": 66, "r": 34, "t": 12, "b": 56},
        "modebar": {
            "orientation": "v",
            "bgcolor": "rgba(0,0,0,0)",
            "color": colour("rule"),
            "activecolor": colour("muted"),
        },
        "hoverlabel": {
            "bgcolor": colour("raised"),
            "bordercolor": colour("muted"),
            "font": {"color": colour("ink"), "size": 13},
            "align": "left",
        },
        "legend": {
            "font": {"size": 12.5},
            "itemsizing": "constant",
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
        },
        "hovermode": "closest",
        "xaxis": ruled,
        "yaxis": ruled,
    }
