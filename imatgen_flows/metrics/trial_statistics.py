"""Statistics of trials: what a source found and what it cost, by stratum, and the difference of two sources."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.metrics.statistics import Interval, percentiles, rate_interval, resample
from imatgen_flows.metrics.trials import THRESHOLDS, Trial


@dataclass(frozen=True)
class NearHull:
    """What a source found up to one energy above the hull.

    Attributes
    ----------
    e_above_hull : that energy, eV/atom
    unique : structures that are no duplicates
    new : structures that are new
    share : of the new ones among all structures that were given to the relaxation; None without any
    interval : of that share, 95 %, by Wilson
    per_1000_evaluations : new structures; None without any evaluation
    """

    e_above_hull: float
    unique: int
    new: int
    share: float | None
    interval: Interval
    per_1000_evaluations: float | None


@dataclass(frozen=True)
class SourceSummary:
    """What a source, or a stratum of it, found and what it cost.

    Attributes
    ----------
    structures : given to the relaxation
    not_as_asked : of these, of another composition than their target cell
    relaxed, failed : of these
    reasons : of the failures
    evaluations, mean_evaluations : energy-and-force evaluations
    median_e_above_hull : of the relaxed ones, eV/atom
    classes : relaxed structures in each class of novelty
    collapsed : share of the relaxed ones that match another, a known phase or a substituted structure
    within : up to each of `THRESHOLDS`
    """

    structures: int
    not_as_asked: int
    relaxed: int
    failed: int
    reasons: dict[str, int]
    evaluations: int
    mean_evaluations: float | None
    median_e_above_hull: float | None
    classes: dict[str, int]
    collapsed: float | None
    within: list[NearHull]

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """What one source finds more than another up to one energy above the hull, over the target cells that both filled.

    Attributes
    ----------
    e_above_hull : that energy, eV/atom
    targets : cells that both filled
    share, interval : difference of the shares of new structures, and its 95 % bootstrap interval
    per_1000_evaluations, per_1000_interval : the same of new structures in 1,000 evaluations
    """

    e_above_hull: float
    targets: int
    share: float
    interval: Interval | None
    per_1000_evaluations: float
    per_1000_interval: Interval | None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return asdict(self)


def summarise(trials: Sequence[Trial]) -> SourceSummary:
    """Count what a source, or a stratum of it, found and what it cost."""
    relaxed = [trial for trial in trials if trial.structure is not None]
    evaluations = sum(trial.evaluations for trial in trials)
    classes = Counter(trial.novelty.value for trial in relaxed if trial.novelty)
    energies = [trial.e_above_hull for trial in relaxed if trial.e_above_hull is not None]
    return SourceSummary(
        structures=len(trials),
        not_as_asked=sum(not trial.as_asked for trial in trials),
        relaxed=len(relaxed),
        failed=len(trials) - len(relaxed),
        reasons=dict(Counter(trial.reason for trial in trials if trial.reason)),
        evaluations=evaluations,
        mean_evaluations=evaluations / len(trials) if trials else None,
        median_e_above_hull=statistics.median(energies) if energies else None,
        classes={novelty.value: classes[novelty.value] for novelty in Novelty},
        collapsed=1 - classes[Novelty.NEW.value] / len(relaxed) if relaxed else None,
        within=[_near_hull(trials, at_most, evaluations) for at_most in THRESHOLDS],
    )


def _near_hull(trials: Sequence[Trial], at_most: float, evaluations: int) -> NearHull:
    new = sum(trial.is_new(at_most) for trial in trials)
    return NearHull(
        e_above_hull=at_most,
        unique=sum(trial.is_unique(at_most) for trial in trials),
        new=new,
        share=new / len(trials) if trials else None,
        interval=rate_interval(new, len(trials)),
        per_1000_evaluations=1000 * new / evaluations if evaluations else None,
    )


def strata(trials: Iterable[Trial]) -> dict[str, dict[str, SourceSummary]]:
    """Summarise by composition class (anions to cations), number of sites and, where there are several, kind."""
    by: dict[str, Callable[[Trial], str]] = {
        "anions_to_cations": lambda trial: trial.cell.ratio_class,
        "sites": lambda trial: trial.cell.size_class,
        "kind": lambda trial: trial.kind,
    }
    found = list(trials)
    return {
        name: {key: summarise([t for t in found if of(t) == key]) for key in sorted({of(t) for t in found} - {""})}
        for name, of in by.items()
    }


def compare(one: Sequence[Trial], other: Sequence[Trial], seed: int) -> list[Difference]:
    """Compare the finds of two sources by a bootstrap over the target cells that both filled.

    Target cells are drawn, and the trials of both sources with them, since the cells are what both share. Which structures
    are duplicates stays as it is.

    Returns
    -------
    the difference at each threshold, without an interval where neither source finds anything, since draws from nothing have
    no spread; empty where no target cell is shared
    """
    answers = [{trial.target: trial for trial in trials} for trials in (one, other)]
    shared = sorted(answers[0].keys() & answers[1].keys())
    if not shared:
        return []
    n = len(shared)
    weights = resample(n, seed)
    spent = [weights @ np.array([trials[target].evaluations for target in shared], float) for trials in answers]
    differences = []
    for at_most in THRESHOLDS:
        finds = [weights @ np.array([trials[target].is_new(at_most) for target in shared], float) for trials in answers]
        found = bool(finds[0][0] or finds[1][0])
        share = (finds[0] - finds[1]) / n
        rate = 1000 * (finds[0] / np.maximum(spent[0], 1) - finds[1] / np.maximum(spent[1], 1))
        differences.append(
            Difference(
                e_above_hull=at_most,
                targets=n,
                share=float(share[0]),
                interval=percentiles(share[1:]) if found else None,
                per_1000_evaluations=float(rate[0]),
                per_1000_interval=percentiles(rate[1:]) if found else None,
            )
        )
    return differences
