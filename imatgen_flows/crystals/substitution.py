"""Elemental substitution: every assignment of a system's elements to a template, at a volume that fits them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pymatgen.core import Structure

from imatgen_flows.crystals.box import BOX, MAX_EDGE, MAX_SITES
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.crystals.repair import repair
from imatgen_flows.crystals.standard import extent, standardise
from imatgen_flows.crystals.system import chemical_system
from imatgen_flows.crystals.templates import Template
from imatgen_flows.crystals.volumes import fitting_volume


@dataclass(frozen=True)
class Substituted:
    """A template with other elements, standardised; `id` names the template and the assignment: `mp-1:Mo=V,P=O`."""

    id: str
    structure: Structure
    template_id: str


def substitute(
    templates: Iterable[Template],
    elements: Sequence[str],
    max_sites: int = MAX_SITES,
    max_edge: float = MAX_EDGE,
    box: float = BOX,
) -> tuple[list[Substituted], list[Exclusion]]:
    """Assign the elements of a system to the species of each template, in all orders.

    The volume is that of the composition in other compounds (`expected_volume`), or larger where bonds would be too short
    (`smallest_volume`). Excluded are structures over the limits, those that `repair` would change, and those whose name
    (`structure_id`) was already seen.

    Parameters
    ----------
    templates : each with as many elements as are given
    elements : symbols, all different; their order changes nothing
    max_sites, max_edge : limits on sites and on the longest edge of the Niggli cell in A
    box : edge in A of the cube that the atoms about their centroid must fit into

    Returns
    -------
    structures and exclusions: together n! for a template of n elements, one for a template of another number

    Raises
    ------
    InputError
        Where a symbol is of no element or of an isotope, or is given twice.
    """
    made, exclusions = [], []
    for result in _results(templates, chemical_system(elements), max_sites, max_edge, box):
        if isinstance(result, Substituted):
            made.append(result)
        else:
            exclusions.append(result)
    return made, exclusions


def _results(
    templates: Iterable[Template], elements: Sequence[str], max_sites: int, max_edge: float, box: float
) -> Iterator[Substituted | Exclusion]:
    """Yield one result for each assignment of the elements to each template."""
    seen: dict[str, str] = {}
    for template in templates:
        species = sorted({site.specie.symbol for site in template.structure})
        if len(species) != len(elements):
            detail = f"{len(species)} elements ({', '.join(species)}), not {len(elements)}"
            yield Exclusion(template.id, "wrong_number_of_elements", detail)
            continue
        for assigned in itertools.permutations(elements):
            mapping = dict(zip(species, assigned, strict=True))
            name = f"{template.id}:" + ",".join(f"{old}={new}" for old, new in mapping.items())
            structure = standardise(_at_its_volume(_relabel(template.structure, mapping)))
            if reason := _reason_to_exclude(structure, max_sites, max_edge, box):
                yield Exclusion(name, *reason)
            elif (content := structure_id(structure)) in seen:
                yield Exclusion(name, "duplicate", f"same structure as {seen[content]}")
            else:
                seen[content] = name
                yield Substituted(name, structure, template.id)


def _relabel(structure: Structure, mapping: dict[str, str]) -> Structure:
    return Structure(structure.lattice, [mapping[site.specie.symbol] for site in structure], structure.frac_coords)


def _at_its_volume(structure: Structure) -> Structure:
    """Scale to the volume of the composition, or to that which the bonds need where it is larger."""
    return Structure(structure.lattice.scale(fitting_volume(structure)), structure.species, structure.frac_coords)


def _reason_to_exclude(structure: Structure, max_sites: int, max_edge: float, box: float) -> tuple[str, str] | None:
    if len(structure) > max_sites:
        return "too_many_sites", f"{len(structure)} sites; the limit is {max_sites}"
    if (edge := max(structure.lattice.abc)) > max_edge:
        return "edge_too_long", f"{edge:.2f} A; the limit is {max_edge:g} A"
    if dropped := repair(structure).dropped:
        return "overlap", f"repair would drop {len(dropped)} of {len(structure)} atoms, first {dropped[0]}"
    if (size := extent(structure)) > box:
        return "does_not_fit_box", f"the atoms span {size:.2f} A about their centroid; the box has {box:g} A"
    return None
