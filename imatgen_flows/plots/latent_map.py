"""The latent space: training structures and samples on two principal components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.funnel import fate
from imatgen_flows.plots.style import (
    E_FORM,
    Trace,
    axis,
    colour,
    energy,
    figure,
    formula,
    legend_name,
    numbers,
    sampler_marker,
    table_rows,
)

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure

MANY = 3000  # training structures, from which on they are drawn as small points
Point = Mapping[str, Any]  # a training structure: id, formula, x, y, stable, known and formation_energy (unrelaxed)


def latent_map(
    training: Sequence[Point],
    samples: pandas.DataFrame,
    explained: Sequence[float] = (),
    labels: Mapping[str, str] | None = None,
) -> Figure:
    """Plot training structures, by stability, and the samples of each sampler.

    Parameters
    ----------
    training : training structures, as in latent.json
    samples : the candidate table, indexed by sample; those without a place on the map are left out
    explained : share of the variance along both components
    labels : of samplers and sources, for people; by default their names

    Examples
    --------
    >>> import pandas
    >>> point = {"id": "a", "formula": "A", "x": 0.0, "y": 1.0, "stable": True, "known": False, "formation_energy": -1.0}
    >>> found = latent_map([point], pandas.DataFrame(columns=["sampler", "latent_x"]), explained=[0.3, 0.2])
    >>> found.layout.xaxis.title.text
    'First component (30 % of variance)'
    """
    traces = [_training(training, stable) for stable in (False, True)]
    if known := [point for point in training if point["known"]]:
        traces.append(
            _at(known)
            | {
                "name": legend_name("Known phase", len(known)),
                "hoverinfo": "skip",
                "marker": {
                    "symbol": "circle-open",
                    "size": 9 if len(training) > MANY else 13,
                    "color": colour("ink"),
                    "line": {"width": 1.6},
                },
            }
        )
    placed = samples[samples["latent_x"].notna()]
    for place, sampler in enumerate(samples["sampler"].unique()):
        drawn = placed[placed["sampler"] == sampler]
        if len(drawn):  # a source other than the generator has no latent vectors
            traces.append(_samples(drawn, (labels or {}).get(sampler, str(sampler)), place))
    shares = [f" ({100 * share:.0f} % of variance)" for share in explained] + ["", ""]
    across, up = axis(f"First component{shares[0]}"), axis(f"Second component{shares[1]}")
    return figure(traces, {"xaxis": across, "yaxis": up})


def _training(training: Sequence[Point], stable: bool) -> Trace:
    points = [point for point in training if bool(point["stable"]) is stable]
    many = len(training) > MANY
    label, name = ("Training, stable", "stable") if stable else ("Training, unstable", "unstable")
    return _at(points) | {
        "name": legend_name(label, len(points)),
        "customdata": [
            [
                formula(point["formula"]),
                "  known phase" if point["known"] else "",
                energy(point["formation_energy"]),
                escape(str(point["id"])),
            ]
            for point in points
        ],
        "hovertemplate": f"<b>%{{customdata[0]}}</b>%{{customdata[1]}}<br>{E_FORM} %{{customdata[2]}} eV/atom, unrelaxed"
        "<br>%{customdata[3]}<extra></extra>",
        "marker": {"size": 4 if many else 7, "color": colour(name), "opacity": 0.6 if many else 0.85},
    }


def _at(points: Sequence[Point]) -> Trace:
    return {
        "mode": "markers",
        "x": numbers(point["x"] for point in points),
        "y": numbers(point["y"] for point in points),
    }


def _samples(drawn: pandas.DataFrame, label: str, place: int) -> Trace:
    return {
        "mode": "markers",
        "x": numbers(drawn["latent_x"]),
        "y": numbers(drawn["latent_y"]),
        "name": legend_name(label, len(drawn)),
        # one text a point: plotly takes far longer over a list of lists, and there may be 20,000
        "hovertext": [
            f"<b>{formula(row['formula']) or 'sample'}</b><br>{escape(fate(row))}<br>{escape(sample)}"
            for sample, row in table_rows(drawn)
        ],
        "hovertemplate": f"%{{hovertext}}<extra>{escape(label)}</extra>",
        "marker": sampler_marker(place, 7) | {"opacity": 0.9},
    }
