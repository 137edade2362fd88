"""Tables of rediscovery: rates over runs with their intervals, and the results for each known phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, TypedDict

from pymatgen.core import Structure

from imatgen_flows.candidates.holdout import LOOSE
from imatgen_flows.matching.grouping import group_duplicates
from imatgen_flows.metrics.rediscovery import MATCHERS, STATES, KnownPhase, Substitution, Tier
from imatgen_flows.metrics.statistics import mean_interval, rate_interval

FEW = 10  # samples that can match a phase; with fewer it counts as hardly searched for, a convention of the table


@dataclass(frozen=True)
class RunFindings:
    """Findings of one run.

    Attributes
    ----------
    run : its name
    seed : of its networks and samples
    held_out : structures or prototypes
    knowns : what was held out
    tiers : by name
    substitution : of its training set ``as made``, and of the substituted structures on its hull ``relaxed``
    """

    run: str
    seed: int
    held_out: str
    knowns: list[KnownPhase]
    tiers: dict[str, Tier]
    substitution: dict[str, Substitution]


class Rates(TypedDict):
    """Number and share of phases, or prototypes, that runs found.

    `found` is that of each run, `rate` the mean share, `interval` its 95 % interval (over runs by Student's t, of a single
    run by Wilson), and `union` the number that any run found.
    """

    found: list[int]
    rate: float
    interval: list[float]
    union: int


class Tally(Rates):
    """Rates of known phases; `clusters` are those of their prototypes."""

    clusters: Rates


class HeldOutSummary(TypedDict):
    """Rates of the runs that held out the same, by tier or kind of substitution, matcher and state of relaxation.

    Each entry of `tiers` has `samples`, `relaxed` and `evaluations` of each run, and by matcher and state a `Tally`, None for
    a state that no sample is in. Each entry of `substitution` has `structures` of each run, and a `Tally` by matcher.
    """

    runs: int
    known: int
    clusters: int
    tiers: dict[str, dict[str, Any]]
    substitution: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Rediscovery:
    """Result of a search for held-out phases over one or more runs.

    Attributes
    ----------
    findings : of each run
    samples_around_each : samples drawn around each known phase
    """

    findings: Sequence[RunFindings]
    samples_around_each: int

    @property
    def evaluations(self) -> int:
        """Energy-and-force evaluations of all runs."""
        return sum(tier.evaluations for run in self.findings for tier in run.tiers.values())

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return {
            "matchers": {
                name: dict(zip(("ltol", "stol", "angle_tol"), value, strict=True)) for name, value in MATCHERS.items()
            },
            "samples_around_each": self.samples_around_each,
            "runs": [{"run": run.run, "seed": run.seed, "held_out": run.held_out} for run in self.findings],
            "summary": summarise(self.findings),
            "known": known_rows(self.findings),
            "evaluations_total": self.evaluations,
        }


def prototype_clusters(knowns: Sequence[KnownPhase]) -> dict[str, int]:
    """Number the prototypes of known phases: those that are equal at the loose tolerances are one. By id."""
    first_of = group_duplicates([known.structure for known in knowns], *LOOSE)
    numbers = {first: number for number, first in enumerate(dict.fromkeys(first_of))}
    return {known.id: numbers[first] for known, first in zip(knowns, first_of, strict=True)}


def summarise(runs: Sequence[RunFindings]) -> dict[str, HeldOutSummary]:
    """Count the phases that were found, over runs that held out the same known phases; by kind of held-out set."""
    summary: dict[str, HeldOutSummary] = {}
    for held_out in dict.fromkeys(run.held_out for run in runs):
        group = [run for run in runs if run.held_out == held_out]
        cluster_of = prototype_clusters(group[0].knowns)
        summary[held_out] = {
            "runs": len(group),
            "known": len(cluster_of),
            "clusters": len(set(cluster_of.values())),
            "tiers": {
                name: {
                    "samples": [run.tiers[name].samples for run in group],
                    "relaxed": [run.tiers[name].relaxed for run in group],
                    "evaluations": [run.tiers[name].evaluations for run in group],
                    **_by_matcher([run.tiers[name] for run in group], cluster_of),
                }
                for name in group[0].tiers
            },
            "substitution": {
                name: {"structures": [run.substitution[name].structures for run in group]}
                | {
                    matcher: tally([run.substitution[name].found[matcher] for run in group], cluster_of)
                    for matcher in MATCHERS
                }
                for name in group[0].substitution
            },
        }
    return summary


def tally(found: Sequence[set[str]], cluster_of: Mapping[str, int]) -> Tally:
    """Count known phases, and their prototypes, that runs found.

    Parameters
    ----------
    found : ids, for each run
    cluster_of : `prototype_clusters`
    """
    numbers = [{cluster_of[name] for name in names} for names in found]
    return Tally(
        **_rates(found, len(cluster_of)),
        clusters=_rates(numbers, len(set(cluster_of.values()))),
    )


def known_rows(runs: Sequence[RunFindings]) -> list[dict[str, Any]]:
    """Write one row for each known phase: by held-out set and tier, the sample that matches it or why there is none."""
    cluster_of = prototype_clusters(runs[0].knowns)
    rows = []
    for known in runs[0].knowns:
        symbol, number = _space_group(known.structure)
        row: dict[str, Any] = {
            "id": known.id,
            "formula": known.formula,
            "nsites": len(known.structure),
            "spacegroup": symbol,
            "spacegroup_number": number,
            "cluster": cluster_of[known.id],
        }
        for held_out in dict.fromkeys(run.held_out for run in runs):
            group = [run for run in runs if run.held_out == held_out]
            row[held_out] = {name: _over_runs(known.id, name, group) for name in group[0].tiers}
            row[held_out]["substitution"] = {
                name: {matcher: known.id in group[0].substitution[name].found[matcher] for matcher in MATCHERS}
                for name in group[0].substitution
            }
        rows.append(row)
    return rows


def _by_matcher(tiers: Sequence[Tier], cluster_of: Mapping[str, int]) -> dict[str, Any]:
    relaxed = any(tier.relaxed for tier in tiers)
    return {
        matcher: {
            state: tally(
                [{name for name, finding in tier.findings.items() if finding.found(matcher, state)} for tier in tiers],
                cluster_of,
            )
            if relaxed or state != "after"
            else None
            for state in (*STATES, "either")
        }
        for matcher in MATCHERS
    }


def _rates(found: Sequence[set[Any]], total: int) -> Rates:
    counts = [len(names) for names in found]
    rates = [count / total for count in counts]
    low, high = rate_interval(counts[0], total) if len(counts) == 1 else mean_interval(rates)
    return Rates(
        found=counts,
        rate=fmean(rates),
        interval=[max(0.0, low), min(1.0, high)],
        union=len(set().union(*found)),
    )


def _over_runs(known: str, tier: str, runs: Sequence[RunFindings]) -> dict[str, Any]:
    """Give the closest hit over runs, and the number of runs with one; or why there is none."""
    findings = {run.run: run.tiers[tier].findings[known] for run in runs}
    sampled = sum(finding.sampled for finding in findings.values())
    at_size = sum(finding.at_size for finding in findings.values())
    result: dict[str, Any] = {"sampled": sampled, "sampled_at_size": at_size}
    for matcher in MATCHERS:
        entry: dict[str, Any] = {}
        for state in STATES:
            hits = [
                {"run": run} | asdict(hit)
                for run, finding in findings.items()
                if (hit := finding.hits[matcher][state]) is not None
            ]
            best = min(hits, key=lambda hit: (not hit["valid"], hit["rms"]), default={})
            entry[state] = {"found": bool(hits), "runs": len(hits), **best}
        if not any(entry[state]["found"] for state in STATES):
            entry["reason"] = _reason(sampled, at_size)
        result[matcher] = entry
    return result


def _reason(sampled: int, at_size: int) -> str:
    if not sampled:
        return "composition_never_sampled"
    if not at_size:
        return "size_never_sampled"
    return "few_samples" if at_size < FEW else "no_match"


def _space_group(structure: Structure) -> tuple[str, int]:
    symbol, number = structure.get_space_group_info(symprec=0.1)
    return symbol, number
