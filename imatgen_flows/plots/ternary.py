"""The hull of a ternary: its triangle of compositions with tie lines, phases, and relaxed candidates by E_hull."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from imatgen_flows.candidates.formulas import atomic_fraction
from imatgen_flows.plots.phases import DISTANCE, FORMATION, ON_HULL, Phase, candidate_points, describe, has_energy
from imatgen_flows.plots.style import Layout, Trace, axis, by_class, colour, formula, numbers

if TYPE_CHECKING:
    import pandas

COORDINATES = ("a", "b", "c")  # of Plotly's triangles: a is at the top
TOP = 0.93  # of the triangle, in heights of the plot: the name of its axis is above
FULL_SCALE = 2.0  # E_hull, in thresholds, from which on all candidates are as faint


def triangle(table: pandas.DataFrame, references: Sequence[Phase], system: Sequence[str]) -> list[Trace]:
    """Return tie lines, phases and candidates of a ternary, whose first element is at the top of the triangle.

    Parameters
    ----------
    table : relaxed candidates
    references : phases of the hull
    system : three elements
    """
    phases = [phase for phase in references if has_energy(phase)]
    stable = [phase for phase in phases if phase[DISTANCE] < ON_HULL]
    above = [phase for phase in phases if phase[DISTANCE] >= ON_HULL]
    traces = [_lines(tie_lines(stable, system), system)]
    if above:
        traces.append(_references(above, system, "Reference, above the hull", "circle-open"))
    traces.append(_references(stable, system, "Reference, on the hull", "circle"))
    for novelty, rows in by_class(table):
        ordered = rows.sort_values(DISTANCE, ascending=False, kind="stable")  # the best is drawn over the others
        places = [[atomic_fraction(name, element) for element in system] for name in ordered["formula"]]
        points = candidate_points(novelty, ordered) | _coordinates(places)
        marker = points["marker"] | {"color": numbers(ordered[DISTANCE]), "coloraxis": "coloraxis", "opacity": 1.0}
        marker["line"] = {"width": 1.6 if marker["symbol"].endswith("thin") else 1.0, "color": colour("ink")}
        traces.append(points | {"type": "scatterternary", "marker": marker})
    return traces


def triangle_layout(system: Sequence[str], threshold: float, title: str) -> Layout:
    """Return what the triangle adds to a layout: its three axes, and the colours of E_hull."""
    ruled = {
        "gridcolor": colour("rule"),
        "linecolor": colour("muted"),
        "tickfont": {"color": colour("muted"), "size": 11},
    }
    axes = {
        f"{name}axis": axis(f"Atomic fraction of {element}", **ruled)
        for name, element in zip(COORDINATES, system, strict=True)
    }
    scale = [[0.0, colour("new")], [0.5, colour("m2")], [1.0, colour("unstable")]]
    bar = {
        "title": {"text": title, "side": "right", "font": {"size": 13}},
        "thickness": 12,
        "outlinewidth": 0,
        "x": 0.9,
    }
    colours = {"colorscale": scale, "cmin": 0.0, "cmax": FULL_SCALE * threshold, "colorbar": bar}
    return {"ternary": {"sum": 1, "bgcolor": colour("page"), "domain": {"y": [0, TOP]}, **axes}, "coloraxis": colours}


def tie_lines(stable: Sequence[Phase], system: Sequence[str]) -> list[tuple[Phase, Phase]]:
    """Return the pairs of phases that are in equilibrium: the edges of the lower convex hull; none where an element lacks.

    Parameters
    ----------
    stable : phases on the hull
    system : three elements

    Examples
    --------
    >>> corners = [{"formula": one, "fractions": {one: 1.0}, "formation_energy": 0.0} for one in "ABC"]
    >>> compound = {"formula": "AB", "fractions": {"A": 0.5, "B": 0.5}, "formation_energy": -1.0}
    >>> lines = tie_lines([*corners, compound], "ABC")
    >>> sorted("-".join(sorted(one["formula"] for one in pair)) for pair in lines)
    ['A-AB', 'A-C', 'AB-B', 'AB-C', 'B-C']
    """
    import numpy as np
    from scipy.spatial import ConvexHull

    if not {(one,) for one in system} <= {tuple(phase["fractions"]) for phase in stable}:
        return []
    points = [[phase["fractions"].get(one, 0.0) for one in system[1:]] + [phase[FORMATION]] for phase in stable]
    above = [1 / 3, 1 / 3, 1.0 + max(point[2] for point in points)]  # closes the hull over its lower half
    hull = ConvexHull(np.array([*points, above]))
    lower = hull.simplices[hull.equations[:, 2] < -ON_HULL]
    edges = {
        edge for simplex in lower if len(stable) not in simplex for edge in combinations(sorted(simplex.tolist()), 2)
    }
    return [(stable[one], stable[other]) for one, other in sorted(edges)]


def _lines(pairs: Iterable[tuple[Phase, Phase]], system: Sequence[str]) -> Trace:
    ends: list[list[float] | None] = [
        place for pair in pairs for place in (*(_place(phase, system) for phase in pair), None)
    ]
    return {
        "type": "scatterternary",
        "mode": "lines",
        "hoverinfo": "skip",
        "showlegend": False,
        "line": {"color": colour("muted"), "width": 1.2},
        **_coordinates(ends),
    }


def _references(phases: Sequence[Phase], system: Sequence[str], name: str, symbol: str) -> Trace:
    on_hull = symbol == "circle"
    return {
        "type": "scatterternary",
        "mode": "markers+text" if on_hull else "markers",
        "name": name,
        "legendrank": 20,
        "cliponaxis": False,
        "marker": {"symbol": symbol, "size": 7, "color": colour("ink"), "line": {"width": 1.2, "color": colour("ink")}},
        "text": ["" if len(phase["fractions"]) == 1 else formula(phase["formula"]) for phase in phases],
        "textposition": [_side(_place(phase, system)) for phase in phases],
        "textfont": {"size": 11.5},
        "hovertext": list(map(describe, phases)),
        "hoverinfo": "text",
        **_coordinates(_place(phase, system) for phase in phases),
    }


def _side(place: Sequence[float]) -> str:
    """Return where the name of a phase stands: outside the triangle, where the phase is on one of its edges."""
    top, _, right = place
    if top == 0:
        return "bottom center"
    return "middle right" if place[1] == 0 and right else "middle left"


def _place(phase: Phase, system: Sequence[str]) -> list[float]:
    return [float(phase["fractions"].get(one, 0.0)) for one in system]


def _coordinates(places: Iterable[Sequence[float] | None]) -> Trace:
    """Return the coordinates of points; None interrupts a line."""
    columns = zip(*(place or (None, None, None) for place in places), strict=True)
    return dict(zip(COORDINATES, map(numbers, columns), strict=False))
