"""Statistics of arms: what each finds and what that costs, how good its candidates are, and how arms differ."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.metrics.arms import LIMITS, NEAR, ArmRelaxation, ArmRun
from imatgen_flows.metrics.statistics import Interval, percentiles, rate_interval, rate_per_1000, resample


@dataclass(frozen=True)
class Share:
    """A part of a number of things, with its 95 % interval by Wilson; the share is None of nothing."""

    count: int
    total: int
    share: float | None
    interval: Interval

    @classmethod
    def of(cls, count: int, total: int, copies: int = 1) -> Share:
        """Divide, where there is something to divide; of things that were counted several times, the interval is of one."""
        interval = rate_interval(count // copies, total // copies)
        return cls(count, total, count / total if total else None, interval)


@dataclass(frozen=True)
class Finds:
    """New structures up to one energy above the hull.

    Attributes
    ----------
    e_above_hull : that energy, eV/atom
    new : number of structures
    per_1000, interval : in 1,000 evaluations of relaxations, and the 95 % interval
    per_1000_in_all, interval_in_all : the same, with the evaluations of labels and references
    """

    e_above_hull: float
    new: int
    per_1000: float | None
    interval: Interval | None
    per_1000_in_all: float | None
    interval_in_all: Interval | None


@dataclass(frozen=True)
class ArmSummary:
    """What an arm found with one seed, or with several together.

    Attributes
    ----------
    arm, seeds : which it is
    copies : the number of seeds where all made the same relaxations, as substitution does, else 1: intervals are those of one
        of them
    budget, relaxations, unfilled : relaxations that it might make, those that it made, and those without a candidate
    relaxed, stopped, failed : of the relaxations: to the end, as known before the end, and neither
    evaluations, preparation : of the relaxations; of labels and references
    within : finds up to each of `LIMITS`
    stable : within `NEAR` of the hull, of the relaxations
    sun : stable, unique and new: within `NEAR`, no duplicate within its arm, and of the class new; of the relaxations
    sun_of_made : the same, of all candidates that its sources made
    unique : no duplicate within its arm, of the relaxed ones
    novel : of the class new, of the relaxed ones: no duplicate, and equal neither to known nor to substituted structures
    matched : equal to the structure as proposed, of the relaxed ones
    rmsd : mean displacement of those, in units of (volume per atom)^(1/3)
    valid : of the candidates that were made
    best : lowest E_hull of all, eV/atom
    given : relaxations of each source
    wall, cpu : s, by what they were spent on
    """

    arm: str
    seeds: list[int]
    copies: int
    budget: int
    relaxations: int
    unfilled: int
    relaxed: int
    stopped: int
    failed: int
    evaluations: int
    preparation: int
    within: list[Finds]
    stable: Share
    sun: Share
    sun_of_made: Share
    unique: Share
    novel: Share
    matched: Share
    rmsd: float | None
    valid: Share
    best: float | None
    given: dict[str, int]
    wall: dict[str, float]
    cpu: dict[str, float]

    @property
    def near(self) -> Finds:
        """Finds within `NEAR`."""
        return self.within[-1]

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return asdict(self)


def summarise_arm(runs: Sequence[ArmRun]) -> ArmSummary:
    """Sum up the runs of one arm.

    Parameters
    ----------
    runs : one at least, of different seeds
    """
    tried = [one for run in runs for one in run.relaxations]
    relaxed = [one for one in tried if one.is_relaxed]
    made, preparation = sum(run.made for run in runs), sum(run.preparation for run in runs)
    moved = [one.displacement for one in relaxed if one.displacement is not None]
    copies = count_copies(runs)
    within = [_finds(tried, preparation, limit, copies) for limit in LIMITS]
    return ArmSummary(
        arm=runs[0].arm,
        seeds=[run.seed for run in runs],
        copies=copies,
        budget=sum(run.budget for run in runs),
        relaxations=len(tried),
        unfilled=sum(run.unfilled for run in runs),
        relaxed=len(relaxed),
        stopped=sum(one.was_known for one in tried),
        failed=sum(not one.is_relaxed and not one.was_known for one in tried),
        evaluations=sum(run.evaluations for run in runs),
        preparation=preparation,
        within=within,
        stable=Share.of(sum(one.is_near(NEAR) for one in tried), len(tried), copies),
        sun=Share.of(within[-1].new, len(tried), copies),
        sun_of_made=Share.of(within[-1].new, made, copies),
        unique=Share.of(sum(one.novelty != Novelty.DUPLICATE.value for one in relaxed), len(relaxed), copies),
        novel=Share.of(sum(one.novelty == Novelty.NEW.value for one in relaxed), len(relaxed), copies),
        matched=Share.of(len(moved), len(relaxed), copies),
        rmsd=statistics.fmean(moved) if moved else None,
        valid=Share.of(sum(run.valid for run in runs), made, copies),
        best=min((one.e_above_hull for one in relaxed if one.e_above_hull is not None), default=None),
        given=dict(_add(run.given for run in runs)),
        wall={name: round(value, 1) for name, value in _add(run.wall for run in runs).items()},
        cpu={name: round(value, 1) for name, value in _add(run.cpu for run in runs).items()},
    )


def count_copies(runs: Sequence[ArmRun]) -> int:
    """Count the runs where all made the same relaxations, which then are no independent samples; else 1."""
    same = all(list(run.relaxations) == list(runs[0].relaxations) for run in runs)
    return len(runs) if same else 1


def _finds(tried: Sequence[ArmRelaxation], preparation: int, limit: float, copies: int) -> Finds:
    new, spent = sum(one.is_new(limit) for one in tried), sum(one.evaluations for one in tried)
    costs = (spent // copies, (spent + preparation) // copies)
    rates = [rate_per_1000(new // copies, len(tried) // copies, cost) for cost in costs]
    values = [(rate[0], rate[1:]) if rate else (None, None) for rate in rates]
    return Finds(limit, new, *values[0], *values[1])


def _add(parts: Any) -> Counter[str]:
    """Add numbers by their names; Counter's own sum would leave out those that are zero."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


