"""Removal of excess atoms of a decoded crystal: those that overlap another, or exceed the target atom counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from imatgen_flows.representation import PackedCrystals


def remove_excess_atoms(
    crystals: PackedCrystals, heights: Tensor, atom_counts: Tensor, shortest: NDArray[np.float64]
) -> PackedCrystals:
    """Remove atoms until none overlap and no element has more atoms than its target.

    Of two atoms that overlap, periodic images included, the one is removed whose element has more atoms than its target;
    where neither or both have, the one of the lower peak. Then the atoms of the lowest peaks are removed of each element
    that still has too many. A missing atom is not added.

    Parameters
    ----------
    crystals : as read from images
    heights : (B, E, A), heights of the atoms' peaks in the images
    atom_counts : (B, E), target number of atoms of each element
    shortest : (E, E), distances below which two atoms overlap, A

    Returns
    -------
    the crystals with fewer atoms; those without a cell or atoms as they are
    """
    from pymatgen.core import Lattice

    from imatgen_flows.crystals.distances import periodic_distances

    mask = crystals.mask.clone()
    for row, lattice in enumerate(crystals.lattices.double().numpy()):
        if not mask[row].any() or not np.isfinite(lattice).all():
            continue
        element, places = mask[row].nonzero()[:, 0].numpy(), crystals.positions[row][mask[row]].double().numpy()
        closeness = periodic_distances(Lattice(lattice), places) / shortest[np.ix_(element, element)]
        height = heights[row][crystals.mask[row]].numpy()
        kept = _kept_atoms(closeness, element, height, atom_counts[row].numpy())
        mask[row][crystals.mask[row]] = torch.from_numpy(kept)
    return replace(crystals, mask=mask)


def _kept_atoms(
    closeness: NDArray[np.float64],
    element: NDArray[np.int64],
    height: NDArray[np.float32],
    targets: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return which atoms (n,) are kept, by their distances (n, n) in units of the shortest that is allowed."""
    kept = np.ones(len(element), dtype=bool)

    def surplus(of: int) -> int:
        return int((kept & (element == of)).sum() - targets[of])

    pairs = np.argwhere(np.triu(closeness < 1, 1))
    for pair in sorted(pairs.tolist(), key=lambda pair: closeness[pair[0], pair[1]]):
        if kept[pair].all():
            kept[min(pair, key=lambda atom: (surplus(int(element[atom])) <= 0, height[atom]))] = False
    for of in set(element.tolist()):
        faintest = sorted(np.flatnonzero(kept & (element == of)), key=lambda atom: height[atom])
        kept[faintest[: max(0, surplus(of))]] = False
    return kept
