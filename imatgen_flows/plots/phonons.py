"""Phonons of one crystal: its bands along the path of its zone, and beside them the density of states."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from imatgen_flows.plots.style import Layout, Trace, axis, colour, figure, line, numbers

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

# of points of the zone, as seekpath names them
GREEK = {"GAMMA": "Γ", "DELTA": "Δ", "LAMBDA": "Λ", "SIGMA": "Σ"}


def phonons(bands: Mapping[str, Any], density: Mapping[str, Any], title: str = "") -> Figure:
    """Plot phonon bands and their density of states.

    Parameters
    ----------
    bands : pieces of the path: ``distances`` along it, ``frequencies`` (THz; one row a point, one column a band; negative
        where imaginary), and ``labels`` of both ends
    density : ``frequencies`` (THz) and ``states`` (1/THz)
    title : HTML

    Examples
    --------
    >>> bands = {"distances": [[0, 1]], "frequencies": [[[0.0], [2.0]]], "labels": [["GAMMA", "X"]]}
    >>> found = phonons(bands, {"frequencies": [0, 2], "states": [0.0, 1.0]})
    >>> found.layout.xaxis.ticktext, found.data[0].y
    (('Γ', 'X'), (0.0, 2.0))
    """
    ticks = _ticks(bands)
    end = max(place for piece in bands["distances"] for place in piece)
    states = {
        "x": numbers(density["states"]),
        "y": numbers(density["frequencies"]),
        "xaxis": "x2",
        "mode": "lines",
        "fill": "tozerox",
        "line": {"color": colour("muted"), "width": 1.2},
        "hovertemplate": "%{y:.2f} THz<extra></extra>",
        "showlegend": False,
    }
    layout: Layout = {
        "xaxis": axis("", domain=[0, 0.76], range=[0, end], tickvals=list(ticks), ticktext=list(ticks.values())),
        "xaxis2": axis("States (1/THz)", domain=[0.8, 1], rangemode="tozero", anchor="y"),
        "yaxis": axis("Frequency (THz)"),
        "shapes": [line(0, "y", "muted", dash="dot")],
    }
    if title:
        place: Layout = {"x": 0.01, "y": 0.98, "yanchor": "top"}
        layout |= {"title": {"text": title, "font": {"size": 14}, **place}, "margin": {"t": 40}}
    return figure([_lines(bands), states], layout)


def _lines(bands: Mapping[str, Any]) -> Trace:
    """Return all bands as one line with gaps."""
    x: list[float | None] = []
    y: list[float | None] = []
    for distances, frequencies in zip(bands["distances"], bands["frequencies"], strict=True):
        for band in zip(*frequencies, strict=True):
            x += [*distances, None]
            y += [*band, None]
    return {
        "x": numbers(x[:-1], digits=3),
        "y": numbers(y[:-1], digits=2),
        "mode": "lines",
        "line": {"color": colour("new"), "width": 1.2},
        "hovertemplate": "%{y:.2f} THz<extra></extra>",
        "showlegend": False,
    }


def _ticks(bands: Mapping[str, Any]) -> dict[float, str]:
    """Return the points of high symmetry by their place; where the path jumps, both."""
    ticks: dict[float, str] = {}
    for distances, names in zip(bands["distances"], bands["labels"], strict=True):
        for place, name in zip((distances[0], distances[-1]), map(_greek, names), strict=True):
            at = round(float(place), 3)
            ticks[at] = name if ticks.get(at, name) == name else f"{ticks[at]}|{name}"
    return ticks


def _greek(name: str) -> str:
    for word, letter in GREEK.items():
        name = name.replace(word, letter)
    return re.sub(r"_(\d)", r"<sub>\1</sub>", name)
