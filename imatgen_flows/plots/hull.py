"""The convex hull of the references, with the relaxed candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from imatgen_flows.candidates.formulas import atomic_fraction
from imatgen_flows.plots.phases import DISTANCE, FORMATION, ON_HULL, Phase, candidate_points, describe, has_energy
from imatgen_flows.plots.style import (
    Layout,
    PlotView,
    Trace,
    axis,
    by_class,
    colour,
    distance_title,
    faint,
    figure,
    formula,
    line,
    numbers,
    relaxed,
)
from imatgen_flows.plots.ternary import triangle, triangle_layout

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure

WHOLE = (-0.03, 1.03)  # range of compositions, as atomic fraction
NAME_WIDTH = 0.055  # of the formula of a phase, in widths of the plot
NAMES_BELOW = 0.16  # room for these names, in heights of the plot


def hull(
    candidates: pandas.DataFrame,
    references: Sequence[Phase],
    system: Sequence[str],
    threshold: float,
    scale: str = "",
    quantity: str = "energy",
) -> Figure:
    """Plot relaxed candidates and the hull of the references.

    A binary has three views: formation energy against composition, close to the candidates or as a whole, and energy above
    the hull. A ternary has two: the triangle of compositions with its tie lines, and the energy above the hull with a column
    for each composition; a larger system has the latter alone.

    Parameters
    ----------
    candidates : the candidate table, indexed by sample; those without an E_hull are left out
    references : phases of the hull, as in hull.json; energies in eV/atom
    system : elements; a binary is plotted against the atomic fraction of the second; the first of three is at the top
    threshold : E_hull up to which candidates are shortlisted, eV/atom
    scale : energy model, for people
    quantity : ``energy``, or at a pressure ``enthalpy``

    Examples
    --------
    >>> import pandas
    >>> ends = [{"formula": one, "name": one, "kind": "element", "source": "", "fractions": {one: 1.0},
    ...          "formation_energy": 0.0, "e_above_hull": 0.0} for one in ("A", "B")]
    >>> found = hull(pandas.DataFrame(), ends, ["A", "B"], threshold=0.1)
    >>> found.layout.xaxis.title.text, found.data[1].x
    ('Atomic fraction of B', (0.0, 1.0))
    """
    shown = relaxed(candidates)
    titles = {
        FORMATION: f"Formation {', '.join(filter(None, (quantity, escape(scale))))} (eV/atom)",
        DISTANCE: distance_title(quantity, scale),
    }
    if len(system) != 2:
        columns, layout = _by_formula(shown, list(system), threshold, titles[DISTANCE])
        if len(system) != 3:
            return figure(columns, layout)
        return _ternary(
            triangle(shown, references, system), columns, layout | triangle_layout(system, threshold, titles[DISTANCE])
        )
    placed = [(float(phase["fractions"].get(system[1], 0.0)), phase) for phase in references if has_energy(phase)]
    return _Binary(shown, sorted(placed, key=lambda pair: pair[0]), system[1], threshold, titles).figure(quantity)


def _by_formula(table: pandas.DataFrame, system: list[str], threshold: float, title: str) -> tuple[list[Trace], Layout]:
    """Plot E_hull of the candidates of each composition, ordered by the fraction of the second element, the third ..."""
    names = sorted(set(table["formula"]), key=lambda name: ([atomic_fraction(name, one) for one in system[1:]], name))
    traces = [
        candidate_points(novelty, rows) | {"x": list(map(formula, rows["formula"])), "y": numbers(rows[DISTANCE])}
        for novelty, rows in by_class(table)
    ]
    lines = [line(0, "y", "ink"), line(threshold, "y", "muted", dash="dash")]
    across = axis("", type="category", categoryorder="array", automargin=True, categoryarray=list(map(formula, names)))
    return traces, {"xaxis": across, "yaxis": axis(title), "shapes": lines}


def _ternary(in_triangle: list[Trace], columns: list[Trace], layout: Layout) -> Figure:
    """Draw a ternary in its two views, each of which hides the traces of the other."""
    first, second = [True] * len(in_triangle), [True] * len(columns)
    hidden = {"xaxis.visible": False, "yaxis.visible": False, "shapes": []}
    shown = {"xaxis.visible": True, "yaxis.visible": True, "shapes": layout["shapes"]}
    views = [PlotView("Triangle", {"visible": first + [False] * len(columns)}, hidden)]
    if columns:
        views.append(PlotView("Energy above hull", {"visible": [False] * len(in_triangle) + second}, shown))
    axes = {name: layout[name] | {"visible": False} for name in ("xaxis", "yaxis")}
    traces = [trace | {"visible": True} for trace in in_triangle] + [trace | {"visible": False} for trace in columns]
    return figure(traces, layout | axes | {"shapes": []}, views)


@dataclass
class _Binary:
    """The hull of a binary: its candidates, phases by ascending fraction, and what the axes are called."""

    table: pandas.DataFrame
    placed: list[tuple[float, Phase]]
    element: str
    threshold: float
    titles: Mapping[str, str]

    def __post_init__(self) -> None:
        self.on_hull = [pair for pair in self.placed if pair[1][DISTANCE] < ON_HULL]
        self.above = [pair for pair in self.placed if pair[1][DISTANCE] >= ON_HULL]
        self.classes = list(by_class(self.table))
        self.fractions = [[atomic_fraction(name, self.element) for name in rows["formula"]] for _, rows in self.classes]

    def figure(self, quantity: str) -> Figure:
        """Draw it in all its views."""
        wanted = [("Close-up", FORMATION, True)] if self.classes else []
        wanted += [
            (f"Formation {quantity}", FORMATION, False),
            (f"{quantity.capitalize()} above hull", DISTANCE, False),
        ]
        views = [PlotView(label, {"y": self._heights(key)}, self._layout(key, close)) for label, key, close in wanted]
        traces = [trace | {"y": y} for trace, y in zip(self._traces(), views[0].traces["y"], strict=True)]
        first = views[0].layout
        across = axis(f"Atomic fraction of {self.element}", range=first["xaxis.range"])
        up = axis(first["yaxis.title.text"], range=first["yaxis.range"])
        return figure(traces, {"xaxis": across, "yaxis": up, "annotations": first["annotations"]}, views)

    def _traces(self) -> list[Trace]:
        """Return band, hull, references and candidates without their heights, which depend on the view."""
        x = numbers(fraction for fraction, _ in self.on_hull)
        silent = {"mode": "lines", "hoverinfo": "skip", "showlegend": False}
        band = silent | {"x": x + x[::-1], "line": {"width": 0}, "fill": "toself", "fillcolor": faint("muted", 0.13)}
        traces = [band, silent | {"x": x, "line": {"color": colour("ink"), "width": 1.3}}]
        for pairs, name, symbol in self._references():
            traces.append(
                {
                    "x": numbers(fraction for fraction, _ in pairs),
                    "mode": "markers",
                    "name": name,
                    "legendrank": 20,
                    "cliponaxis": False,
                    "marker": {
                        "symbol": symbol,
                        "size": 8,
                        "color": colour("ink"),
                        "line": {"width": 1.4, "color": colour("ink")},
                    },
                    "hovertext": [describe(phase) for _, phase in pairs],
                    "hoverinfo": "text",
                }
            )
        for (novelty, rows), fractions in zip(self.classes, self.fractions, strict=True):
            traces.append(candidate_points(novelty, rows) | {"x": numbers(fractions)})
        return traces

    def _references(self) -> list[tuple[list[tuple[float, Phase]], str, str]]:
        groups = (
            (self.above, "Reference, above the hull", "circle-open"),
            (self.on_hull, "Reference, on the hull", "circle"),
        )
        return [group for group in groups if group[0]]

    def _heights(self, key: str) -> list[list[float | None]]:
        """Return the y of each trace, in their order."""
        y = [phase[key] for _, phase in self.on_hull]
        heights = [y + [value + self.threshold for value in reversed(y)], y]
        heights += [[phase[key] for _, phase in pairs] for pairs, _, _ in self._references()]
        heights += [list(rows[key]) for _, rows in self.classes]
        return [numbers(each) for each in heights]

    def _layout(self, key: str, close: bool) -> Layout:
        """Return what a view sets of the layout."""
        across = WHOLE
        values = [value for _, rows in self.classes for value in rows[key].dropna()]
        if close:
            across = _around([value for fractions in self.fractions for value in fractions], 0.12)
        else:
            values += [phase[key] for _, phase in self.placed]
        low, high = _around(values, 0.06)
        return {
            "xaxis.range": numbers(across),
            "yaxis.range": numbers((low - NAMES_BELOW * (high - low), high)),
            "yaxis.title.text": self.titles[key],
            "annotations": self._names(key, across),
        }

    def _names(self, key: str, across: tuple[float, float]) -> list[Layout]:
        """Return the formulas of the phases on the hull, below them; crowded ones share a base line and go in rows."""
        width = NAME_WIDTH * (across[1] - across[0])
        shown = [(x, phase) for x, phase in self.on_hull if across[0] <= x <= across[1]]
        bases: list[list[float]] = []  # of crowded phases one list, which holds the lowest of them
        ends: list[float] = []  # where the last name of each row is
        rows = []
        for place, (x, phase) in enumerate(shown):
            crowded = place and x - shown[place - 1][0] < width
            bases.append(bases[-1] if crowded else [phase[key]])
            bases[-1][0] = min(bases[-1][0], phase[key])
            row = next((row for row, end in enumerate(ends) if x - end >= width), len(ends))
            ends[row : row + 1] = [x]
            rows.append(row)
        names = []
        for (x, phase), base, row in zip(shown, bases, rows, strict=True):
            name = {"x": round(x, 5), "text": formula(phase["formula"]), "showarrow": False, "font": {"size": 12}}
            below = {"y": base[0], "yref": "y", "yanchor": "top", "yshift": -6 - 16 * row}
            at_foot = {"y": 0, "yref": "paper", "yanchor": "bottom", "yshift": 2 + 16 * row}
            names.append(name | (below if key == FORMATION else at_foot))
        return names


def _around(values: Sequence[float], margin: float) -> tuple[float, float]:
    """Return a range with a margin on both sides, as a share of the distance between lowest and highest."""
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    return low - margin * ((high - low) or 1), high + margin * ((high - low) or 1)
