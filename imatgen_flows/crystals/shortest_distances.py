"""Shortest distances between two elements in crystals, and the limits below which atoms overlap.

The distances are those of the Materials Project, in `data/shortest_distances.json`, which
`benchmarks/make_distance_table.py` makes and `benchmarks/interatomic_distances.py` tests.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from imatgen_flows.crystals.elements import is_metallic
from imatgen_flows.errors import InputError

# Fractions of the shortest known distance at which atoms overlap. A bond between nonmetals has nearly one length in all
# compounds; a contact of a metal or metalloid has not, and what is decoded or substituted is still to be relaxed. With
# these 0.08 % of the structures of the Materials Project lose an atom, held out of the table
# (benchmarks/interatomic_distances.py), and V-V comes out as published: 1.6 A.
BOND, CONTACT = 0.9, 0.7


def shortest_distances(symbols: Sequence[str]) -> NDArray[np.float64]:
    """Look up the shortest distance in A that is known of each two elements, (n, n), in any compound.

    Where the Materials Project has few structures with both elements, or none, the distance is that of radii.

    Raises
    ------
    InputError
        Where an element does not exist, or has no covalent radius (beyond Cm).

    Examples
    --------
    >>> shortest_distances(["C", "O"]).tolist()  # ethynide 1.24, carbon monoxide 1.14, dioxygen 1.23 A
    [[1.24, 1.14], [1.14, 1.23]]
    """
    rows = _rows(symbols)
    return _shortest()[np.ix_(rows, rows)]


def minimum_distances(symbols: Sequence[str]) -> NDArray[np.float64]:
    """Compute the distances in A below which atoms of a compound overlap, (n, n), for the elements of its n atoms.

    Between nonmetals it is 0.9 of the shortest distance known, otherwise 0.7. Limits that have been published for the very
    system of these elements take their place: for V-O those of Noh et al., Matter 1, 1370 (2019), S3.3, whose O-O would
    remove atoms of O2 and superoxides elsewhere.

    Raises
    ------
    InputError
        Where an element does not exist, or has no covalent radius (beyond Cm).

    Examples
    --------
    >>> minimum_distances(["K", "O"]).round(2).tolist()  # KO2 has O-O 1.28 A
    [[2.22, 1.41], [1.41, 1.11]]
    >>> minimum_distances(["V", "O"]).tolist()
    [[1.6, 1.2], [1.2, 1.3]]
    """
    rows = _rows(symbols)
    limits = _published().get(frozenset(symbols), _limits())
    return limits[np.ix_(rows, rows)]


def limits_of(shortest: NDArray[np.float64], elements: Sequence[str]) -> NDArray[np.float64]:
    """Compute the limits in A from the shortest distances between elements in A, both (n, n)."""
    metallic = np.array([is_metallic(symbol) for symbol in elements])
    return np.asarray(shortest * np.where(metallic[:, None] | metallic, CONTACT, BOND))


@cache
def _table() -> dict[str, Any]:
    text = files("imatgen_flows.crystals").joinpath("data/shortest_distances.json").read_text()
    return dict(json.loads(text))


@cache
def _elements() -> dict[str, int]:
    """Return the row of each element in the arrays."""
    return {symbol: row for row, symbol in enumerate(_table()["shortest"])}


def _rows(symbols: Sequence[str]) -> list[int]:
    if unknown := [symbol for symbol in symbols if symbol not in _elements()]:
        if Element.is_valid_symbol(unknown[0]):
            raise InputError(f"{unknown[0]} has no covalent radius (they are known up to Cm): choose another element.")
        raise InputError(f"{unknown[0]!r} is not the symbol of an element.")
    return [_elements()[symbol] for symbol in symbols]


@cache
def _shortest() -> NDArray[np.float64]:
    """Return the table as a symmetric array; its rows end at the diagonal."""
    shortest = np.zeros((len(_elements()), len(_elements())))
    for row, distances in enumerate(_table()["shortest"].values()):
        shortest[row, : row + 1] = shortest[: row + 1, row] = distances
    return shortest


@cache
def _limits() -> NDArray[np.float64]:
    return limits_of(_shortest(), list(_elements()))


@cache
def _published() -> dict[frozenset[str], NDArray[np.float64]]:
    """Return the limits of the systems that have limits of their own, by their elements."""
    systems = {}
    for entry in _table()["published"]:
        limits = _limits().copy()
        for pair, distance in entry["limits"].items():
            a, b = _rows(pair.split("-"))
            limits[a, b] = limits[b, a] = distance
        systems[frozenset(entry["system"].split("-"))] = limits
    return systems
