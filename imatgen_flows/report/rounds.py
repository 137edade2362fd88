"""What each round of a campaign cost and found: the numbers, and the report's section of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from math import isfinite
from typing import Any

from imatgen_flows.errors import InputError
from imatgen_flows.metrics.statistics import rate_interval
from imatgen_flows.report.markup import energy, plural
from imatgen_flows.report.run_directory import Row, RunDirectory, read_json

NEAR = 0.1  # eV/atom above the hull
CLOSE = 0.08  # eV/atom; the paper counts up to here, since 80 % of the known sulfides and oxides lie within
LOOP_FILE = "loop.json"


@dataclass(frozen=True)
class Round:
    """One round's account; distances to the hull are the potential's, of new structures.

    Attributes
    ----------
    number : from 0
    evaluations : energy evaluations that its candidates took, in screening and validation
    relaxations : candidates that were relaxed, or tried to be
    distances : E_hull of each new structure, eV/atom, ascending
    """

    number: int
    evaluations: int
    relaxations: int
    distances: list[float]

    def within(self, limit: float) -> int:
        """Count new structures up to a distance above the hull."""
        return sum(distance <= limit for distance in self.distances)

    @property
    def near(self) -> int:
        """New structures near the hull."""
        return self.within(NEAR)

    @property
    def below(self) -> int:
        """New structures below the hull, by more than the last digit shown."""
        return self.within(-0.0005)

    @property
    def rate(self) -> tuple[float, float, float]:
        """New structures near the hull for each 1,000 evaluations, and the 95 % interval of that.

        The interval is that of the share of relaxations that end there; what a relaxation costs is taken as it was.
        """
        if not self.evaluations or not self.relaxations:
            return 0.0, 0.0, 0.0
        each = 1000 * self.relaxations / self.evaluations
        low, high = rate_interval(self.near, self.relaxations)
        return each * self.near / self.relaxations, each * low, each * high


@dataclass(frozen=True)
class Account:
    """All rounds of a campaign, and what was spent before the first.

    Attributes
    ----------
    preparation : evaluations for labels and reference phases
    rounds : in their order
    """

    preparation: int
    rounds: list[Round]

    @cached_property
    def evaluations(self) -> list[int]:
        """Evaluations spent before the first round and after each, all together."""
        spent = [self.preparation]
        for row in self.rounds:
            spent.append(spent[-1] + row.evaluations)
        return spent

    @cached_property
    def near(self) -> list[int]:
        """New structures near the hull before the first round and after each, all together."""
        found = [0]
        for row in self.rounds:
            found.append(found[-1] + row.near)
        return found

    @property
    def total(self) -> Round:
        """All rounds as one."""
        return Round(
            number=-1,
            evaluations=sum(row.evaluations for row in self.rounds),
            relaxations=sum(row.relaxations for row in self.rounds),
            distances=sorted(distance for row in self.rounds for distance in row.distances),
        )


def accounts(run: RunDirectory) -> Account | None:
    """Draw up the account of a run; None where it had one round only."""
    if len(run.rounds) < 2:
        return None
    rounds, preparation = [], 0
    for gain in run.rounds:
        rows = [row for row in run.candidates if row["round"] == gain["round"]]
        spent = sum(row["evaluations"] + row["validation_evaluations"] for row in rows)
        preparation += gain["evaluations"] - spent
        tried = [row for row in rows if row["e_above_hull"] is not None or row["rejected_stage"] == "screen"]
        new = sorted(row["e_above_hull"] for row in run.new if row["round"] == gain["round"])
        rounds.append(Round(gain["round"], spent, len(tried), new))
    return Account(preparation, rounds)


def rounds_section(run: RunDirectory) -> str:
    """Write the section of the report; empty where the run had one round only.

    Raises
    ------
    InputError
        Where `loop.json` is there and holds no comparison.
    """
    account = accounts(run)
    if account is None:
        return ""
    return (
        "<section id=rounds><h2>Rounds</h2>"
        "<p class=caption>Each round learns from what those before it have relaxed. Counted are new structures, by their "
        f"distance to the hull of {escape(run.scale)}; what an earlier round found does not count again. Preparation is "
        f"labels and reference phases.{_steps(run)} Intervals are those of the share of relaxations that end within "
        f"{NEAR:g} eV/atom, at the round’s own cost of a relaxation.</p>"
        f"{_table(account)}"
        "<div id=rounds-plot class=plot></div>"
        "<p class=caption>The straight line carries on the first round’s rate: what going on without learning would bring. "
        f"The band is the 95 % interval of that rate.</p>{_comparison(run)}</section>"
    )


def rounds_data(run: RunDirectory) -> dict[str, Any] | None:
    """Return what the page's script plots."""
    account = accounts(run)
    if account is None:
        return None
    return {
        "near": NEAR,
        "evaluations": account.evaluations,
        "found": account.near,
        "rate": [value / 1000 for value in account.rounds[0].rate],
    }


