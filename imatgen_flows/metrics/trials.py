"""Trials: proposals of the sources after relaxation, with their energies above the hull and their novelty."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pymatgen.core import Structure

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.novelty import NoveltyClassifier
from imatgen_flows.crystals.standard import standardise
from imatgen_flows.energetics.hull import Hull
from imatgen_flows.energetics.relax import Evaluator, Relaxation
from imatgen_flows.matching.grouping import StructureIndex, group_duplicates
from imatgen_flows.sources.proposal import Proposal
from imatgen_flows.sources.registry import SUBSTITUTION
from imatgen_flows.sources.target_cell import TargetCell

logger = logging.getLogger(__name__)

# eV/atom above the hull: none; 0.08 of Noh et al., Matter 1, 1370 (2019); 0.1, usual for metastable phases; 0.05 between
THRESHOLDS = (0.0, 0.05, 0.08, 0.1)


@dataclass(frozen=True)
class KnownStructures:
    """The structures that a new one must differ from.

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

    def classifier(self, relaxed: Mapping[str, Structure]) -> NoveltyClassifier:
        """Build the novelty classifier of all of them, and of further substituted structures as relaxed."""
        ends = {f"{name} (relaxed)": structure for name, structure in {**self.relaxed, **relaxed}.items()}
        return NoveltyClassifier(known=self.known, substituted={**self.substituted, **ends})


@dataclass
class Trial:
    """One proposal of a source after its relaxation.

    Attributes
    ----------
    target : number of the target cell that it fills
    cell : that target cell
    name : what it was made from
    kind : subdivision of its source, such as the sampler; empty where there is none
    as_asked : whether it has the composition of the target cell
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
        """Whether it is this near the hull (eV/atom) and no duplicate within its source; known or not."""
        near = self.e_above_hull is not None and self.e_above_hull <= at_most
        return near and self.novelty is not Novelty.DUPLICATE

    def is_new(self, at_most: float) -> bool:
        """Whether it is new, and this near the hull (eV/atom)."""
        return self.is_unique(at_most) and self.novelty is Novelty.NEW

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON; the structure as CIF where it is new and near the hull."""
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


@dataclass(frozen=True)
class RelaxedSubstitutions:
    """Counts of the substituted structures that were relaxed so that they count as known.

    Attributes
    ----------
    structures : chosen
    reused : of these, relaxed before, or proposed by the source ``substitution``
    failed : of these, not relaxed
    evaluations : energy-and-force evaluations of those relaxed for this
    missed, unique : of the unique structures of the source ``substitution``, those that equal neither these nor anything
        else that is known: a like share of what is called new may be substitution too
    """

    structures: int
    reused: int
    failed: int
    evaluations: int
    missed: int
    unique: int

    def to_dict(self) -> dict[str, int]:
        """Give plain values, for JSON."""
        return asdict(self)


def evaluate_sources(
    targets: Sequence[TargetCell],
    proposals: Mapping[str, Sequence[Proposal | None]],
    known: KnownStructures,
    hull: Hull,
    relax: Evaluator,
    substituted: int,
    kinds: Mapping[str, str] | None = None,
) -> tuple[dict[str, list[Trial]], RelaxedSubstitutions]:
    """Relax the proposals of all sources, and classify what they relax to.

    A structure is new if it matches no published phase, no training structure as made, and no relaxed substituted structure.
    Of each composition, the substituted structures of the lowest unrelaxed energies are relaxed for this, and those that the
    source ``substitution`` relaxed count too, so that this source finds nothing new by definition.

    Parameters
    ----------
    targets : the target cells
    proposals : by source, one for each target
    known : what is not new
    hull : on the energy scale of `relax`
    relax : relaxes structures by name
    substituted : structures of each composition to be relaxed, at most
    kinds : subdivision of the proposals by name, such as the sampler

    Returns
    -------
    the trials of each source, and counts of the relaxed substituted structures
    """
    results = {}
    for source, items in proposals.items():
        logger.info("%s: relaxing %d structures", source, sum(item is not None for item in items))
        results[source] = _relax(items, relax)
    plain = {
        item.name: result
        for item, result in zip(proposals.get(SUBSTITUTION, ()), results.get(SUBSTITUTION, ()), strict=True)
        if item is not None and result is not None
    }
    formulas = {item.structure.composition.reduced_formula for items in proposals.values() for item in items if item}
    chosen = choose_substituted(known.substituted, known.energies, formulas, substituted)
    waiting = [name for name in chosen if name not in known.relaxed and name not in plain]
    logger.info(
        "substituted structures for comparison: relaxing %d, %d are relaxed", len(waiting), len(chosen) - len(waiting)
    )
    spent = relax({name: known.substituted[name] for name in waiting}) if waiting else {}
    ends = {
        name: result.structure
        for name, result in {**plain, **spent}.items()
        if result.state == "relaxed" and result.structure is not None
    }
    listed = known.classifier({name: ends[name] for name in chosen if name in ends})
    alone = (
        classify_trials(targets, proposals[SUBSTITUTION], results[SUBSTITUTION], hull, listed)
        if SUBSTITUTION in proposals
        else []
    )
    classifier = known.classifier(ends)
    trials = {
        source: classify_trials(targets, items, results[source], hull, classifier, kinds)
        for source, items in proposals.items()
    }
    return trials, RelaxedSubstitutions(
        structures=len(chosen),
        reused=len(chosen) - len(waiting),
        failed=sum(name not in known.relaxed and name not in ends for name in chosen),
        evaluations=sum(result.evaluations for result in spent.values()),
        missed=sum(trial.novelty is Novelty.NEW for trial in alone),
        unique=sum(trial.is_unique(math.inf) for trial in alone),
    )


def _relax(proposals: Sequence[Proposal | None], relax: Evaluator) -> list[Relaxation | None]:
    found = relax(
        {str(target): proposal.structure for target, proposal in enumerate(proposals) if proposal is not None}
    )
    return [found.get(str(target)) for target in range(len(proposals))]


def choose_substituted(
    crystals: Mapping[str, Structure], energies: Mapping[str, float], formulas: Iterable[str], at_most: int
) -> list[str]:
    """Choose the substituted structures whose relaxed forms a new structure must differ from.

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


def classify_trials(
    targets: Sequence[TargetCell],
    proposals: Sequence[Proposal | None],
    relaxations: Sequence[Relaxation | None],
    hull: Hull,
    classifier: NoveltyClassifier,
    kinds: Mapping[str, str] | None = None,
) -> list[Trial]:
    """Classify what the proposals of one source relaxed to.

    Of relaxed structures that match each other, the lowest in energy counts and the others are duplicates.

    Parameters
    ----------
    targets, proposals, relaxations : in the same order; a target without a proposal makes no trial
    hull : on the energy scale of the relaxations
    classifier : of the published phases, the training structures, and relaxed substituted structures
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
            trial.novelty, trial.match, _ = classifier.classify(structure)
        else:
            trial.novelty, trial.match = Novelty.DUPLICATE, relaxed[first_of[index]][0].name
    return trials
