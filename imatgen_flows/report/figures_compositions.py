"""Still figure of the most frequent compositions against the hull; Figure 7 of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.report.canvas import CLASSES, INK, MUTED, RULE, SAMPLER_STYLES, canvas, formula
from imatgen_flows.report.compositions import Chosen, View, views
from imatgen_flows.report.run_directory import RunDirectory, sampler_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VALIDATED = CLASSES[Novelty.NEW][0]


def compositions(run: RunDirectory, chosen: Chosen) -> Figure:
    """Draw the structures of each composition in a strip, by sampler; each energy scale has a panel of its own."""
    shown = views(run, chosen)
    width = max(6.5, 1.8 + 0.62 * len(shown[0].places))
    figure, panels = canvas(width, 0.9 + 2.9 * len(shown), rows=len(shown))
    every = list(panels) if len(shown) > 1 else [panels]
    validated = {id(row) for view in shown[1:] for row in view.candidates}
    for axes, view in zip(every, shown, strict=True):
        _hull(axes, view, chosen)
        _phases(axes, view)
        _candidates(axes, view, run.samplers)
        if view is shown[0]:
            _ring(axes, view, validated)
        labels = [
            f"{formula(name)}\n{chosen.made[name]:,} made" if name in chosen.made else formula(name)
            for name in view.places
        ]
        axes.set_xticks(range(len(labels)), labels)
        for tick, name in zip(axes.get_xticklabels(), view.places, strict=True):
            tick.set_color(INK if name in chosen.made else MUTED)
        axes.set_xlim(-0.6, len(labels) - 0.4)
        axes.set_ylabel(f"Formation {run.quantity},\n{view.scale} (eV/atom)")
    every[0].set_title(chosen.title)
    if len(every) > 1:
        every[1].set_title("As validated")
    handles: dict[str, Any] = {}
    for axes in every:
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=int(width / 2), handletextpad=0.4)
    return figure


def _hull(axes: Axes, view: View, chosen: Chosen) -> None:
    at = [(place, view.hull[name]) for place, name in enumerate(view.places) if name in view.hull]
    x, y = [place for place, _ in at], [height for _, height in at]
    style: dict[str, Any] = {"color": RULE, "alpha": 0.5, "linewidth": 0, "zorder": 0}
    if view.continuous:
        axes.plot(x, y, color=INK, linewidth=0.8, zorder=1)
    if view.continuous and view.band:
        axes.fill_between(
            x, y, [height + view.band for height in y], label=f"Up to {view.band:g} eV/atom above", **style
        )
    marked = [(place, height) for place, height in at if view.places[place] in chosen.made]
    for number, (place, height) in enumerate(marked):
        ends = [place - 0.35, place + 0.35]
        axes.plot(ends, [height] * 2, color=INK, linewidth=1.6, zorder=1, label="" if number else "Hull")
        if view.band and not view.continuous:
            label = "" if number else f"Up to {view.band:g} eV/atom above"
            axes.fill_between(ends, height, height + view.band, label=label, **style)


def _phases(axes: Axes, view: View) -> None:
    published = [phase for phase in view.phases if phase["kind"] != "substituted"]
    substituted = [phase for phase in view.phases if phase["kind"] == "substituted"]
    for phases, face, label in ((substituted, "white", "Substituted, on the hull"), (published, INK, "Known phase")):
        if phases:
            axes.scatter(
                [view.places.index(phase["formula"]) for phase in phases],
                [phase["formation_energy"] for phase in phases],
                s=20,
                facecolors=face,
                edgecolors=INK,
                linewidths=0.8,
                zorder=2,
                label=label,
            )


def _candidates(axes: Axes, view: View, samplers: list[str]) -> None:
    for number, sampler in enumerate(samplers):
        rows = [row for row in view.candidates if row["sampler"] == sampler]
        if rows:
            colour, marker = SAMPLER_STYLES[number % len(SAMPLER_STYLES)]
            x, y = view.points(rows)
            label = f"New, {sampler_label(sampler).lower()}"
            axes.scatter(x, y, s=22, color=colour, marker=marker, linewidths=1, alpha=0.85, zorder=3, label=label)


def _ring(axes: Axes, view: View, validated: set[int]) -> None:
    rows = [row for row in view.candidates if id(row) in validated]
    if rows:
        x, y = view.points(rows)
        axes.scatter(
            x,
            y,
            s=75,
            facecolors="none",
            edgecolors=VALIDATED,
            linewidths=1,
            zorder=4,
            label="Ringed: validated, below",
        )
