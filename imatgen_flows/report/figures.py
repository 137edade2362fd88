"""Still figures of a run, for a talk or a paper: PNG files in `figures/`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.formulas import atomic_fraction
from imatgen_flows.report.canvas import CLASSES, INK, MUTED, SAMPLER_STYLES, STABLE, canvas, columns, formula, save
from imatgen_flows.report.compositions import choose
from imatgen_flows.report.figures_composition_classes import composition_classes
from imatgen_flows.report.figures_compositions import compositions
from imatgen_flows.report.figures_latent import latent_map
from imatgen_flows.report.figures_rounds import rounds
from imatgen_flows.report.figures_structures import polymorphs, structures
from imatgen_flows.report.rounds import accounts
from imatgen_flows.report.run_directory import RunDirectory, per_structure, sampler_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# key in metrics.json, title, unit, tolerance for "fully reconstructed"
ERRORS = (
    ("length", "Cell lengths", "Å", 0.1),
    ("angle", "Cell angles", "°", 2.0),
    ("atom_rmse", "Atoms, RMSE", "Å", 0.2),
)


def draw_figures(run: RunDirectory) -> list[Path]:
    """Draw all figures of a run into its `figures/`.

    Returns
    -------
    the files: latent_map, funnel, reconstruction and hull (.png); composition_classes where there are candidates; rounds
    where there were several; structures, compositions and polymorphs where a candidate is new

    Raises
    ------
    InputError
        Where the directory cannot be written to.
    """
    painters: dict[str, Callable[[RunDirectory], Figure]] = {
        "latent_map": latent_map,
        "funnel": funnel,
        "reconstruction": reconstruction,
        "hull": hull,
    }
    if run.samplers:  # none where no source proposed anything
        painters["composition_classes"] = composition_classes
    if account := accounts(run):
        painters["rounds"] = partial(rounds, account=account)
    if chosen := choose(run):
        painters |= {
            "structures": structures,
            "compositions": partial(compositions, chosen=chosen),
            "polymorphs": partial(polymorphs, chosen=chosen),
        }
    return save({name: partial(paint, run) for name, paint in painters.items()}, run.path / "figures")


def funnel(run: RunDirectory) -> Figure:
    """Draw the number of samples that reached each state, by sampler."""
    steps = run.funnel()
    figure, axes = canvas(6.5, 0.42 * len(steps) + 1)
    left = np.zeros(len(steps))
    for number, sampler in enumerate(run.samplers):
        counts = np.array([step.reached[sampler] for step in steps])
        colour, _ = SAMPLER_STYLES[number % len(SAMPLER_STYLES)]
        label = sampler_label(sampler)
        axes.barh(range(len(steps)), counts, left=left, height=0.66, color=colour, alpha=0.85, label=label)
        left += counts
    for place, step in enumerate(steps):
        axes.text(step.total, place, f"  {step.total:,}", va="center")
    axes.set_yticks(range(len(steps)), [step.state.label for step in steps])
    axes.invert_yaxis()
    axes.set(xlabel="Samples", title="From samples to candidates", xlim=(0, 1.12 * max(1, steps[0].total)))
    axes.legend(loc="lower right")
    return figure


def reconstruction(run: RunDirectory) -> Figure:
    """Draw the share of training structures below each error; those with a wrong number of atoms count as failures."""
    figure, panels = canvas(7.5, 2.8, columns=3)
    for axes, (key, title, unit, tolerance) in zip(panels, ERRORS, strict=True):
        values = per_structure(run.reconstruction_errors.get(key))
        finite = np.sort([max(value, 1e-5) for value in values if value is not None])
        if len(finite):
            axes.step(finite, 100 * np.arange(1, len(finite) + 1) / len(values), where="post", color=STABLE)
            axes.set_xscale("log")
        axes.axvline(tolerance, color=MUTED, linewidth=0.8, linestyle="--")
        axes.set(title=title, xlabel=f"Error ({unit})", ylim=(0, 102))
    panels[0].set_ylabel("Structures below (%)")
    return figure


def hull(run: RunDirectory) -> Figure:
    """Draw candidates against the hull of the references: formation energies for a binary; E_hull for any system."""
    binary = len(run.system) == 2
    figure, panels = canvas(9.0, 4.2, widths=(1.5, 1)) if binary else canvas(6.5, 4.2)
    whole, distance = panels if binary else (None, panels)
    formulas = sorted({row["formula"] for row in run.relaxed})
    if whole is not None:
        _phase_diagram(whole, run)
        distance.set_xlabel(whole.get_xlabel())
    else:
        labels = [formula(name) for name in formulas]
        distance.set_xticks(range(len(formulas)), labels, rotation=60, ha="right", fontsize=7)
    distance.axhline(0, color=INK, linewidth=1)
    distance.axhline(run.threshold, color=MUTED, linewidth=0.8, linestyle="--")
    above = "Enthalpy above the hull" if run.pressure else "$E_{hull}$"
    distance.set(ylabel=f"{above}, {run.scale} (eV/atom)", title="Distance to the hull")
    for novelty in Novelty:
        colour, marker = CLASSES[novelty]
        rows = [row for row in run.relaxed if row["novelty"] == novelty]
        style = {"s": 22, "color": colour, "marker": marker, "linewidths": 0.8, "alpha": 0.85, "label": novelty.label}
        if not rows:
            continue
        if whole is not None:
            x = [atomic_fraction(row["formula"], run.system[1]) for row in rows]
            whole.scatter(x, np.array([row["formation_energy"] for row in rows], dtype=float), **style)
        else:
            x = [formulas.index(row["formula"]) for row in rows]
        distance.scatter(x, [row["e_above_hull"] for row in rows], **style)
    handles, labels = (whole if whole is not None else distance).get_legend_handles_labels()
    if handles:
        figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=5, handletextpad=0.3)
    return figure


def _phase_diagram(axes: Axes, run: RunDirectory) -> None:
    second = run.system[1]
    phases = [(ref["fractions"].get(second, 0.0), ref["formation_energy"], ref) for ref in run.hull["references"]]
    on_hull = sorted((x, y, ref["formula"]) for x, y, ref in phases if ref["e_above_hull"] < 1e-6)
    above = [(x, y) for x, y, ref in phases if ref["e_above_hull"] >= 1e-6]
    x, y = [x for x, _, _ in on_hull], [y for _, y, _ in on_hull]
    axes.plot(x, y, color=INK, linewidth=1, zorder=1)
    axes.scatter(x, y, s=22, color=INK, label="Reference, on the hull")
    if above:
        axes.scatter(
            *columns(above), s=20, facecolors="white", edgecolors=INK, linewidths=0.8, label="Reference, above"
        )
    rows = levels(x, 0.066)
    bases = y.copy()
    for place in range(1, len(x)):  # crowded names share a base line
        if x[place] - x[place - 1] < 0.066:
            bases[place] = min(bases[place], bases[place - 1])
    for (at, _, name), base, row in zip(on_hull, bases, rows, strict=True):
        offset: Any = {"xytext": (0, -12 - 11 * row), "textcoords": "offset points", "ha": "center"}
        axes.annotate(formula(name), (at, base), fontsize=7.5, **offset)
    axes.set(
        xlabel=f"Atomic fraction of {second}",
        ylabel=f"Formation {run.quantity}, {run.scale} (eV/atom)",
        title=f"Formation {'enthalpies' if run.pressure else 'energies'} and the hull of the references",
    )
    low, high = min(y), max(0.0, *y)
    axes.set_ylim(low - (0.08 + 0.06 * (1 + max(rows))) * (high - low), high + 0.1 * (high - low))


def levels(places: list[float], width: float) -> list[int]:
    """Assign each label of one width, at ascending places, to a level from 0, so that none covers another."""
    ends: list[float] = []
    chosen = []
    for place in places:
        level = next((level for level, end in enumerate(ends) if place - end >= width), len(ends))
        ends[level : level + 1] = [place]
        chosen.append(level)
    return chosen
