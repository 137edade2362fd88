"""Elemental substitution: every assignment of a system's elements to a template, at a volume that fits them."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.analysis.structure_prediction.volume_predictor import DLSVolumePredictor
from pymatgen.core import Composition, Element, Structure

from imatgen_flows.crystals.box import BOX, MAX_EDGE, MAX_SITES
from imatgen_flows.crystals.chemistry import covalent_radius, is_metallic
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.crystals.repair import repair
from imatgen_flows.crystals.standard import extent, standardise
from imatgen_flows.crystals.system import chemical_system
from imatgen_flows.crystals.templates import Template

# Fraction of a salt's volume that its ions fill; it gives measured volumes to 30 % (tests/crystals/test_substitution.py)
PACKING = 0.58
# Limits on the factor by which bond lengths scale the volume of the composition: they alone give 4 A^3/atom at high O/V
SCALING = (0.9, 1.6)


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

    The volume is the one that follows from pymatgen's data-mined bond lengths, within 0.9 to 1.6 of the
    `expected_volume` of the composition. Excluded are structures over the limits, those that `repair` would change, and
    those whose name (`structure_id`) was already seen.

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


def expected_volume(composition: Composition) -> float:
    """Estimate the volume in A^3 of the atoms of a composition, from element data alone.

    With an anion (the most electronegative element is a nonmetal with a known anionic radius): ions as spheres of their
    mean Shannon radius that fill 0.58 of space. Otherwise the volumes of the elements are added (Zen's law).
    """
    amounts = {Element(symbol): n for symbol, n in composition.get_el_amt_dict().items()}
    anion = max(amounts, key=lambda element: element.X)
    if len(amounts) > 1 and anion.average_anionic_radius and not is_metallic(anion):
        return sum(n * _sphere(_ionic_radius(element)) for element, n in amounts.items()) / PACKING
    return sum(n * _elemental_volume(element) for element, n in amounts.items())


def _ionic_radius(element: Element) -> float:
    radius = element.average_cationic_radius if is_metallic(element) else element.average_anionic_radius
    return float(radius or 0.6 * covalent_radius(element.symbol))


def _elemental_volume(element: Element) -> float:
    if element.molar_volume:
        return float(element.molar_volume) / 0.602214  # cm^3/mol to A^3 an atom
    return _sphere(covalent_radius(element.symbol)) / PACKING


def _sphere(radius: float) -> float:
    return float(4 / 3 * np.pi * radius**3)


def _relabel(structure: Structure, mapping: dict[str, str]) -> Structure:
    return Structure(structure.lattice, [mapping[site.specie.symbol] for site in structure], structure.frac_coords)


def _at_its_volume(structure: Structure) -> Structure:
    """Scale to the volume of the composition, then by the bond lengths where there are bonds."""
    structure = _scaled(structure, expected_volume(structure.composition))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about elements without bond data, for which it uses atomic radii
        try:
            return _scaled(structure, DLSVolumePredictor(2.0, *SCALING).predict(structure))
        except ValueError:  # no two atoms near each other
            return structure


def _scaled(structure: Structure, volume: float) -> Structure:
    return Structure(structure.lattice.scale(volume), structure.species, structure.frac_coords)


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
