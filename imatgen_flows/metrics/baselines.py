"""The judge of generation: from equally many relaxations of each source, how many new structures near the hull?

Sources answer the same targets (cells of given contents), so that neither composition nor size of the cell favours one.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from imatgen_flows.candidates.novelty import Novelty, NoveltyClassifier
from imatgen_flows.crystals.standard import standardise
from imatgen_flows.energetics.hull import Hull
from imatgen_flows.energetics.relax import Relaxation
from imatgen_flows.matching.grouping import StructureIndex, group_duplicates
from imatgen_flows.metrics.statistics import rate_interval
from imatgen_flows.sources.target_cell import Proposal, TargetCell

logger = logging.getLogger(__name__)

THRESHOLDS = (0.0, 0.05, 0.08, 0.1)  # eV/atom above the hull
RESAMPLES = 10_000
LEVEL = 0.95
PLAIN = "substitution"  # the source whose answers, relaxed, are no finds of any other

Evaluate = Callable[[Mapping[str, Structure]], Mapping[str, Relaxation]]


@dataclass(frozen=True)
class Crystals:
    """What a find must differ from.

    Attributes
    ----------
    known : published phases by name, as published and as relaxed
    substituted : training structures by name, as made
    energies : of these, unrelaxed, eV/atom
    relaxed : of these as well, what the campaign has relaxed
    """

    known: Mapping[str, Structure]
    substituted: Mapping[str, Structure]
    energies: Mapping[str, float]
    relaxed: Mapping[str, Structure]

    def judge(self, relaxed: Mapping[str, Structure]) -> NoveltyClassifier:
        """Know all of them, and other substituted structures as relaxed."""
        ends = {f"{name} (relaxed)": structure for name, structure in {**self.relaxed, **relaxed}.items()}
        return NoveltyClassifier(known=self.known, substituted={**self.substituted, **ends})


@dataclass
class Trial:
    """One proposal, relaxed and judged.

    Attributes
    ----------
    target : number of the target that it fills
    cell : that target
    name : what it was made from
    kind : subdivision of its source, such as the sampler; empty where there is none
    as_asked : it held what the target asks for
    evaluations : energy-and-force evaluations spent on it
    reason : why it did not relax; empty if it did
    structure : relaxed, standardised
    e_above_hull : eV/atom
    novelty : class of the relaxed structure; None where there is none
    match : what it equals, if it is not new
    """

    target: int
    cell: TargetCell
    name: str
    kind: str
    as_asked: bool
    evaluations: int
    reason: str = ""
    structure: Structure | None = None
    e_above_hull: float | None = None
    novelty: Novelty | None = None
    match: str = ""

    def is_unique(self, at_most: float) -> bool:
        """Whether it is the first of its kind in its source, and so near the hull (eV/atom); known or not."""
        near = self.e_above_hull is not None and self.e_above_hull <= at_most
        return near and self.novelty is not Novelty.DUPLICATE

    def is_new(self, at_most: float) -> bool:
        """Whether it counts as found: new, and so near the hull (eV/atom)."""
        return self.is_unique(at_most) and self.novelty is Novelty.NEW

    def to_row(self) -> dict[str, Any]:
        """Plain values, for JSON; the structure as CIF where it is a find."""
        return {
            "target": self.target,
            "asked": self.cell.formula,
            "name": self.name,
            "kind": self.kind,
            "as_asked": self.as_asked,
            "evaluations": self.evaluations,
            "reason": self.reason,
            "e_above_hull": self.e_above_hull,
            "novelty": self.novelty.value if self.novelty else "",
            "match": self.match,
            "structure": self.structure.to(fmt="cif") if self.structure and self.is_new(THRESHOLDS[-1]) else None,
        }


def evaluate_sources(
    targets: Sequence[TargetCell],
    proposals: Mapping[str, Sequence[Proposal | None]],
    crystals: Crystals,
    hull: Hull,
    relax: Evaluate,
    substituted: int,
    kinds: Mapping[str, str] | None = None,
) -> tuple[dict[str, list[Trial]], dict[str, int]]:
    """Relax what each source proposes, and say what became of it.

    New is what equals no published phase, no training structure as made, and no relaxed substituted structure: for each
    composition those of the lowest unrelaxed energy are relaxed for this, and what the source ``substitution`` has relaxed
    counts too, so that this source finds nothing new by definition.

    Parameters
    ----------
    targets : cells that are asked for
    proposals : by source, one a target
    crystals : what is not new
    hull : on the energy scale of `relax`
    relax : relaxes structures by name
    substituted : structures of each composition to be relaxed, at most
    kinds : subdivision of the proposals by name, such as the sampler

    Returns
    -------
    the trials of each source; and counts of the relaxed substituted structures: ``structures`` chosen, of these ``reused``
    and ``failed``, ``evaluations`` for the rest, and how many unique ones of the source ``substitution`` equal neither
    these nor anything else that is known (``missed``, of ``unique``): so much of what is called new may be substitution too
    """
    results = {}
    for source, items in proposals.items():
        logger.info("%s: relaxes %d structures", source, sum(item is not None for item in items))
        results[source] = _relax(items, relax)
    plain = {
        item.name: result
        for item, result in zip(proposals.get(PLAIN, ()), results.get(PLAIN, ()), strict=True)
        if item is not None and result is not None
    }
    formulas = {item.structure.composition.reduced_formula for items in proposals.values() for item in items if item}
    chosen = choose_substituted(crystals.substituted, crystals.energies, formulas, substituted)
    waiting = [name for name in chosen if name not in crystals.relaxed and name not in plain]
    logger.info(
        "substituted structures to be known again: relaxes %d, %d are", len(waiting), len(chosen) - len(waiting)
    )
    spent = relax({name: crystals.substituted[name] for name in waiting}) if waiting else {}
    ends = {
        name: result.structure
        for name, result in {**plain, **spent}.items()
        if result.state == "relaxed" and result.structure is not None
    }
    listed = crystals.judge({name: ends[name] for name in chosen if name in ends})
    alone = judge_source(targets, proposals[PLAIN], results[PLAIN], hull, listed) if PLAIN in proposals else []
    judge = crystals.judge(ends)
    trials = {
        source: judge_source(targets, items, results[source], hull, judge, kinds) for source, items in proposals.items()
    }
    return trials, {
        "structures": len(chosen),
        "reused": len(chosen) - len(waiting),
        "failed": sum(name not in crystals.relaxed and name not in ends for name in chosen),
        "evaluations": sum(result.evaluations for result in spent.values()),
        "missed": sum(trial.novelty is Novelty.NEW for trial in alone),
        "unique": sum(trial.is_unique(math.inf) for trial in alone),
    }


def _relax(proposals: Sequence[Proposal | None], relax: Evaluate) -> list[Relaxation | None]:
    found = relax(
        {str(target): proposal.structure for target, proposal in enumerate(proposals) if proposal is not None}
    )
    return [found.get(str(target)) for target in range(len(proposals))]


def choose_substituted(
    crystals: Mapping[str, Structure], energies: Mapping[str, float], formulas: Iterable[str], at_most: int
) -> list[str]:
    """Choose the substituted structures whose relaxed forms a find must differ from.

    Parameters
    ----------
    crystals : substituted structures, by name
    energies : of these, unrelaxed, eV/atom
    formulas : reduced ones, of the compositions that sources were asked for
    at_most : structures of each, the lowest first; of those that equal each other as made, the lowest

    Returns
    -------
    their names
    """
    by_formula: dict[str, list[str]] = {formula: [] for formula in sorted(set(formulas))}
    for name in sorted(crystals.keys() & energies.keys(), key=lambda name: (energies[name], name)):
        formula = crystals[name].composition.reduced_formula
        if formula in by_formula:
            by_formula[formula].append(name)
    chosen = []
    for names in by_formula.values():
        taken = StructureIndex[str]()
        count = 0
        for name in names:
            if count == at_most:
                break
            if taken.find(crystals[name]) is None:
                taken.add(name, crystals[name])
                chosen.append(name)
                count += 1
    return chosen


def judge_source(
    targets: Sequence[TargetCell],
    proposals: Sequence[Proposal | None],
    relaxations: Sequence[Relaxation | None],
    hull: Hull,
    judge: NoveltyClassifier,
    kinds: Mapping[str, str] | None = None,
) -> list[Trial]:
    """Say what became of each proposal of one source.

    Of relaxed structures that equal each other, the lowest counts and the others are duplicates.

    Parameters
    ----------
    targets, proposals, relaxations : in the same order; a target without a proposal makes no trial
    hull : on the energy scale of the relaxations
    judge : knows the published phases, the training structures, and relaxed substitutions
    kinds : subdivision of the source by name of the proposal
    """
    trials: list[Trial] = []
    relaxed: list[tuple[Trial, Structure]] = []
    for number, (target, proposal, result) in enumerate(zip(targets, proposals, relaxations, strict=True)):
        if proposal is None or result is None:
            continue
        kind = (kinds or {}).get(proposal.name, "")
        trial = Trial(number, target, proposal.name, kind, proposal.as_asked, result.evaluations, result.reason)
        trials.append(trial)
        if result.state != "relaxed" or result.structure is None or result.energy_per_atom is None:
            continue
        try:
            trial.structure = standardise(result.structure)
        except ValueError:
            trial.reason = "no_standard_cell"
            continue
        trial.e_above_hull = hull.e_above_hull(trial.structure.composition, result.energy_per_atom)
        relaxed.append((trial, trial.structure))
    relaxed.sort(key=lambda pair: pair[0].e_above_hull or 0.0)
    first_of = group_duplicates([structure for _, structure in relaxed])
    for index, (trial, structure) in enumerate(relaxed):
        if first_of[index] == index:
            trial.novelty, trial.match, _ = judge.classify(structure)
        else:
            trial.novelty, trial.match = Novelty.DUPLICATE, relaxed[first_of[index]][0].name
    return trials


def summarise(trials: Sequence[Trial]) -> dict[str, Any]:
    """Count what a source, or a stratum of it, found and what it cost.

    Shares are of all structures that were given to the relaxation, with 95 % Wilson intervals; ``collapsed`` is the share of
    the relaxed ones that equal another, a known phase or a substituted structure.
    """
    relaxed = [trial for trial in trials if trial.structure is not None]
    evaluations = sum(trial.evaluations for trial in trials)
    classes = Counter(trial.novelty.value for trial in relaxed if trial.novelty)
    energies = [trial.e_above_hull for trial in relaxed if trial.e_above_hull is not None]
    return {
        "structures": len(trials),
        "not_as_asked": sum(not trial.as_asked for trial in trials),
        "relaxed": len(relaxed),
        "failed": len(trials) - len(relaxed),
        "reasons": dict(Counter(trial.reason for trial in trials if trial.reason)),
        "evaluations": evaluations,
        "mean_evaluations": evaluations / len(trials) if trials else None,
        "median_e_above_hull": statistics.median(energies) if energies else None,
        "classes": {novelty.value: classes[novelty.value] for novelty in Novelty},
        "collapsed": 1 - classes[Novelty.NEW.value] / len(relaxed) if relaxed else None,
        "within": [_within(trials, at_most, evaluations) for at_most in THRESHOLDS],
    }


def _within(trials: Sequence[Trial], at_most: float, evaluations: int) -> dict[str, Any]:
    new = sum(trial.is_new(at_most) for trial in trials)
    return {
        "e_above_hull": at_most,
        "unique": sum(trial.is_unique(at_most) for trial in trials),
        "new": new,
        "share": new / len(trials) if trials else None,
        "interval": list(rate_interval(new, len(trials))),
        "per_1000_evaluations": 1000 * new / evaluations if evaluations else None,
    }


def strata(trials: Iterable[Trial]) -> dict[str, dict[str, Any]]:
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


def compare(one: Sequence[Trial], other: Sequence[Trial], seed: int) -> list[dict[str, Any]]:
    """Give what one source finds more than another, with 95 % bootstrap intervals.

    Slots are drawn, and both sources' answers with them, since they are what both share; targets that one has not filled are
    left out. Which structures are duplicates stays as it is.

    Returns
    -------
    for each threshold the difference of the shares, and of the finds in 1,000 evaluations; no interval where neither finds
    anything, since draws from nothing show no spread; empty where no target is shared
    """
    answers = [{trial.target: trial for trial in trials} for trials in (one, other)]
    shared = sorted(answers[0].keys() & answers[1].keys())
    if not shared:
        return []
    n = len(shared)
    drawn = np.random.default_rng(seed).multinomial(n, [1 / n] * n, RESAMPLES)
    weights = np.vstack([np.ones(n), drawn])  # the first is what was measured
    spent = [weights @ np.array([trials[target].evaluations for target in shared], float) for trials in answers]
    rows = []
    for at_most in THRESHOLDS:
        finds = [weights @ np.array([trials[target].is_new(at_most) for target in shared], float) for trials in answers]
        found = bool(finds[0][0] or finds[1][0])
        share = (finds[0] - finds[1]) / n
        rate = 1000 * (finds[0] / np.maximum(spent[0], 1) - finds[1] / np.maximum(spent[1], 1))
        rows.append(
            {
                "e_above_hull": at_most,
                "targets": n,
                "share": float(share[0]),
                "interval": _percentiles(share[1:]) if found else None,
                "per_1000_evaluations": float(rate[0]),
                "per_1000_interval": _percentiles(rate[1:]) if found else None,
            }
        )
    return rows


def _percentiles(values: NDArray[np.float64]) -> list[float]:
    tail = 50 * (1 - LEVEL)
    return [float(value) for value in np.percentile(values, [tail, 100 - tail])]
