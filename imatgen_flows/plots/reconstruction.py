"""Errors of reconstruction: the share of structures below each error."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import TYPE_CHECKING

from imatgen_flows.plots.style import Layout, Trace, axis, colour, figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SMALLEST = 1e-5  # an error of zero has no place on a logarithmic axis
WIDTH, STEP = 0.31, 0.345  # of a panel, and from one to the next
Errors = tuple[str, str, float, Sequence[float | None]]  # title, unit, tolerance, and error of each structure


def reconstruction(errors: Sequence[Errors]) -> Figure:
    """Plot the share of structures below each error, in a panel a kind of error.

    Structures without an error, for example with a wrong number of atoms, count as failures: a curve may end below 100 %.

    Parameters
    ----------
    errors : title, unit, tolerance and errors of the structures, up to three

    Examples
    --------
    >>> found = reconstruction([("Cell lengths", "Å", 0.1, [0.2, None, 0.01, 0.05])])
    >>> found.data[0].y, found.layout.annotations[0].text
    ((25.0, 50.0, 75.0), '<b>Cell lengths</b>   50.0 % within 0.1 Å')
    """
    panels = [_panel(place, *error) for place, error in enumerate(errors)]
    layout: Layout = {"shapes": [], "annotations": [], "margin": {"l": 56, "r": 34, "t": 34, "b": 52}}
    for _, axes, shape, annotation in panels:
        layout |= axes
        layout["shapes"].append(shape)
        layout["annotations"].append(annotation)
    return figure([trace for trace, *_ in panels], layout)


def _panel(
    place: int, title: str, unit: str, tolerance: float, values: Sequence[float | None]
) -> tuple[Trace, Layout, Layout, Layout]:
    """Return curve, axes, line of the tolerance and heading of a panel."""
    number = str(place + 1) if place else ""
    finite = sorted(max(value, SMALLEST) for value in values if value is not None)
    trace: Trace = {
        "mode": "lines",
        "x": [float(f"{value:.4g}") for value in finite],
        "y": [round(100 * (rank + 1) / len(values), 3) for rank in range(len(finite))],
        "xaxis": f"x{number}",
        "yaxis": f"y{number}",
        "line": {"shape": "hv", "width": 2, "color": colour("stable")},
        "hovertemplate": f"%{{y:.1f}} % below %{{x:.2g}} {unit}<extra></extra>",
        "showlegend": False,
    }
    low, high = (finite[0], max(finite[-1], tolerance)) if finite else (tolerance / 100, tolerance)
    along = axis(
        f"Error ({unit})",
        type="log",
        dtick=1,
        exponentformat="power",
        domain=[place * STEP, place * STEP + WIDTH],
        range=[log10(low) - 0.1, log10(high) + 0.25],
        anchor=f"y{number}",
    )
    up = axis("" if place else "Structures below (%)", range=[0, 103], anchor=f"x{number}")
    line = {"dash": "dash", "width": 1, "color": colour("muted")}
    ends = {"x0": tolerance, "x1": tolerance, "y0": 0, "y1": 103}
    within = sum(value <= tolerance for value in finite)
    share = f"{100 * within / len(values):.1f} % within {tolerance} {unit}" if values else "no data"
    heading = {
        "text": f"<b>{title}</b>   {share}",
        "xref": "paper",
        "yref": "paper",
        "x": place * STEP,
        "y": 1.02,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 13},
    }
    shape = {"type": "line", "xref": f"x{number}", "yref": f"y{number}", "line": line, **ends}
    return trace, {f"xaxis{number}": along, f"yaxis{number}": up}, shape, heading
