"""Atoms of a decoded crystal that cannot be there: too close to another, or more than were asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from imatgen_flows.representation import PackedCrystals


def mend(crystals: PackedCrystals, heights: Tensor, contents: Tensor) -> PackedCrystals:
    """Take out atoms until none overlap, and of no element there are more than were asked for.

    Of two atoms that overlap, periodic images included, the one goes whose element has too many; where neither or both
    have, the fainter. Then the faintest of each element go. Nothing is added: a missing atom stays missing.

    Parameters
    ----------
    crystals : as read from images
    heights : (B, E, A), of the atoms' peaks
    contents : (B, E), atoms of each element that were asked for

    Returns
    -------
    the crystals with fewer atoms; those without a cell or atoms as they are
    """
    from pymatgen.core import Lattice

    from imatgen_flows.crystals.chemistry import minimum_distance
    from imatgen_flows.crystals.repair import periodic_distances

    limits = np.array([[minimum_distance(a, b) for b in crystals.elements] for a in crystals.elements])
    mask = crystals.mask.clone()
    for row, lattice in enumerate(crystals.lattices.double().numpy()):
        if not mask[row].any() or not np.isfinite(lattice).all():
            continue
        element, places = mask[row].nonzero()[:, 0].numpy(), crystals.positions[row][mask[row]].double().numpy()
        closeness = periodic_distances(Lattice(lattice), places) / limits[np.ix_(element, element)]
        height = heights[row][crystals.mask[row]].numpy()
        stays = _stays(closeness, element, height, contents[row].numpy())
        mask[row][crystals.mask[row]] = torch.from_numpy(stays)
    return replace(crystals, mask=mask)


def _stays(
    closeness: NDArray[np.float64],
    element: NDArray[np.int64],
    height: NDArray[np.float32],
    wanted: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Say which atoms (n,) stay, by distances (n, n) in units of the shortest that is allowed."""
    stays = np.ones(len(element), dtype=bool)

    def surplus(of: int) -> int:
        return int((stays & (element == of)).sum() - wanted[of])

    pairs = np.argwhere(np.triu(closeness < 1, 1))
    for pair in sorted(pairs.tolist(), key=lambda pair: closeness[pair[0], pair[1]]):
        if stays[pair].all():
            stays[min(pair, key=lambda atom: (surplus(int(element[atom])) <= 0, height[atom]))] = False
    for of in set(element.tolist()):
        faintest = sorted(np.flatnonzero(stays & (element == of)), key=lambda atom: height[atom])
        stays[faintest[: max(0, surplus(of))]] = False
    return stays
