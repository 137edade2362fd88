"""Template structures: known crystals, in the standard frame, whose elements are substituted."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

import numpy as np
from pymatgen.core import Element, Structure

from imatgen_flows.crystals.batches import map_items
from imatgen_flows.crystals.box import MAX_EDGE, MAX_SITES
from imatgen_flows.crystals.distances import shortest_distance
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.isotopes import read_isotopes_as_elements
from imatgen_flows.crystals.query import TemplateQuery
from imatgen_flows.crystals.raw_crystal import RawCrystal
from imatgen_flows.crystals.registry import TEMPLATE_SOURCES, SourceOptions
from imatgen_flows.crystals.standard import primitive_cell, standardise

MIN_VOLUME = 0.1  # A^3; under it a cell is flat
MIN_DISTANCE = 0.5  # A; under it two sites are one atom written twice
# Sites of a cell as it is given, before its symmetry is searched, which takes 0.2 s for 200 random sites and 4 s for 1,000.
# A choice: the conventional cells of the large phases of elements fit (S alpha has 128 sites, Mn alpha 58), a supercell of
# a simulation does not.
MAX_GIVEN_SITES = 200

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Template:
    """A known crystal: ordered, without oxidation states, in the standard setting of its primitive cell."""

    id: str
    structure: Structure
    source: str


def load_templates(
    source: str = "prototypes",
    options: SourceOptions | None = None,
    *,
    n_elements: int = 2,
    max_sites: int = MAX_SITES,
    max_edge: float = MAX_EDGE,
) -> tuple[list[Template], list[Exclusion]]:
    """Read the templates of a source, and record why each other crystal of it was excluded.

    The limits hold for the primitive cell in its Niggli setting, which is what substitution uses and images show.
    Deuterium and tritium are read as hydrogen.

    Parameters
    ----------
    source : name of one of `TEMPLATE_SOURCES`
    options : of the source
    n_elements : how many elements a template has
    max_sites : sites in the primitive cell
    max_edge : longest edge in A

    Returns
    -------
    templates and exclusions: together one for each crystal that the source holds

    Raises
    ------
    InputError
        Where a source cannot be read at all: a file that is missing, empty, truncated or not gzip; a download without
        key, network or package. Where `options.where` chooses no row.
    """
    options = options or SourceOptions()
    crystals = TEMPLATE_SOURCES[source].read(options, TemplateQuery(n_elements, max_sites))
    checked = (check_crystal(raw, n_elements, max_sites) for raw in read_isotopes_as_elements(crystals))
    templates, exclusions = [], []
    for template in reduce_crystals(checked, max_sites, max_edge, options.workers):
        if isinstance(template, Template):
            templates.append(template)
        else:
            logger.debug("template %s excluded (%s): %s", template.id, template.reason, template.detail)
            exclusions.append(template)
    return templates, exclusions


def check_crystal(raw: RawCrystal, n_elements: int | None = None, max_sites: float = inf) -> RawCrystal | Exclusion:
    """Check what can be seen before the symmetry of a crystal is searched.

    Parameters
    ----------
    raw : crystal as it was read
    n_elements : how many elements it must have; any number if None
    max_sites : sites in the primitive cell, by default any number

    Returns
    -------
    the crystal as it was given, or the first reason why it is left out
    """
    crystal = raw.crystal
    if isinstance(crystal, Exclusion):
        return crystal

    def exclude(reason: str, detail: str) -> Exclusion:
        return Exclusion(raw.id, reason, detail)

    if not len(crystal):
        return exclude("unreadable", "it has no sites")
    if not (np.isfinite(crystal.lattice.matrix).all() and np.isfinite(crystal.frac_coords).all()):
        return exclude("nan_coordinates", "the lattice or a coordinate is not a number")
    if not crystal.is_ordered:
        mixed = next(site for site in crystal if not site.is_ordered)
        return exclude("disordered", f"a site holds {mixed.species_string}; give an ordered cell")
    elements = sorted({site.specie.symbol for site in crystal})
    if unknown := [symbol for symbol in elements if not Element.is_valid_symbol(symbol)]:
        return exclude("unreadable", f"{unknown[0]} is not an element")
    if n_elements is not None and len(elements) != n_elements:
        return exclude(
            "wrong_number_of_elements", f"{len(elements)} elements ({', '.join(elements)}), not {n_elements}"
        )
    # a conventional cell has up to four times the sites of its primitive cell
    largest = MAX_GIVEN_SITES if max_sites == inf else max(MAX_GIVEN_SITES, 4 * max_sites)
    if len(crystal) > largest:
        return exclude("too_large", f"{len(crystal)} sites as given; at most {largest:g} are taken")
    if crystal.volume < MIN_VOLUME:
        return exclude("zero_volume", f"{crystal.volume:.3g} A^3")
    return raw


def reduce_crystals(
    checked: Iterable[RawCrystal | Exclusion], max_sites: float = inf, max_edge: float = inf, workers: int = 1
) -> list[Template | Exclusion]:
    """Reduce crystals to their standard primitive cells, and check these against the limits.

    Parameters
    ----------
    checked : crystals that `check_crystal` let through, and exclusions, which stay what they are
    max_sites : sites in the primitive cell, by default any number
    max_edge : longest edge in A, by default any
    workers : number of processes for many crystals

    Returns
    -------
    of each crystal, in their order, the template, or the first reason why it is none
    """
    everything = list(checked)
    due = [item for item in everything if isinstance(item, RawCrystal)]
    reduced = iter(map_items(_reduce, due, workers, "reducing crystals to primitive cells", (max_sites, max_edge)))
    return [next(reduced) if isinstance(item, RawCrystal) else item for item in everything]


def _reduce(max_sites: float, max_edge: float, raw: RawCrystal) -> Template | Exclusion:
    def exclude(reason: str, detail: str) -> Exclusion:
        return Exclusion(raw.id, reason, detail)

    assert isinstance(raw.crystal, Structure)
    try:
        crystal = standardise(primitive_cell(raw.crystal))
        distance = shortest_distance(crystal)
    except Exception as error:  # of spglib, pymatgen or numpy, for an absurd cell: it costs one crystal
        return exclude("unreadable", str(error) or type(error).__name__)
    if len(crystal) > max_sites:
        return exclude("too_many_sites", f"{len(crystal)} sites in the primitive cell; the limit is {max_sites}")
    if distance < MIN_DISTANCE:
        return exclude("overlap", f"two sites {distance:.2f} A apart; the limit is {MIN_DISTANCE} A")
    if (edge := max(crystal.lattice.abc)) > max_edge:
        return exclude("edge_too_long", f"{edge:.2f} A after Niggli reduction; the limit is {max_edge:g} A")
    return Template(raw.id, crystal, raw.source)
