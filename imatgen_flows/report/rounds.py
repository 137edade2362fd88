"""The cost and the finds of each round of a campaign: the numbers, and the report's section of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, TypedDict

import pyarrow.compute as pc
from markupsafe import Markup

from imatgen_flows.candidates.ledger import SPENT
from imatgen_flows.candidates.states import Stage
from imatgen_flows.candidates.table import count_by
from imatgen_flows.errors import InputError
from imatgen_flows.metrics.statistics import rate_per_1000
from imatgen_flows.report.markup import plural, render
from imatgen_flows.report.result_directory import read_json
from imatgen_flows.report.run_directory import RunDirectory

NEAR = 0.1  # eV/atom above the hull
CLOSE = 0.08  # eV/atom; the paper counts up to here, since 80 % of the known sulfides and oxides lie within
LOOP_FILE = "loop.json"


@dataclass(frozen=True)
class Round:
    """Cost and finds of one round; distances to the hull are the potential's, of new structures.

    Attributes
    ----------
    number : from 0
    evaluations : energy evaluations that its candidates took, for all purposes
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
        """New structures near the hull for each 1,000 evaluations, and the 95 % interval of that; see `rate_per_1000`."""
        return rate_per_1000(self.near, self.relaxations, self.evaluations) or (0.0, 0.0, 0.0)


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


class RoundsData(TypedDict):
    """Data of the plot of the rounds."""

    near: float
    evaluations: list[int]
    found: list[int]
    rate: list[float]


def accounts(run: RunDirectory) -> Account | None:
    """Sum up the rounds of a run; None where it had one round only."""
    if len(run.rounds) < 2:
        return None
    tried = pc.field("e_above_hull").is_valid() | (pc.field("rejected_stage") == Stage.SCREEN.value)
    relaxations = count_by(run.table.filter(tried), "round")
    columns = [name for name in SPENT if name in run.table.column_names]
    totals = run.table.group_by("round").aggregate([(name, "sum") for name in columns]).to_pylist()
    spent = {row["round"]: sum(row[f"{name}_sum"] for name in columns) for row in totals}
    rounds = []
    for number in (gain["round"] for gain in run.rounds):
        new = [row["e_above_hull"] for row in run.new if row["round"] == number]
        rounds.append(Round(number, spent.get(number, 0), relaxations.get((number,), 0), new))
    return Account(sum(gain["evaluations"] - spent.get(gain["round"], 0) for gain in run.rounds), rounds)


def rounds_section(run: RunDirectory) -> Markup:
    """Write the section of the report; empty where the run had one round only.

    Raises
    ------
    InputError
        Where `loop.json` is there and holds no comparison.
    """
    account = accounts(run)
    if account is None:
        return Markup()
    return render(
        "rounds",
        run=run,
        account=account,
        near=NEAR,
        close=CLOSE,
        validated=any(evaluations for (evaluations,) in count_by(run.table, "validation_evaluations")),
        comparison=_comparison(run),
    )


def rounds_data(run: RunDirectory) -> RoundsData | None:
    """Return the data of the page's plot; None where the run had one round only."""
    account = accounts(run)
    if account is None:
        return None
    return {
        "near": NEAR,
        "evaluations": account.evaluations,
        "found": account.near,
        "rate": [value / 1000 for value in account.rounds[0].rate],
    }


def _comparison(run: RunDirectory) -> str:
    """Write how many more structures the rounds found than one long round, where that was measured."""
    path = run.path / LOOP_FILE
    if not path.is_file():
        return ""
    found = read_json(path)
    try:
        return _sentence(found)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: holds no comparison of the loop with one long round. Make it again, or delete it."
        ) from error


def _sentence(found: dict[str, Any]) -> str:
    mean, low, high = (float("nan") if found[key] is None else float(found[key]) for key in ("mean", "low", "high"))
    seeds, within = len(found["seeds"]), float(found["within"])
    start = (
        f"Beside one long round with the same number of energy evaluations, over {seeds} seed{plural(seeds)}, the loop found "
        f"{abs(mean):.1f} {'more' if mean >= 0 else 'fewer'} new structures within {within:g} eV/atom of the hull"
    )
    if not (isfinite(low) and isfinite(high)):
        return f"{start}; without more seeds that has no interval."
    bounds = f"{start} (95 % interval {low:+.1f} to {high:+.1f})".replace("-", "−")
    return f"{bounds}." if low > 0 or high < 0 else f"{bounds}: the seeds do not distinguish this from no difference."
