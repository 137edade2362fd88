"""Still figure of the number of samples of each composition, by its class; Figure S11 of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.report.canvas import CLASSES, canvas, formula
from imatgen_flows.report.composition_classes import CLASS_TITLES, classes_of_samples, merged
from imatgen_flows.report.compositions import order
from imatgen_flows.report.markup import plural
from imatgen_flows.report.run_directory import RunDirectory, sampler_label
from imatgen_flows.studies.composition_classes import CompositionClass

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    CompositionClass.BOTH: CLASSES[Novelty.KNOWN][0],
    CompositionClass.KNOWN: "#e0b400",
    CompositionClass.DATASET: CLASSES[Novelty.SUBSTITUTED][0],
    CompositionClass.NEW: CLASSES[Novelty.NEW][0],
}


def composition_classes(run: RunDirectory) -> Figure:
    """Draw the valid samples of each composition, a panel for each sampler, ordered by atomic fraction."""
    from matplotlib.patches import Patch
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    counted = classes_of_samples(run)
    every = {sampler: merged(classes) for sampler, classes in counted.items()}
    names = sorted({name for found in every.values() for name in found}, key=lambda name: order(run, name))
    most = max((count for found in every.values() for count in found.values()), default=1)
    figure, grid = canvas(max(6.5, 1.5 + 0.19 * len(names)), 1.1 + 1.7 * len(counted), rows=len(counted))
    panels = list(grid) if len(counted) > 1 else [grid]
    for axes, (sampler, classes) in zip(panels, counted.items(), strict=True):
        for each, found in classes.items():
            places = [place for place, name in enumerate(names) if name in found]
            axes.bar(places, [found[names[place]] for place in places], width=0.78, color=COLOURS[each])
        n, of = every[sampler].total(), len(every[sampler])
        axes.set_title(f"{sampler_label(sampler)}: {n:,} sample{plural(n)}, {of:,} composition{plural(of)}")
        axes.set(xlim=(-0.8, max(1, len(names)) - 0.2), ylim=(0.6, 2 * most), yscale="log", ylabel="Samples")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(range(len(names)), [])
    panels[-1].set_xticks(range(len(names)), [formula(name) for name in names], rotation=90, fontsize=7)
    panels[-1].set_xlabel(f"Composition, by atomic fraction of {' and '.join(run.system[1:])}")
    handles = [Patch(color=COLOURS[each], label=title) for each, title in CLASS_TITLES.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure
