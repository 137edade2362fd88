"""The distribution of E_hull: relaxed candidates by class of novelty, and the shares of each source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from html import escape
from math import floor
from typing import TYPE_CHECKING

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.plots.style import (
    E_HULL,
    PlotView,
    Trace,
    axis,
    by_class,
    candidate_hover,
    class_bars,
    colour,
    distance_title,
    figure,
    legend_name,
    line,
    numbers,
    rank,
    relaxed,
    sampler_colour,
    sampler_marker,
)

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure

BIN = 0.025  # eV/atom: thermal energy at 300 K; the usual thresholds are multiples of it
NAMED = 4  # candidates of a bin that are named, the lowest
SHOWN = 0.95  # share of the candidates up to which the axis reaches


def energies(
    candidates: pandas.DataFrame,
    threshold: float,
    labels: Mapping[str, str] | None = None,
    scale: str = "",
    quantity: str = "energy",
) -> Figure:
    """Plot the distribution of E_hull of the relaxed candidates.

    The first view counts the candidates of each class of novelty. The second has a curve for each source: the share of its
    relaxed candidates up to an E_hull, with a point for each candidate.

    Parameters
    ----------
    candidates : the candidate table, indexed by sample; those without an E_hull are left out
    threshold : E_hull up to which candidates are shortlisted, eV/atom
    labels : of samplers and sources, for people; by default their names
    scale : energy model, for people
    quantity : ``energy``, or at a pressure ``enthalpy``

    Examples
    --------
    >>> import pandas
    >>> row = {"formula": "A", "novelty": "new", "e_above_hull": 0.03, "sampler": "prior", "spacegroup": "P1",
    ...        "spacegroup_number": 1, "relaxed_id": "0"}
    >>> found = energies(pandas.DataFrame([row]), threshold=0.1)
    >>> found.data[0].name, found.data[0].x, found.data[0].y
    ('New (1)', (0.0375,), (1,))
    """
    shown = relaxed(candidates).sort_values("e_above_hull", kind="stable")
    # new ones at the foot of the bars, where their number can be read
    classes = [_bars(novelty, rows) for novelty, rows in reversed(list(by_class(shown)))]
    sources = [
        _curve(shown[shown["sampler"] == sampler], (labels or {}).get(sampler, str(sampler)), place)
        for place, sampler in enumerate(candidates["sampler"].unique())
        if (shown["sampler"] == sampler).any()
    ]
    visible = [True] * len(classes) + [False] * len(sources)
    count, share = "Relaxed candidates", "Relaxed candidates up to there (%)"
    views = [
        PlotView("By novelty", {"visible": visible}, {"yaxis.title.text": count}),
        PlotView("By source", {"visible": [not one for one in visible]}, {"yaxis.title.text": share}),
    ]
    low, high, beyond = _range(shown["e_above_hull"], threshold)
    layout = {
        "barmode": "stack",
        "showlegend": True,  # of one group too
        "xaxis": axis(distance_title(quantity, scale), range=[low, high]),
        "yaxis": axis(count, rangemode="tozero"),
        "shapes": [line(0, "x", "ink"), line(threshold, "x", "muted", dash="dash")],
        "annotations": [_beyond(beyond, high)] if beyond else [],
    }
    traces = [trace | {"visible": one} for trace, one in zip([*classes, *sources], visible, strict=True)]
    return figure(traces, layout, views)


def _bars(novelty: Novelty, rows: pandas.DataFrame) -> Trace:
    """Count the candidates of a class, lowest first, in bins."""
    bins: dict[int, list[str]] = defaultdict(list)
    for distance, (name, group, distance_text, *_, crystal) in zip(
        rows["e_above_hull"], candidate_hover(rows), strict=True
    ):
        bins[floor(distance / BIN + 1e-9)].append(f"{name}  {group}  {distance_text} eV/atom  {crystal}")
    return {
        "type": "bar",
        "name": legend_name(novelty.label, len(rows)),
        "legendrank": rank(novelty),
        "x": numbers((place + 0.5) * BIN for place in bins),
        "width": BIN,
        "y": [len(names) for names in bins.values()],
        "marker": class_bars(novelty) | {"line": {"width": 0.5, "color": colour("page")}},
        "customdata": [[f"{place * BIN:g}–{(place + 1) * BIN:g}", _lowest(names)] for place, names in bins.items()],
        "hovertemplate": f"<b>%{{y}} {novelty.label.lower()}</b>, %{{customdata[0]}} eV/atom"
        "<br>%{customdata[1]}<extra></extra>",
    }


def _lowest(names: list[str]) -> str:
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return "<br>".join([*names[:NAMED], *more])


def _curve(rows: pandas.DataFrame, label: str, place: int) -> Trace:
    """Return the share of the candidates of a source, lowest first, up to each of them."""
    return {
        "mode": "lines+markers",
        "name": legend_name(label, len(rows)),
        "x": numbers(rows["e_above_hull"]),
        "y": numbers(100 * (place + 1) / len(rows) for place in range(len(rows))),
        "line": {"shape": "hv", "width": 1.5, "color": sampler_colour(place)},
        "marker": sampler_marker(place, 6),
        "customdata": [[name, group, crystal] for name, group, *_, crystal in candidate_hover(rows)],
        "hovertemplate": f"<b>%{{customdata[0]}}</b>  %{{customdata[1]}}<br>{E_HULL} %{{x:.3f}} eV/atom"
        f"<br>%{{y:.1f}} % of {escape(label.lower())} up to there<br>%{{customdata[2]}}<extra></extra>",
    }


def _range(distances: pandas.Series, threshold: float) -> tuple[float, float, int]:
    """Return the range that is shown first, in whole bins, and the number of candidates beyond it."""
    if not len(distances):
        return -BIN, 2 * threshold, 0
    low = min(0.0, BIN * floor(distances.min() / BIN)) - BIN / 2
    wanted = max(float(distances.quantile(SHOWN)), 2 * threshold)
    high = BIN * (floor(wanted / BIN) + 1) + BIN / 2
    return round(low, 5), round(high, 5), int((distances > high).sum())


def _beyond(number: int, high: float) -> dict[str, object]:
    return {
        "text": f"{number:,} beyond {high:.2f} eV/atom",
        "xref": "paper",
        "yref": "paper",
        "x": 1,
        "y": 1,
        "xanchor": "right",
        "yanchor": "top",
        "showarrow": False,
        "font": {"size": 12, "color": colour("muted")},
    }
