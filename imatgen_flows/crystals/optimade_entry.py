"""Crystals from entries of OPTIMADE."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymatgen.core import Element, Structure

from imatgen_flows.crystals.exclusion import Exclusion

CONCENTRATION_TOLERANCE = 1e-3  # a sum of shares that misses 1 by less was rounded, as 0.333 + 0.667 may be


def read_entry(name: str, entry: dict[str, Any]) -> Structure | Exclusion:
    """Build the crystal of an entry of type `structures`.

    Sites are found by the names of their species, whatever the order in which these are described. A site that is vacant
    in part has a share below one, one that is wholly vacant is no site.

    Parameters
    ----------
    name : of the crystal
    entry : resource object with `attributes`, as OPTIMADE 1.2 defines them under "Structures Entries"

    Returns
    -------
    the structure, or the reason why there is none: `no_structure` where the provider sent no lattice, species or positions,
    `nan_coordinates` where a number is none, `missing_atoms` where atoms have no position, `disordered` where sites are
    occupied in groups, else `unreadable`
    """
    attributes = entry.get("attributes")
    try:
        if not isinstance(attributes, dict):
            return Exclusion(name, "no_structure", "the provider sent no attributes")
        for key in ("lattice_vectors", "cartesian_site_positions", "species_at_sites"):
            if not attributes.get(key):
                return Exclusion(name, "no_structure", f"the provider sent no {key}")
        features = attributes.get("structure_features") or []
        if "assemblies" in features:
            return Exclusion(name, "disordered", "sites are occupied in groups (assemblies); give an ordered cell")
        compositions = _compositions(attributes, features)
        if "implicit_atoms" in features or "site_attachments" in features:
            return Exclusion(name, "missing_atoms", "some of its atoms have no position")
        if unknown := set(attributes["species_at_sites"]) - set(compositions):
            raise ValueError(f"no species {sorted(unknown)[0]!r} is described")
        sites = [compositions[label] for label in attributes["species_at_sites"]]
        # None becomes nan: a vector that a molecule, a chain or a slab does not have
        lattice = np.array(attributes["lattice_vectors"], dtype=float)
        positions = np.array(attributes["cartesian_site_positions"], dtype=float)
        if not (np.isfinite(lattice).all() and np.isfinite(positions).all()):
            return Exclusion(name, "nan_coordinates", "the lattice or a coordinate is not a number")
        if positions.shape != (len(sites), 3):
            raise ValueError(f"{len(sites)} species at sites and positions of shape {positions.shape}")
        occupied = [number for number, shares in enumerate(sites) if shares]
        if not occupied:
            raise ValueError("all of its sites are vacant")
        return Structure(lattice, [sites[n] for n in occupied], positions[occupied], coords_are_cartesian=True)
    except Exception as error:  # an entry may hold anything, and costs no more than itself
        return Exclusion(name, "unreadable", f"{type(error).__name__}: {error}"[:200])


def count_sites(entry: dict[str, Any]) -> int:
    """Count the sites of an entry that could be read, the wholly vacant ones included, as `nsites` does."""
    return len(entry["attributes"]["cartesian_site_positions"])


def _compositions(attributes: dict[str, Any], features: list[str]) -> dict[str, dict[str, float]]:
    """Shares of the elements on a site, by the name of its species."""
    described = attributes.get("species")
    if described is None and "disorder" not in features:
        # `species` should be given; where it is not, a name that is an element's symbol is all that there is
        return {label: _shares([label], [1.0]) for label in set(attributes["species_at_sites"])}
    return {
        kind["name"]: _shares(kind["chemical_symbols"], kind["concentration"])
        for kind in described or []
        if kind["name"] in attributes["species_at_sites"]
    }


def _shares(symbols: list[str], concentrations: list[float]) -> dict[str, float]:
    """Shares of the elements on a site: below 1 in all where it is vacant in part, none where it is vacant."""
    if len(symbols) != len(concentrations):
        raise ValueError(f"{len(symbols)} chemical symbols and {len(concentrations)} concentrations")
    if unknown := [s for s in symbols if s != "vacancy" and not Element.is_valid_symbol(s)]:
        raise ValueError(f"{unknown[0]} is not an element")
    total = sum(concentrations)
    if not (all(share >= 0 for share in concentrations) and 0 < total <= 1 + CONCENTRATION_TOLERANCE):
        raise ValueError(f"concentrations {concentrations} of {', '.join(symbols)}")
    scale = total if abs(total - 1) <= CONCENTRATION_TOLERANCE else 1.0
    shares: dict[str, float] = {}
    for symbol, share in zip(symbols, concentrations, strict=True):
        if symbol != "vacancy" and share > 0:
            shares[symbol] = shares.get(symbol, 0.0) + share / scale
    return shares
