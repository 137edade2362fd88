"""Overlapping atoms: find them, and drop the fewest that a fixed rule allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice, Structure

from imatgen_flows.crystals.chemistry import minimum_distance


@dataclass(frozen=True)
class Repaired:
    """A crystal without overlapping atoms, and what had to go: one `O7 (0.31 A from V3)` a dropped atom."""

    structure: Structure
    dropped: list[str] = field(default_factory=list)


def repair(structure: Structure, minimum: Callable[[str, str], float] = minimum_distance) -> Repaired:
    """Drop atoms until no two are closer than their limit, periodic images included.

    First within each element, where the later of two atoms goes; then across elements, where the more electronegative
    one goes, the closest pair first (Noh et al., Matter 1, 1370 (2019), S3.3). An atom that is too close to its own
    image stays: the cell is wrong then, not the atom.

    Parameters
    ----------
    structure : ordered crystal
    minimum : limit in A for two symbols of elements

    Returns
    -------
    The repaired crystal, its sites in the order given (the same object where nothing was dropped), and the dropped
    atoms, numbered by their place in the input
    """
    symbols = [site.specie.symbol for site in structure]
    distances = periodic_distances(structure.lattice, structure.cart_coords)
    np.fill_diagonal(distances, np.inf)
    limits = np.array([[minimum(a, b) for b in symbols] for a in symbols])
    alive = np.ones(len(symbols), dtype=bool)
    dropped = []

    def drop(victim: int, other: int) -> None:
        alive[victim] = False
        name, cause = f"{symbols[victim]}{victim}", f"{symbols[other]}{other}"
        dropped.append(f"{name} ({distances[victim, other]:.2f} A from {cause})")

    for later in range(len(symbols)):
        for earlier in range(later):
            alike = symbols[later] == symbols[earlier] and alive[later] and alive[earlier]
            if alike and distances[later, earlier] < limits[later, earlier]:
                drop(later, earlier)
    pairs = np.argwhere(np.triu(distances < limits, 1))
    for i, j in sorted(pairs, key=lambda pair: distances[pair[0], pair[1]]):
        if alive[i] and alive[j]:
            gives_way = max((i, j), key=lambda k: (Element(symbols[k]).X, k))
            drop(gives_way, i + j - gives_way)
    if not dropped:
        return Repaired(structure)
    return Repaired(Structure.from_sites([site for site, keep in zip(structure, alive, strict=True) if keep]), dropped)


def shortest_distance(structure: Structure) -> float:
    """Shortest distance in A between two atoms, or between an atom and its own image."""
    return float(periodic_distances(structure.lattice, structure.cart_coords).min())


def periodic_distances(lattice: Lattice, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Periodic distances (n, n) between places (n, 3), A; on the diagonal the distance to the atom's own nearest image.

    The neighbouring cells suffice in a Niggli cell, so the atoms are taken there first.
    """
    lattice = lattice.get_lll_reduced_lattice()
    frac = lattice.get_fractional_coords(places)
    delta = frac[:, None] - frac[None]
    delta -= np.rint(delta)
    cells = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm((delta[:, :, None] + cells) @ lattice.matrix, axis=-1)
    atoms = np.arange(len(frac))
    lengths[atoms, atoms, 13] = np.inf  # the atom itself, in its own cell
    return lengths.min(axis=-1)
