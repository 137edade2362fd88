"""Distances between atoms in a crystal, all periodic images included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Lattice, Structure

MAX_REACH = 6  # images searched for close contacts, along an axis: enough for any cell that is not absurdly flat


def periodic_distances(lattice: Lattice, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the distance between each two atoms, to the nearest periodic image.

    The search covers the neighbouring cells of the LLL-reduced lattice.

    Parameters
    ----------
    lattice : of the crystal, in any setting
    positions : (n, 3), Cartesian, A

    Returns
    -------
    (n, n) distances in A; on the diagonal the distance to the atom's own nearest image
    """
    lattice = lattice.get_lll_reduced_lattice()
    frac = lattice.get_fractional_coords(positions)
    separations = frac[:, None] - frac[None]
    return _nearest_image(separations, lattice.matrix, np.eye(len(frac), dtype=bool), (1, 1, 1))


def shortest_distance(structure: Structure) -> float:
    """Compute the shortest distance in A between two atoms, or between an atom and its own image."""
    return float(periodic_distances(structure.lattice, structure.cart_coords).min())


def closest_approach(lattice: NDArray[np.float64], positions: NDArray[np.float64]) -> float:
    """Compute the shortest distance in a cell that need not be reduced, without pymatgen.

    Parameters
    ----------
    lattice : (3, 3), A, rows are the cell vectors
    positions : (n, 3), Cartesian, A

    Returns
    -------
    the distance in A, an atom's own images included; NaN without a finite lattice or without atoms
    """
    if not len(positions) or not np.isfinite(lattice).all():
        return float("nan")
    inverse = np.linalg.inv(lattice)
    first, second = np.triu_indices(len(positions))  # a pair once, and each atom with itself
    separations = (positions[first] - positions[second]) @ inverse
    reach = np.ones(3, dtype=int)
    while True:
        shortest = float(_nearest_image(separations, lattice, first == second, reach).min())
        # an image more cells away than this is further than what was found
        needed = np.minimum(np.floor(shortest * np.linalg.norm(inverse, axis=0) + 0.5), MAX_REACH).astype(int)
        if (needed <= reach).all():
            return shortest
        reach = np.maximum(needed, reach)


def _nearest_image(
    separations: NDArray[np.float64],
    lattice: NDArray[np.float64],
    same_atom: NDArray[np.bool_],
    reach: Sequence[int] | NDArray[np.int_],
) -> NDArray[np.float64]:
    """Compute the length of each separation to the nearest image within a number of cells along each axis.

    Parameters
    ----------
    separations : (..., 3), fractional
    lattice : (3, 3), A, rows are the cell vectors
    same_atom : (...), where both ends are one atom, whose distance to itself in its own cell does not count
    reach : (3,), cells searched in both directions of each axis

    Returns
    -------
    (...), A
    """
    wrapped = separations - np.rint(separations)
    steps = [np.arange(-n, n + 1) for n in reach]
    cells = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm((wrapped[..., None, :] + cells) @ lattice, axis=-1)
    lengths[same_atom, len(cells) // 2] = np.inf
    return np.asarray(lengths.min(axis=-1))
