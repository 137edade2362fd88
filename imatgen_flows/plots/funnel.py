"""The funnel: how many samples reached each state, by sampler."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from imatgen_flows.candidates.funnel import FATE, Step, funnel_steps
from imatgen_flows.plots.style import Trace, axis, figure, legend_name, sampler_bars

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure


def funnel(candidates: pandas.DataFrame, labels: Mapping[str, str] | None = None) -> Figure:
    """Plot how many samples reached each state; the box over a bar says why others went no further.

    Parameters
    ----------
    candidates : the candidate table, one row a sample
    labels : of samplers and sources, for people; by default their names

    Examples
    --------
    >>> import pandas
    >>> row = {"sampler": "prior", "state": "screened", "rejected_stage": "", "rejected_reason": ""}
    >>> found = funnel(pandas.DataFrame([row, row]))
    >>> found.data[0].x, found.data[0].name
    ((2, 2, 2, 2, 0), 'prior (2)')
    """
    counted = candidates.groupby(list(FATE), sort=False).size()
    steps = funnel_steps({tuple(map(str, key)): int(number) for key, number in counted.items()})
    names = [step.state.label for step in steps]
    drawn = max(1, steps[0].total)
    traces: list[Trace] = []
    for place, (sampler, number) in enumerate(steps[0].reached.items()):
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "y": names,
                "x": [step.reached[sampler] for step in steps],
                "name": legend_name((labels or {}).get(sampler, sampler), number),
                "marker": sampler_bars(place),
                "customdata": [[_share(step.total, drawn), _why(step)] for step in steps],
                "hovertemplate": "<b>%{y}</b>: %{x:,} of %{fullData.name}<br>%{customdata[0]}%{customdata[1]}"
                "<extra></extra>",
            }
        )
    totals = {
        "mode": "text",
        "y": names,
        "x": [step.total for step in steps],
        "text": [f" {step.total:,}" for step in steps],
        "textposition": "middle right",
        "hoverinfo": "skip",
        "showlegend": False,
        "cliponaxis": False,
    }
    layout = {
        "barmode": "stack",
        "xaxis": axis("Samples", range=[0, 1.08 * drawn], tickformat=",d"),
        "yaxis": axis("", autorange="reversed", ticks="", showgrid=False, automargin=True),
    }
    return figure([*traces, totals], layout)


def _share(number: int, drawn: int) -> str:
    return f"All samplers: {number:,} of {drawn:,} samples, {100 * number / drawn:.1f} %"


def _why(step: Step) -> str:
    reasons = [f"{escape(reason.replace('_', ' '))} {number:,}" for (_, reason), number in step.left.items()]
    return f"<br>Rejected here: {', '.join(reasons)}" if reasons else ""
