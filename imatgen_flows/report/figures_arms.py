"""Still figure of a comparison of arms: what each found against what it spent, and its best energies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from imatgen_flows.metrics.arm_comparison import ArmComparison
from imatgen_flows.metrics.arms import LIMITS, NEAR, ArmRun, best_energies, common_compositions, find_curves, mean_curve
from imatgen_flows.report.canvas import INK, MUTED, RULE, canvas, formula
from imatgen_flows.sources.registry import MIXED
from imatgen_flows.sources.registry import arms as known_arms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Curve = tuple[Sequence[float], Sequence[float]]

# Okabe and Ito's colours, as far as they go
COLOURS = ("#c44e00", "#0072b2", "#56a8d8", "#b08400", "#00805c", "#8a8f96", "#a0458f", "#1c2127")
COMPOSITIONS = 10  # whose best energies are shown


def arms(comparison: ArmComparison, scale: str) -> Figure:
    """Draw the curves of all arms as means over the seeds, with bands from the lowest to the highest seed."""
    figure, axes = canvas(11, 6.6, rows=2, columns=3)
    for place, limit in enumerate(LIMITS):
        _draw(axes[0, place], comparison, _found(limit, "evaluations"))
        title = f"New, within {limit:g} eV/atom" if limit else f"New, on the hull of {scale} or below"
        axes[0, place].set(title=title, xlabel="Evaluations of relaxations", ylabel="New structures")
    _draw(axes[1, 0], comparison, _found(NEAR, "with_preparation"))
    axes[1, 0].set(
        title=f"The same within {NEAR:g}, all evaluations",
        xlabel="Evaluations, labels and references included",
        ylabel="New structures",
    )
    for own in (*axes[0], axes[1, 0]):
        top = own.get_ylim()[1]
        own.set_ylim(-0.03 * max(1, top), max(1.05, top))  # a line of zeros lies on the axis
    named = common_compositions([run for runs in comparison.runs.values() for run in runs])
    _best_curve(axes[1, 1], comparison, named)
    _best_of_each(axes[1, 2], comparison, named[:COMPOSITIONS])
    for own in axes.flat[:5]:
        own.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        own.xaxis.set_major_locator(_locator())
    seeds = len(next(iter(comparison.runs.values())))
    band = f"mean of {seeds} seeds, band from lowest to highest" if seeds > 1 else "one seed"
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), title=band, title_fontsize=8)
    return figure


def _style(arm: str) -> tuple[str, str]:
    """Give an arm its colour, and one that mixes sources a dashed line."""
    colour = COLOURS[known_arms().names.index(arm) % len(COLOURS)]
    return colour, "--" if arm in [entry.name for entry in MIXED] else "-"


def _locator() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def _found(limit: float, spent: str) -> Callable[[ArmRun], Curve]:
    def curve(run: ArmRun) -> Curve:
        curves = find_curves(run)
        return curves[spent], curves["new"][f"{limit:g}"]

    return curve


def _draw(axes: Axes, comparison: ArmComparison, curve_of: Callable[[ArmRun], Curve | None]) -> None:
    """Draw one curve for each arm that has one of each seed."""
    for arm, runs in comparison.runs.items():
        curves = [curve for curve in map(curve_of, runs) if curve is not None]
        if len(curves) < len(runs):
            continue
        grid, mean, low, high = mean_curve(curves)
        colour, line = _style(arm)
        label = known_arms()[arm].label
        axes.plot(grid, mean, color=colour, linestyle=line, linewidth=1.5, label=label, drawstyle="steps-post")
        axes.fill_between(grid, low, high, color=colour, alpha=0.12, linewidth=0, step="post")


def _best_curve(axes: Axes, comparison: ArmComparison, named: Sequence[str]) -> None:
    """Draw the best E_hull of the composition that most campaigns relaxed."""
    if not named:
        axes.set_axis_off()
        return

    def curve(run: ArmRun) -> Curve | None:
        steps = best_energies(run.relaxations).get(named[0])
        return ([x for x, _ in [*steps, (run.evaluations, 0)]], [y for _, y in [*steps, steps[-1]]]) if steps else None

    _draw(axes, comparison, curve)
    axes.axhline(0, color=RULE, linewidth=0.8, zorder=0)
    axes.set(
        title=f"Best of {formula(named[0])}, which most campaigns relaxed",
        xlabel="Evaluations of relaxations",
        ylabel="Lowest E_hull, eV/atom",
    )


def _best_of_each(axes: Axes, comparison: ArmComparison, named: Sequence[str]) -> None:
    """Mark the best E_hull of each composition that each arm reached with any seed."""
    for place, (arm, runs) in enumerate(comparison.runs.items()):
        best: dict[str, float] = {}
        for run in runs:
            for name, steps in best_energies(run.relaxations).items():
                best[name] = min(best.get(name, steps[-1][1]), steps[-1][1])
        shift = 0.6 * (place / max(1, len(comparison.runs) - 1) - 0.5)
        points = [(best[name], row + shift) for row, name in enumerate(named) if name in best]
        axes.scatter([x for x, _ in points], [y for _, y in points], s=14, color=_style(arm)[0])
    axes.axvline(0, color=RULE, linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(named)), [formula(name) for name in named], color=INK)
    axes.tick_params(axis="y", color=MUTED, length=0)
    axes.invert_yaxis()
    axes.set(title="Best of each composition, any seed", xlabel="Lowest E_hull, eV/atom")