def _steps(run: RunDirectory) -> str:
    validated = any(row["validation_evaluations"] for row in run.candidates)
    return " Evaluations are relaxation steps and the ionic steps of the validation alike." if validated else ""


def _table(account: Account) -> str:
    head = (
        "Round",
        "Evaluations",
        "Relaxations",
        "New",
        f"Within {NEAR:g} eV/atom",
        f"Within {CLOSE:g}",
        "Below the hull",
        "Lowest <i>E</i><sub>hull</sub>",
        f"Within {NEAR:g} per 1,000 evaluations (95&nbsp;% interval)",
        "Evaluations so far",
        f"Within {NEAR:g} so far",
    )
    lines = [["Preparation", f"{account.preparation:,}", *[""] * 7, f"{account.preparation:,}", ""]]
    for row, spent, found in zip(account.rounds, account.evaluations[1:], account.near[1:], strict=True):
        lines.append([f"{row.number + 1}", f"{row.evaluations:,}", *_found(row), f"{spent:,}", f"{found:,}"])
    total = [f"{account.evaluations[-1]:,}", *_found(account.total)]

    def line(cells: list[str], tag: str) -> str:
        first, *numbers = cells
        return f"<tr><{tag}>{first}</{tag}>{''.join(f'<{tag} class=num>{cell}</{tag}>' for cell in numbers)}</tr>"

    body = "".join(line(cells, "td") for cells in lines)
    foot = line(["All", *total, "", ""], "td")
    return (
        f"<div class=scroll><table class='plain wrapped'><thead>{line(list(head), 'th')}</thead><tbody>{body}</tbody>"
        f"<tfoot>{foot}</tfoot></table></div>"
    )


def _found(row: Round) -> list[str]:
    rate, low, high = row.rate
    return [
        f"{row.relaxations:,}",
        f"{len(row.distances):,}",
        f"{row.near:,}",
        f"{row.within(CLOSE):,}",
        f"{row.below:,}",
        energy(row.distances[0]) if row.distances else "–",
        f"{rate:.2f} <small>({low:.2f}–{high:.2f})</small>" if row.relaxations else "–",
    ]


def _comparison(run: RunDirectory) -> str:
    """Say what the loop gained over one long round, where that was measured."""
    path = run.path / LOOP_FILE
    if not path.is_file():
        return ""
    found = read_json(path)
    try:
        return f"<p>{_sentence(found)}</p>"
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: holds no comparison of the loop with one long round. Make it again, or delete it."
        ) from error


def _sentence(found: Row) -> str:
    mean, low, high = (float("nan") if found[key] is None else float(found[key]) for key in ("mean", "low", "high"))
    seeds, within = len(found["seeds"]), float(found["within"])
    start = (
        f"Beside one long round with the same number of energy evaluations, over {seeds} seed{plural(seeds)}, the loop found "
        f"{abs(mean):.1f} {'more' if mean >= 0 else 'fewer'} new structures within {within:g} eV/atom of the hull"
    )
    if not (isfinite(low) and isfinite(high)):
        return f"{start}; without more seeds that has no interval."
    bounds = f"{start} (95 % interval {low:+.1f} to {high:+.1f})".replace("-", "−")
    return f"{bounds}." if low > 0 or high < 0 else f"{bounds}: the seeds do not tell this from no difference."
