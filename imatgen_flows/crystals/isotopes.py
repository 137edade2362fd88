"""Deuterium and tritium in files of crystals."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pymatgen.core import DummySpecies, Element, Species, Structure

from imatgen_flows.crystals.raw_crystal import RawCrystal
from imatgen_flows.crystals.system import is_isotope

logger = logging.getLogger(__name__)


def read_isotopes_as_elements(crystals: Iterable[RawCrystal]) -> Iterator[RawCrystal]:
    """Replace deuterium and tritium by hydrogen, whose crystals and energies they share; other crystals pass unchanged.

    The source of a crystal says that it was done, and a line of the log how often. A site that deuterium and hydrogen
    share is one of hydrogen then.
    """
    first, number = "", 0
    for raw in crystals:
        if isinstance(raw.crystal, Structure) and any(map(_holds_isotope, raw.crystal.types_of_species)):
            first, number = first or raw.id, number + 1
            yield replace(raw, source=f"{raw.source}, deuterium as hydrogen", crystal=_replace(raw.crystal))
        else:
            yield raw
    if number:
        logger.info("crystals whose deuterium or tritium was read as hydrogen: %d, the first is %s", number, first)


def _holds_isotope(species: Element | Species | DummySpecies) -> bool:
    if isinstance(species, DummySpecies):
        return False
    return is_isotope(species.element if isinstance(species, Species) else species)


def _replace(crystal: Structure) -> Structure:
    sites = []
    for site in crystal:
        shares: dict[Element | Species | DummySpecies, float] = {}
        for species, share in site.species.items():
            # the symbol of an isotope is that of its element; a charge may keep two species of hydrogen apart
            kind = Element.H if species.symbol == Element.H.symbol else species
            shares[kind] = shares.get(kind, 0.0) + share
        sites.append(shares)
    return Structure(crystal.lattice, sites, crystal.frac_coords)
