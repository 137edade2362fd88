"""Still figures of the latent space: samples over the training structures, stability, and kinds of structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.report.canvas import CLASSES, INK, RULE, STABLE, UNSTABLE, canvas, columns, save
from imatgen_flows.report.documents import TrainingPoint
from imatgen_flows.report.run_directory import RunDirectory, sampler_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Study = Mapping[str, Any]  # a part of latent_classifier.json, as `imatgen study latent` writes it
BACKGROUND, SAMPLE = "#d3d7dc", "#b5313f"
MAPS = {"with_classifier": "With the classifier", "without_classifier": "Without the classifier"}


def latent_map(run: RunDirectory) -> Figure:
    """Draw training structures on their first two principal components, and the samples of each sampler over them in a panel.

    Figures 5 and 6 of the paper: training structures in grey, samples in colour, and the known phases around which
    samples were drawn. Where there are more samples than the map shows, the title of a panel says how many of how many.
    """
    training = run.latent["training"]
    figure, panels = _panels(1 + len(run.samplers))
    _stability(panels[0], training)
    panels[0].set_title(f"Training structures ({len(training):,})")
    known = {row["id"]: (row["x"], row["y"]) for row in training if row.get("known")}
    for axes, sampler in zip(panels[1:], run.samplers, strict=True):
        drawn = run.on_map.filter(pc.field("sampler") == sampler)
        shown = [(row["latent_x"], row["latent_y"]) for row in run.mapped if row["sampler"] == sampler]
        axes.scatter(*columns([(row["x"], row["y"]) for row in training]), s=9, color=BACKGROUND, linewidths=0)
        axes.scatter(*columns(shown), s=9, color=SAMPLE, linewidths=0, alpha=0.7)
        starts = set(pc.unique(pc.list_flatten(drawn["parents"])).to_pylist())
        _known(axes, [place for name, place in known.items() if name in starts])
        of = "" if len(shown) == drawn.num_rows else f" of {drawn.num_rows:,}"
        axes.set_title(f"{sampler_label(sampler)} ({len(shown):,}{of} samples)")
    _known(panels[0], list(known.values()))
    _label(panels, run.latent.get("explained") or [])
    figure.legend(*_every_label(panels), loc="outside lower center", ncols=5, handletextpad=0.3)
    return figure


def draw_latent(found: Study, folder: Path) -> list[Path]:
    """Draw the result of `imatgen study latent`: Figures S3 and S4 of the paper.

    Parameters
    ----------
    found : content of its file
    folder : where to draw

    Returns
    -------
    the files latent_classifier.png and latent_diversity.png

    Raises
    ------
    InputError
        Where the folder cannot be written to.
    """
    return save(
        {"latent_classifier": lambda: _classifier(found), "latent_diversity": lambda: _diversity(found)}, folder
    )


def _classifier(found: Study) -> Figure:
    """Draw both maps, coloured by stability; structures of no training set are hollow."""
    figure, panels = canvas(8.4, 4.4, columns=2)
    for axes, (name, title) in zip(panels, MAPS.items(), strict=True):
        space = found["spaces"][name]
        rows = _placed(found, space)
        _stability(axes, [row for row in rows if row["seen"]])
        for label, colour in ((True, STABLE), (False, UNSTABLE)):
            points = [(row["x"], row["y"]) for row in rows if not row["seen"] and row["stable"] is label]
            if points:
                known = f"Unseen template, {'stable' if label else 'unstable'} ({len(points):,})"
                axes.scatter(*columns(points), s=16, facecolors="none", edgecolors=colour, linewidths=1, label=known)
        axes.set_title("\n".join([title, *_numbers(space["separation"])]), fontsize=9)
        _label([axes], space["explained"])
    figure.legend(*_every_label(panels), loc="outside lower center", ncols=3, handletextpad=0.3)
    return figure


def _numbers(separation: Study) -> list[str]:
    """Write how well the classes are separated; nothing where that was not measured."""
    if not separation:
        return []
    full, plane = separation["all"], separation["plane"]
    unseen = f", unseen templates {full['unseen']['auc']:.2f}" if full["unseen"] else ""
    return [
        f"AUC {full['auc']:.2f}{unseen}; in the plane {plane['auc']:.2f}",
        f"silhouette {full['silhouette']:.2f}; in the plane {plane['silhouette']:.2f}".replace("-", "−"),
    ]


def _diversity(found: Study) -> Figure:
    """Draw both maps, coloured by properties of the structures."""
    properties = found["diversity"]["properties"]
    figure, panels = canvas(3.2 * len(properties), 6.6, rows=len(MAPS), columns=len(properties))
    for place, (key, what) in enumerate(properties.items()):
        values = [row[key] for row in found["training"]]
        low, high = _middle(values)
        for line, (name, title) in zip(panels, MAPS.items(), strict=True):
            axes, space = line[place], found["spaces"][name]
            drawn = axes.scatter(
                *columns([(row["x"], row["y"]) for row in _placed(found, space)]),
                c=values,
                s=10,
                cmap="viridis",
                linewidths=0,
                vmin=low,
                vmax=high,
            )
            share = space["diversity"]["explained"][key]
            rate = f"neighbours explain {100 * share['all']:.0f} % (shuffled {100 * share['shuffled']:.0f} %)"
            axes.set_title(rate.replace("-", "−"), fontsize=8)
            axes.set(xticks=[], yticks=[], ylabel="" if place else title)
        figure.colorbar(
            drawn,
            ax=[line[place] for line in panels],
            location="bottom",
            shrink=0.85,
            aspect=28,
            extend="both",
            label=what,
        )
    return figure


def _placed(found: Study, space: Study) -> list[dict[str, Any]]:
    return [row | {"x": x, "y": y} for row, (x, y) in zip(found["training"], space["places"], strict=True)]


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Return the 2nd and 98th percentile, as limits of the colour scale."""
    ordered = sorted(values)
    return ordered[len(ordered) // 50], ordered[-1 - len(ordered) // 50]


def _panels(number: int) -> tuple[Figure, list[Axes]]:
    """Lay out panels of equal axes, two side by side."""
    rows = ceil(number / 2)
    figure, grid = canvas(8.4, 0.5 + 3.3 * rows, rows=rows, columns=2)
    panels = list(grid.flat)
    for axes in panels[number:]:
        axes.remove()
    for axes in panels[1:number]:
        axes.sharex(panels[0])
        axes.sharey(panels[0])
    return figure, panels[:number]


def _stability(axes: Axes, training: Sequence[TrainingPoint | Study]) -> None:
    """Draw training structures, coloured by their label."""
    for label, colour, name in (
        (False, UNSTABLE, "Training, unstable"),
        (True, STABLE, "Training, stable"),
        (None, RULE, "Training, energy unknown"),
    ):
        points = [(row["x"], row["y"]) for row in training if row["stable"] is label]
        if points:
            axes.scatter(
                *columns(points), s=11, color=colour, linewidths=0, alpha=0.8, label=f"{name} ({len(points):,})"
            )


def _known(axes: Axes, points: list[tuple[float, float]]) -> None:
    if points:
        style: dict[str, Any] = {"facecolors": "none", "edgecolors": CLASSES[Novelty.KNOWN][0], "linewidths": 1.2}
        axes.scatter(*columns(points), s=46, label="Known phase", zorder=3, **style)


def _label(panels: Sequence[Axes], explained: Sequence[float]) -> None:
    shares = [f" ({100 * share:.0f} % of variance)" for share in explained] + ["", ""]
    for axes in panels:
        axes.set_xlabel(f"First component{shares[0]}", color=INK)
        axes.set_ylabel(f"Second component{shares[1]}", color=INK)


def _every_label(panels: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    """Collect the legend entries of all panels, each once."""
    handles: dict[str, Any] = {}
    for axes in panels:
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    return list(handles.values()), list(handles)
