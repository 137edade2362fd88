"""Room for atoms: where a cell has most of it, and atoms that are too close to each other moved apart."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pymatgen.core import Lattice

CELLS = np.array(list(product((-1, 0, 1), repeat=3)))  # of a reduced lattice, those that a nearest image can be in
STEPS = 30  # at most; most crystals need fewer than ten
LONGEST = 0.3  # A, by which an atom moves along an axis in a step
# the distances aimed at, in units of the shortest: what is separated stays so when it is drawn and read again
MARGIN = 1.03
GRID = 8  # places along each axis that are tried for an atom


def separate(lattice: Lattice, positions: NDArray[np.float64], shortest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move atoms apart until none is closer to another than a shortest distance, periodic images included.

    Each step moves both atoms of a pair by half of what they are too close. Atoms without a pair that is too close stay
    where they are. An atom's distance to its own images is one of the lattice, and is left alone, as are two atoms in the
    very same place, which have no direction to move in.

    Parameters
    ----------
    lattice : of the crystal, in any setting
    positions : (n, 3), Cartesian, A
    shortest : (n, n), A, symmetric

    Returns
    -------
    (n, 3), Cartesian, A. A cell that has no room for its atoms leaves some too close.

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> places = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    >>> separate(Lattice.cubic(8), places, np.full((2, 2), 2.0)).round(2).tolist()
    [[-0.53, 0.0, 0.0], [1.53, 0.0, 0.0]]
    """
    cell = lattice.get_lll_reduced_lattice().matrix
    inverse, images = np.linalg.inv(cell), CELLS @ cell
    first, second = np.triu_indices(len(positions), 1)
    wanted = shortest[first, second][:, None]
    for _ in range(STEPS):
        apart = (positions[first] - positions[second]) @ inverse
        vectors = ((apart - np.rint(apart)) @ cell)[:, None] + images
        lengths = np.linalg.norm(vectors, axis=-1)
        if not (lengths < wanted).any():
            break
        lacking = (MARGIN * wanted - lengths).clip(min=0) / lengths.clip(min=1e-6)
        push = (vectors * lacking[..., None]).sum(axis=1) / 2
        moves = np.zeros_like(positions)
        np.add.at(moves, first, push)
        np.subtract.at(moves, second, push)
        positions = positions + moves.clip(-LONGEST, LONGEST)
    return positions


def roomiest_place(
    lattice: Lattice, positions: NDArray[np.float64], shortest: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Find the place in a cell that is farthest from all atoms, in units of the shortest distance to each.

    Parameters
    ----------
    lattice : of the crystal, in any setting
    positions : (n, 3), Cartesian, A, of at least one atom
    shortest : (n,), A, of an atom in that place to each

    Returns
    -------
    (3,), Cartesian, A, of a grid of eight places along each axis, in the cell around the centroid of the atoms

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> roomiest_place(Lattice.cubic(4), np.zeros((1, 3)), np.ones(1)).tolist()  # the middle of the cell, an image of it
    [-2.0, -2.0, -2.0]
    """
    cell = lattice.get_lll_reduced_lattice().matrix
    steps = np.arange(GRID) / GRID - 0.5
    places = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3) @ cell
    places = places + positions.mean(axis=0)
    apart = (places[:, None] - positions) @ np.linalg.inv(cell)
    vectors = ((apart - np.rint(apart)) @ cell)[:, :, None] + CELLS @ cell
    room = (np.linalg.norm(vectors, axis=-1).min(axis=-1) / shortest).min(axis=1)
    return np.asarray(places[room.argmax()])