@dataclass(frozen=True)
class ArmDifference:
    """What one arm finds more than another in 1,000 evaluations of relaxations, pooled over seeds.

    Attributes
    ----------
    one, other : the arms
    e_above_hull : eV/atom
    per_1000 : new structures of the one less those of the other
    interval : 95 %, by bootstrap over the relaxations of each; None where neither finds anything, since draws from nothing
        have no spread
    """

    one: str
    other: str
    e_above_hull: float
    per_1000: float
    interval: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return asdict(self)


def compare_arms(arms: Mapping[str, Sequence[ArmRun]], seed: int) -> list[ArmDifference]:
    """Compare each arm with each that comes before it, up to each of `LIMITS`.

    The relaxations of each arm, of all seeds together, are drawn again, each with what it found and what it cost; those of
    two arms independently. Which structures are duplicates stays as it is. Runs that are copies of each other count once.
    """
    draws = {}
    for place, (arm, runs) in enumerate(arms.items()):
        tried = [one for run in runs[: len(runs) // count_copies(runs)] for one in run.relaxations]
        if tried:
            draws[arm] = _rates(tried, seed + place)
    differences = []
    for (other, before), (one, after) in itertools.combinations(draws.items(), 2):
        for limit in LIMITS:
            values = after[limit] - before[limit]
            found = after[limit][0] or before[limit][0]
            interval = percentiles(values[1:]) if found else None
            differences.append(ArmDifference(one, other, limit, float(values[0]), interval))
    return differences


def _rates(tried: Sequence[ArmRelaxation], seed: int) -> dict[float, Any]:
    """Draw the finds in 1,000 evaluations; the first of each limit is what was measured."""
    import numpy as np

    weights = resample(len(tried), seed)
    spent = np.maximum(weights @ np.array([one.evaluations for one in tried], float), 1)
    return {limit: 1000 * (weights @ np.array([one.is_new(limit) for one in tried], float)) / spent for limit in LIMITS}
