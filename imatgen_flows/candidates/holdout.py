"""What is kept from the networks, so that finding it again means something."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pymatgen.core import Structure

from imatgen_flows.crystals.substitution import Substituted
from imatgen_flows.crystals.templates import Exclusion, Template
from imatgen_flows.matching.grouping import StructureIndex

LOOSE = (0.3, 0.5, 10.0)  # tolerances of the matcher: what is held out must not come in by a small distortion


def hold_out_compounds(
    templates: Iterable[Template], elements: Iterable[str]
) -> tuple[list[Template], list[Exclusion]]:
    """Take away the templates that are compounds of the system itself: they are what is to be found."""
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
    """Take away every template that has become a known phase under any assignment, with all that was made of it.

    Equal is what pymatgen's StructureMatcher calls so at its loose tolerances (0.3, 0.5, 10 degrees).
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
