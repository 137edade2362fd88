"""Comparison of two runs: their settings, what they found, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imatgen_flows.matching.grouping import StructureIndex
from imatgen_flows.metrics.run_differences import Find, Pair, RunDifferences, RunFacts

WITHIN = (0.05, 0.1)  # eV/atom, up to which new structures are counted


def compare_facts(one: RunFacts, other: RunFacts) -> RunDifferences:
    """Put two runs beside each other.

    New structures are compared by the matcher of novelty, pymatgen's StructureMatcher at its defaults: each of the first
    run, lowest E_hull first, with those of the other that no earlier one has taken.
    """
    index = StructureIndex[str]((find.sample, other.structures[find.sample]) for find in other.finds)
    theirs = {find.sample: find for find in other.finds}
    common: list[tuple[Find, Find]] = []
    for find in one.finds:
        match = index.find(one.structures[find.sample])
        if match is not None and match in theirs:
            common.append((find, theirs.pop(match)))
    taken = {find.sample for find, _ in common}
    return RunDifferences(
        names=(one.name, other.name),
        settings=_differing(one.settings, other.settings),
        versions=_differing(one.versions, other.versions),
        found=_pairs(_found(one), _found(other)),
        evaluations=_pairs(*(_with_sum(facts.evaluations) for facts in (one, other))),
        seconds=_pairs(*(_with_sum(facts.seconds) for facts in (one, other))),
        common=tuple(common),
        alone=(tuple(find for find in one.finds if find.sample not in taken), tuple(theirs.values())),
        notes=tuple(_notes(one, other)),
    )


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the settings of a campaign by key.

    Examples
    --------
    >>> flat_settings({"name": "V-O", "screen": {"fmax": 0.05}})
    {'name': 'V-O', 'screen.fmax': 0.05}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flat_settings(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _found(facts: RunFacts) -> dict[str, Any]:
    energies = [find.e_above_hull for find in facts.finds]
    near = {f"new within {limit:g} eV/atom": sum(energy <= limit for energy in energies) for limit in WITHIN}
    return {**facts.counts, "new": len(energies), **near, "lowest E_hull, eV/atom": min(energies, default=None)}


def _with_sum(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {**numbers, "in all": sum(numbers.values())}


def _pairs(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Pair]:
    """Put values beside each other, those of the first in its order; the sum stays last."""
    keys = sorted({**one, **other}, key=lambda key: key == "in all")
    return {key: (one.get(key), other.get(key)) for key in keys}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Pair]:
    return {key: (one.get(key), other.get(key)) for key in {**one, **other} if one.get(key) != other.get(key)}


def _notes(one: RunFacts, other: RunFacts) -> list[str]:
    if one.scale != other.scale:
        return [f"Energies are of two scales, {one.scale} and {other.scale}: E_hull does not compare."]
    if only := one.phases ^ other.phases:
        shown = ", ".join(sorted(only)[:5]) + (", ..." if len(only) > 5 else "")
        return [f"The hulls differ in {shown}: E_hull of one composition may differ by them."]
    return []
