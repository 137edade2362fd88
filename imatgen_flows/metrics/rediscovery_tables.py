"""Rediscovery in numbers: rates over runs with their intervals, and what is known of each phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from pymatgen.core import Structure

from imatgen_flows.candidates.holdout import LOOSE
from imatgen_flows.matching.grouping import group_duplicates
from imatgen_flows.metrics.rediscovery import MATCHERS, STATES, Known, Substitution, Tier
from imatgen_flows.metrics.statistics import mean_interval, rate_interval

FEW = 10  # samples that can be a phase, under which it was hardly looked for


@dataclass(frozen=True)
class RunFindings:
    """What one run found.

    Attributes
    ----------
    run : its name
    seed : of its networks and samples
    held_out : structures or prototypes
    knowns : what was held out
    tiers : by name
    substitution : of the structures that it learnt from ``as made``, and of those on its hull ``relaxed``
    """

    run: str
    seed: int
    held_out: str
    knowns: list[Known]
    tiers: dict[str, Tier]
    substitution: dict[str, Substitution]


def prototype_clusters(knowns: Sequence[Known]) -> dict[str, int]:
    """Number the prototypes of known phases: those that are equal at the loose tolerances are one. By id."""
    first_of = group_duplicates([known.structure for known in knowns], *LOOSE)
    numbers = {first: number for number, first in enumerate(dict.fromkeys(first_of))}
    return {known.id: numbers[first] for known, first in zip(knowns, first_of, strict=True)}


def summarise(runs: Sequence[RunFindings]) -> dict[str, Any]:
    """Count what was found, over runs that held out the same known phases.

    Returns
    -------
    by what was held out: ``runs``, ``known``, ``clusters``, and ``tiers`` and ``substitution``, each by name, matcher and
    state, as `tally` counts; a state that nothing is in is None
    """
    summary: dict[str, Any] = {}
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


def tally(found: Sequence[set[str]], cluster_of: Mapping[str, int]) -> dict[str, Any]:
    """Count known phases, and their prototypes, that runs found.

    Parameters
    ----------
    found : ids, for each run
    cluster_of : `prototype_clusters`

    Returns
    -------
    ``found`` in each run, ``rate`` (their mean share), ``interval`` of the rate (95 %: over runs by Student's t, of a
    single run by Wilson), ``union`` (found in any run), and the same of ``clusters``
    """
    numbers = [{cluster_of[name] for name in names} for names in found]
    return _rates(found, len(cluster_of)) | {"clusters": _rates(numbers, len(set(cluster_of.values())))}


def known_rows(runs: Sequence[RunFindings]) -> list[dict[str, Any]]:
    """Write one row for each known phase: what it is, and by what was held out and tier, who found it or why nobody did."""
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


def _rates(found: Sequence[set], total: int) -> dict[str, Any]:
    counts = [len(names) for names in found]
    rates = [count / total for count in counts]
    low, high = rate_interval(counts[0], total) if len(counts) == 1 else mean_interval(rates)
    return {
        "found": counts,
        "rate": fmean(rates),
        "interval": [max(0.0, low), min(1.0, high)],
        "union": len(set().union(*found)),
    }


def _over_runs(known: str, tier: str, runs: Sequence[RunFindings]) -> dict[str, Any]:
    """Who found a phase, the closest over runs, and in how many; or why none did."""
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
