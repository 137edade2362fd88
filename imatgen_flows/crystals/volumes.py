"""First volumes: what a composition takes in other compounds, and what the bonds of a crystal need.

They rest on a table of the elements, `data/volumes.json`, which `benchmarks/volumes.py` fits to the Materials Project.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import numpy as np
from pymatgen.core import Composition, Structure

from imatgen_flows.crystals.distances import periodic_distances
from imatgen_flows.crystals.shortest_distances import shortest_distances
from imatgen_flows.errors import InputError

# Nearest distance of an atom over the shortest known of the two elements, geometric mean over the atoms of a crystal: at
# the volume of their composition, crystals of the Materials Project are too dense where it is less (benchmarks/volumes.py)
TIGHTEST = 1.03


def expected_volume(composition: Composition) -> float:
    """Estimate the volume in A^3 of the atoms of a composition.

    The sum over the atoms of v + w (X_mean - X): v is the volume of an atom among others of its own electronegativity, w
    how it changes with the difference, for X_mean is the mean over the composition. Both were fitted to the Materials
    Project; of binaries and ternaries of other chemical systems, 93 % come back within 20 %.

    Raises
    ------
    InputError
        Where an element is beyond Cm.

    Examples
    --------
    >>> round(expected_volume(Composition("NaCl")), 1)  # A^3; 44.8 in halite
    51.5
    """
    amounts = composition.get_el_amt_dict()
    volumes, slopes, negativities = np.array([_element(symbol) for symbol in amounts]).T
    counts = np.array(list(amounts.values()))
    mean = counts @ negativities / counts.sum()
    return float(counts @ (volumes + slopes * (mean - negativities)))


def relative_volume(structure: Structure) -> float:
    """Return the volume of a crystal over that expected of its composition."""
    return float(structure.volume) / expected_volume(structure.composition)


def smallest_volume(structure: Structure) -> float:
    """Estimate the volume in A^3 to which a crystal can be compressed before its bonds are too short.

    There the atoms are 1.03 times as far from their nearest neighbours as the two elements come in any crystal, in the
    geometric mean over the atoms.
    """
    shortest = shortest_distances([site.specie.symbol for site in structure])
    nearest = (periodic_distances(structure.lattice, structure.cart_coords) / shortest).min(axis=1)
    return float(structure.volume * (TIGHTEST / np.exp(np.log(nearest).mean())) ** 3)


def fitting_volume(structure: Structure) -> float:
    """Estimate the volume in A^3 of a crystal that is not relaxed: that of its composition, or what its bonds need if more.

    Raises
    ------
    InputError
        As `expected_volume`.
    """
    return max(expected_volume(structure.composition), smallest_volume(structure))


def _element(symbol: str) -> list[float]:
    """Look up v (A^3), w (A^3) and the electronegativity (Pauling) of an element."""
    if symbol not in _table():
        raise InputError(f"{symbol} has no known volume (volumes are known up to Cm): choose another element.")
    return _table()[symbol]


@cache
def _table() -> dict[str, list[float]]:
    text = files("imatgen_flows.crystals").joinpath("data/volumes.json").read_text()
    return dict(json.loads(text)["elements"])
