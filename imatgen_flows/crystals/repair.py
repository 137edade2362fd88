"""Repair of crystals with overlapping atoms: the atoms that a fixed rule names are removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from imatgen_flows.crystals.distances import periodic_distances
from imatgen_flows.crystals.elements import electronegativity
from imatgen_flows.crystals.shortest_distances import minimum_distances


@dataclass(frozen=True)
class Repaired:
    """A crystal without overlapping atoms, and the atoms that were removed, each as `O7 (0.31 A from V3)`."""

    structure: Structure
    dropped: list[str] = field(default_factory=list)


def repair(
    structure: Structure, minimum: Callable[[Sequence[str]], NDArray[np.float64]] = minimum_distances
) -> Repaired:
    """Remove atoms until no two are closer than the limit of their elements, periodic images included.

    First within each element, where the later of two atoms goes; then across elements, where the more electronegative
    one goes, the closest pair first (Noh et al., Matter 1, 1370 (2019), S3.3). An atom that is too close to its own
    image stays, because the cell is wrong then, not the atom.

    Parameters
    ----------
    structure : ordered crystal
    minimum : limits in A, (n, n), between the atoms of n symbols of elements

    Returns
    -------
    The repaired crystal, its sites in the order given (the same object where nothing was dropped), and the dropped
    atoms, numbered by their place in the input
    """
    symbols = [site.specie.symbol for site in structure]
    distances = periodic_distances(structure.lattice, structure.cart_coords)
    np.fill_diagonal(distances, np.inf)
    limits = minimum(symbols)
    alive = np.ones(len(symbols), dtype=bool)
    dropped = []

    def drop(atom: int, other: int) -> None:
        alive[atom] = False
        name, cause = f"{symbols[atom]}{atom}", f"{symbols[other]}{other}"
        dropped.append(f"{name} ({distances[atom, other]:.2f} A from {cause})")

    for later in range(len(symbols)):
        for earlier in range(later):
            alike = symbols[later] == symbols[earlier] and alive[later] and alive[earlier]
            if alike and distances[later, earlier] < limits[later, earlier]:
                drop(later, earlier)
    pairs = np.argwhere(np.triu(distances < limits, 1))
    for i, j in sorted(pairs, key=lambda pair: distances[pair[0], pair[1]]):
        if alive[i] and alive[j]:
            removed = max((i, j), key=lambda k: (electronegativity(symbols[k]), k))
            drop(removed, i + j - removed)
    if not dropped:
        return Repaired(structure)
    return Repaired(Structure.from_sites([site for site, keep in zip(structure, alive, strict=True) if keep]), dropped)
