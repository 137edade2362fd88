"""Baseline benchmark: new structures near the hull that each source finds with equally many relaxations.

All sources fill the same target cells, so that neither composition nor size of the cell favours one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pymatgen.core import Structure

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.energetics.hull import Hull
from imatgen_flows.energetics.relax import Evaluator
from imatgen_flows.errors import InputError
from imatgen_flows.metrics.trial_statistics import Difference, SourceSummary, compare, strata, summarise
from imatgen_flows.metrics.trials import KnownStructures, RelaxedSubstitutions, Trial, evaluate_sources
from imatgen_flows.sources.generator import choose_generated
from imatgen_flows.sources.proposal import Generated, SourceContext
from imatgen_flows.sources.registry import GENERATOR, SOURCES
from imatgen_flows.sources.target_cell import CellRange, TargetCell


@dataclass(frozen=True)
class BaselineSettings:
    """Settings of a baseline benchmark.

    Attributes
    ----------
    sources : names of the sources that are compared
    samplers : names of the samplers of the generator's candidates
    round_number : round of these candidates
    limits : range of the cells that are compared
    per_source : structures that each source may relax
    substituted : substituted structures of each composition that are relaxed, so that they count as known
    fmax : force up to which structures are relaxed, eV/A; None for that of the campaign
    clean_first : whether candidates that decode cleanly are chosen before all others
    seed : of all random choices
    """

    sources: tuple[str, ...]
    samplers: tuple[str, ...]
    round_number: int = 0
    limits: CellRange = field(default_factory=CellRange)
    per_source: int = 100
    substituted: int = 5
    fmax: float | None = None
    clean_first: bool = False
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class BaselineBenchmark:
    """Result of a baseline benchmark.

    Attributes
    ----------
    targets : the target cells
    trials : of each source
    summaries : of each source
    differences : the generator less each other source, by threshold
    relaxed_substitutions : counts of the substituted structures that count as known
    """

    targets: list[TargetCell]
    trials: dict[str, list[Trial]]
    summaries: dict[str, SourceSummary]
    differences: dict[str, list[Difference]]
    relaxed_substitutions: RelaxedSubstitutions

    @property
    def evaluations(self) -> int:
        """Energy-and-force evaluations of all relaxations."""
        return self.relaxed_substitutions.evaluations + sum(item.evaluations for item in self.summaries.values())

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return {
            "targets": [target.formula for target in self.targets],
            "sources": {
                source: summary.to_dict()
                | {
                    "unfilled": len(self.targets) - summary.structures,
                    "strata": {
                        name: {key: part.to_dict() for key, part in parts.items()}
                        for name, parts in strata(self.trials[source]).items()
                    },
                }
                for source, summary in self.summaries.items()
            },
            "differences": {
                source: [difference.to_dict() for difference in differences]
                for source, differences in self.differences.items()
            },
            "relaxed_substitutions": self.relaxed_substitutions.to_dict(),
            "evaluations_total": self.evaluations,
            "trials": {source: [trial.to_dict() for trial in trials] for source, trials in self.trials.items()},
        }


def run_benchmark(
    candidates: Sequence[Generated],
    known: KnownStructures,
    hull: Hull,
    relax: Evaluator,
    settings: BaselineSettings,
    volume_ratio: float = 1.0,
) -> BaselineBenchmark:
    """Let each source fill the cells of the generator's candidates, relax all proposals, and count what is new.

    Parameters
    ----------
    candidates : valid candidates of the generator, from which the compared ones are chosen
    known : structures that a new one must differ from
    hull : on the energy scale of `relax`
    relax : relaxes structures by name
    settings : of the benchmark
    volume_ratio : of crystals at the pressure of the run over that expected at zero pressure

    Raises
    ------
    InputError
        Where no candidate lies within the limits.
    """
    limits = settings.limits
    chosen = choose_generated(candidates, limits, settings.per_source, settings.seed, settings.clean_first)
    if not chosen:
        raise InputError(
            f"no new candidate of {', '.join(settings.samplers)} in round {settings.round_number} has {limits.low} "
            f"to {limits.high} sites and {limits.ratio:g} anions to a cation or more. Widen --sites or --ratio."
        )
    targets = [TargetCell.of(candidate.structure) for candidate in chosen]
    classifier = known.classifier({})

    def is_new(structure: Structure) -> bool:
        return classifier.classify(structure)[0] is Novelty.NEW

    context = SourceContext(
        generated=chosen,
        substituted={name: structure for name, structure in known.substituted.items() if limits.admit(structure)},
        is_new=is_new,
        volume_ratio=volume_ratio,
    )
    proposals = {source: SOURCES[source].load_filler()(targets, context, settings.seed) for source in settings.sources}
    kinds = {item.sample: f"{item.sampler}, {'clean' if item.clean else 'doubtful'}" for item in chosen}
    trials, relaxed = evaluate_sources(targets, proposals, known, hull, relax, settings.substituted, kinds)
    return BaselineBenchmark(
        targets=targets,
        trials=trials,
        summaries={source: summarise(found) for source, found in trials.items()},
        differences={
            source: compare(trials[GENERATOR], found, settings.seed)
            for source, found in trials.items()
            if GENERATOR in trials and source != GENERATOR
        },
        relaxed_substitutions=relaxed,
    )
