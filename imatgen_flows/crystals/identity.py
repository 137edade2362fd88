"""The name that a crystal's content gives it."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from imatgen_flows.crystals.standard import niggli_axes

# Neighbours of each atom, at least: those within some 11 A, which tells stackings of six layers (15 A) apart
NEIGHBOURS = 512
# Numbers that are hashed, and the step in A to which they are rounded. Noise moves a number across a step, and so changes
# the name, in proportion to the first over the second; more numbers and a smaller step tell more crystals apart.
# `benchmarks/structure_id.py` measures both.
INVARIANTS = 16
STEP = 0.05


def structure_id(structure: Structure) -> str:
    """Name a crystal by its content: 12 hexadecimal digits.

    Hashed are the number of atoms of each element, and 16 invariants of the crystal, rounded to 0.05 A. An invariant
    weights the sorted distances from an atom to its neighbours of each element with fixed random numbers, and takes the
    root mean square over the atoms. Distances need neither axes nor origin, and their sorted values change continuously
    with the crystal, so that the name is the same in every setting; mirror images share it, and a supercell, which has
    more atoms, has its own.

    Rounding has edges: noise of 1e-6 in the fractional coordinates changes one name of 2,000, noise of 1e-5 one of 200.
    Crystals whose distances differ by 0.02 A in the root mean square share a name in 0.2 % of cases, by 0.005 A in a
    quarter. A structure matcher, and not the name, decides whether two similar crystals are the same.

    Raises
    ------
    ValueError
        Where the lattice cannot be reduced because its vectors are not finite or nearly coplanar.

    References
    ----------
    Widdowson and Kurlin, Adv. Neural Inf. Process. Syst. 35, 24625 (2022): the sorted distances, which tell all generic
    crystals apart. Datar et al., Proc. 20th Symp. Comput. Geom., 253 (2004): random projections, rounded and hashed.

    Examples
    --------
    >>> rutile = Structure.from_spacegroup(
    ...     "P4_2/mnm", [[4.55, 0, 0], [0, 4.55, 0], [0, 0, 2.85]], ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]]
    ... )
    >>> shifted = rutile.copy().translate_sites(range(6), [0.1, 0.2, 0.3])
    >>> structure_id(shifted) == structure_id(rutile)
    True
    """
    axes = niggli_axes(structure)
    lattice = axes @ structure.lattice.matrix
    elements, kinds = np.unique([site.specie.symbol for site in structure], return_inverse=True)
    order = np.argsort(kinds, kind="stable")
    kinds, frac = kinds[order], (structure.frac_coords @ np.linalg.inv(axes))[order]
    distances = _neighbour_distances(lattice, frac, kinds)
    weights = _weights(len(elements), distances.shape[1])
    projected = np.einsum("ak,akj->aj", distances, weights[kinds])
    rounded = np.rint(np.sqrt((projected**2).mean(axis=0)) / STEP).astype(np.int64)
    formula = list(zip(elements.tolist(), np.bincount(kinds).tolist(), strict=True))
    return hashlib.sha256(repr((formula, rounded.tolist())).encode()).hexdigest()[:12]


def _neighbour_distances(
    lattice: NDArray[np.float64], frac: NDArray[np.float64], kinds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sort the distances in A from each atom to its neighbours of each element; (atoms, neighbours).

    Of each element there are as many neighbours as a fixed number of cells holds. The columns of one element follow those
    of another, in the order of `kinds`, which is sorted.
    """
    counts = np.bincount(kinds)
    cells = 1 + NEIGHBOURS // len(kinds)
    volume, heights = abs(np.linalg.det(lattice)), 1 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    offsets = frac[None] - frac[:, None]
    offsets = ((offsets - np.rint(offsets)) @ lattice).reshape(-1, 3)
    radius = 1.2 * np.cbrt(3 * volume * cells / (4 * np.pi))
    while True:
        ranges = [np.arange(-number, number + 1) for number in np.ceil(radius / heights + 0.5)]
        images = np.stack(np.meshgrid(*ranges), axis=-1).reshape(-1, 3) @ lattice
        squared = (offsets**2).sum(axis=1)[:, None] + (images**2).sum(axis=1) + 2 * offsets @ images.T
        squared = squared.reshape(len(kinds), len(kinds), -1)
        blocks = np.split(squared, np.cumsum(counts)[:-1], axis=1)
        nearest = [
            np.sort(np.partition(block.reshape(len(kinds), -1), cells * count - 1)[:, : cells * count])
            for block, count in zip(blocks, counts, strict=True)
        ]
        # the images hold all atoms within the radius
        if max(block.max() for block in nearest) <= radius**2:
            return np.sqrt(np.maximum(np.concatenate(nearest, axis=1), 0))
        radius *= 1.3


@cache
def _weights(elements: int, neighbours: int) -> NDArray[np.float64]:
    """Draw the weights of the neighbours of an atom of each element; (elements, neighbours, invariants)."""
    # numpy promises the numbers of RandomState for all its versions, and those of its newer generators for none
    random = np.random.RandomState(0)
    return random.standard_normal((elements, neighbours, INVARIANTS)) / np.sqrt(neighbours)
