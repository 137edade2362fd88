"""The held-out set: templates that are kept from the training, so that finding their crystals again is a result."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.substitution import Substituted
from imatgen_flows.crystals.templates import Template
from imatgen_flows.matching.grouping import StructureIndex

if TYPE_CHECKING:
    from torch import Tensor

    from imatgen_flows.representation import PackedCrystals

# ltol, stol, angle_tol (degrees) of the StructureMatcher, looser than its defaults (0.2, 0.3, 5): a slightly distorted copy
# of a held-out crystal must not stay in the training set
LOOSE = (0.3, 0.5, 10.0)


def hold_out_compounds(
    templates: Iterable[Template], elements: Iterable[str]
) -> tuple[list[Template], list[Exclusion]]:
    """Exclude the templates that are compounds of the system itself, which are to be found.

    Returns
    -------
    the other templates, and one exclusion for each that is held out
    """
    wanted, kept, exclusions = set(elements), [], []
    for template in templates:
        if set(template.structure.symbol_set) == wanted:
            exclusions.append(Exclusion(template.id, "held_out", "a published compound of the system"))
        else:
            kept.append(template)
    return kept, exclusions


def hold_out_prototypes(
    substituted: Sequence[Substituted], known: Iterable[tuple[str, Structure]]
) -> tuple[list[Substituted], list[Exclusion]]:
    """Exclude each template that became a known phase under any assignment, with all structures that were made of it.

    Two crystals are equal where pymatgen's StructureMatcher says so at loose tolerances (0.3, 0.5, 10 degrees).

    Parameters
    ----------
    substituted : substituted structures of all templates
    known : known phases with their names

    Returns
    -------
    the other substituted structures, and one exclusion for each that is held out
    """
    index = StructureIndex[str](known, *LOOSE)
    found: dict[str, str] = {}
    for item in substituted:
        if item.template_id not in found and (name := index.find(item.structure)) is not None:
            found[item.template_id] = f"{item.id} equals {name}"
    kept = [item for item in substituted if item.template_id not in found]
    exclusions = [
        Exclusion(item.id, "held_out_prototype", found[item.template_id])
        for item in substituted
        if item.template_id in found
    ]
    return kept, exclusions


def mark_prototypes(crystals: PackedCrystals, known: Iterable[Structure], workers: int = 1) -> Tensor:
    """Mark (B,) the crystals that become a known phase under any assignment of its elements to their roles.

    Two crystals are equal at the tolerances of `hold_out_prototypes`, whatever their volumes.

    Parameters
    ----------
    crystals : packed by role
    known : known phases
    workers : processes
    """
    import torch

    number_of_elements = crystals.mask.any(dim=2).sum(dim=1)
    marked = torch.zeros(len(crystals), dtype=torch.bool)
    systems: defaultdict[tuple[str, ...], list[Structure]] = defaultdict(list)
    for phase in known:
        systems[tuple(sorted(phase.symbol_set))].append(phase)
    for system, phases in systems.items():
        index = StructureIndex[int](enumerate(phases), *LOOSE)
        rows = (number_of_elements == len(system)).nonzero()[:, 0]
        few = crystals[rows].first_elements(len(system))
        for elements in itertools.permutations(system):
            named = [structure for structure in replace(few, elements=elements).structures() if structure is not None]
            marked[rows] |= torch.tensor([match is not None for match in index.find_matches(named, workers)])
    return marked
