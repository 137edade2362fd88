"""Published phases of several sources as one list: each crystal once, each under a name of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.standard import PRIMITIVE_TOLERANCE
from imatgen_flows.energetics.references import ReferencePhase


def merge_phases(phases: Sequence[ReferencePhase]) -> tuple[list[ReferencePhase], list[Exclusion]]:
    """Keep the first of equal phases, and number different phases of one name, as ``VO rocksalt``, ``VO rocksalt-2``.

    Two phases are equal where pymatgen's StructureMatcher says so at its defaults, and their space groups are the same. The
    matcher alone takes a distorted polymorph for its parent, and the hull would lack the lower of both.

    Parameters
    ----------
    phases : those that are to be kept first

    Returns
    -------
    the phases, and an exclusion for each that equals an earlier one
    """
    first_of = _first_of_equals(phases)
    exclusions = [
        Exclusion(phase.name, "duplicate", f"same structure as {phases[first].name} ({phases[first].origin})")
        for place, (phase, first) in enumerate(zip(phases, first_of, strict=True))
        if first != place
    ]
    return number_names(phase for place, phase in enumerate(phases) if first_of[place] == place), exclusions


def number_names(phases: Iterable[ReferencePhase], taken: Collection[str] = ()) -> list[ReferencePhase]:
    """Number phases whose name an earlier one has.

    Parameters
    ----------
    phases : in order; the first of a name keeps it
    taken : names that none of them may have
    """
    names, numbered = set(taken), []
    for phase in phases:
        name, number = phase.name, 1
        while name in names:
            number += 1
            name = f"{phase.name}-{number}"
        names.add(name)
        numbered.append(replace(phase, name=name))
    return numbered


def _first_of_equals(phases: Sequence[ReferencePhase]) -> list[int]:
    """Find, for each phase, the first one that it equals; itself where there is none."""
    from imatgen_flows.matching.grouping import group_duplicates

    by_symmetry: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for place, phase in enumerate(phases):
        by_symmetry[phase.structure.composition.reduced_formula, _space_group(phase)].append(place)
    first_of = list(range(len(phases)))
    for places in (places for places in by_symmetry.values() if len(places) > 1):
        for place, first in zip(places, group_duplicates([phases[i].structure for i in places]), strict=True):
            first_of[place] = places[first]
    return first_of


def _space_group(phase: ReferencePhase) -> int:
    """Number of the space group; 0 where spglib finds none."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    try:
        return int(SpacegroupAnalyzer(phase.structure, PRIMITIVE_TOLERANCE).get_space_group_number())
    except (SymmetryUndeterminedError, ValueError, TypeError):
        return 0
