"""Still figure of the new structures that the rounds found, against their cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.report.canvas import CLASSES, INK, MUTED, RULE, canvas
from imatgen_flows.report.rounds import NEAR, Account
from imatgen_flows.report.run_directory import RunDirectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rounds(run: RunDirectory, account: Account) -> Figure:
    """Draw new structures near the hull by energy evaluations, and the first round's rate continued."""
    figure, axes = canvas(6.5, 3.8)
    spent, found = account.evaluations, account.near
    ahead = spent[-1] - spent[0]
    rate, low, high = (value / 1000 * ahead for value in account.rounds[0].rate)
    line = [spent[0], spent[-1]]
    axes.plot(
        spent, found, color=CLASSES[Novelty.NEW][0], marker="o", markersize=5, zorder=3, label="Found, after each round"
    )
    axes.plot([0, spent[0]], [0, 0], color=MUTED, linewidth=2.5, solid_capstyle="butt", label="Labels and references")
    axes.plot(line, [0, rate], color=MUTED, linewidth=1, linestyle="--", label="First round's rate, without learning")
    axes.fill_between(line, [0, low], [0, high], color=RULE, alpha=0.5, linewidth=0, label="95 % interval of that")
    for row, x, y in zip(account.rounds, spent[1:], found[1:], strict=True):
        under = y < rate * (x - spent[0]) / max(1, ahead)  # away from the straight line
        axes.annotate(
            f"round {row.number + 1}: {y:,}",
            (x, y),
            xytext=(4, -13) if under else (-4, 6),
            textcoords="offset points",
            ha="center" if under else "right",
            fontsize=8,
            color=INK,
        )
    axes.set(
        xlabel="Energy evaluations, all together",
        ylabel=f"New, within {NEAR:g} eV/atom of the hull",
        title=f"What the rounds found; hull by {run.scale}",
        xlim=(0, 1.07 * spent[-1]),
        ylim=(0, 1.05 * max(1, *found, high)),
    )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(loc="upper left")
    return figure
