"""Crystals of given contents, from images that show too many atoms, too few, or some that overlap."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core import Lattice
    from torch import Tensor

    from imatgen_flows.representation import PackedCrystals

# of the shortest distance of two atoms, below which the fainter is taken for a shadow of the other; a choice
SAME = 0.5

Atoms = list[tuple[int, "NDArray[np.float64]"]]  # channel and place of each


def with_contents(
    crystals: PackedCrystals, heights: Tensor, atom_counts: Tensor, shortest: NDArray[np.float64]
) -> PackedCrystals:
    """Give crystals their target numbers of atoms, none of which come too close to another.

    Of each element the atoms of the highest peaks are kept, as many as are asked for; those that are still missing are
    placed where there is most room. Then atoms that are closer than in any compound are moved apart (`separate`).

    Parameters
    ----------
    crystals : as read from images
    heights : (B, E, A), heights of the atoms' peaks in the images
    atom_counts : (B, E), target number of atoms of each element
    shortest : (B, E, E), shortest distances of two atoms, A

    Returns
    -------
    the crystals with their target contents; those without a cell or atoms as they are
    """
    from pymatgen.core import Lattice

    from imatgen_flows.crystals.separation import separate

    most = max(int(atom_counts.max()), crystals.mask.shape[2]) if len(crystals) else 0
    mask = torch.zeros(*crystals.mask.shape[:2], most, dtype=torch.bool)
    positions = torch.zeros(*mask.shape, 3)
    for row, cell in enumerate(crystals.lattices.double().numpy()):
        shown, limits = crystals.mask[row], shortest[row]
        if not shown.any() or not np.isfinite(cell).all():
            mask[row, :, : shown.shape[1]], positions[row, :, : shown.shape[1]] = shown, crystals.positions[row]
            continue
        lattice, channels = Lattice(cell), shown.nonzero()[:, 0].tolist()
        peaks: Atoms = list(zip(channels, crystals.positions[row][shown].double().numpy(), strict=True))
        order = np.argsort(-heights[row][shown].numpy(), kind="stable")
        atoms = _chosen(lattice, [peaks[index] for index in order], atom_counts[row].numpy(), limits)
        elements = np.array([element for element, _ in atoms])
        places = separate(lattice, np.array([place for _, place in atoms]), limits[np.ix_(elements, elements)])
        for element in set(elements.tolist()):
            here = torch.from_numpy(places[elements == element])
            mask[row, element, : len(here)], positions[row, element, : len(here)] = True, here.float()
    return replace(crystals, positions=positions, mask=mask)


def _chosen(lattice: Lattice, peaks: Atoms, targets: NDArray[np.int64], shortest: NDArray[np.float64]) -> Atoms:
    """Choose as many atoms as are asked for, of peaks from the highest down, then where there is most room.

    Where no peak is of an element that is asked for, the first atom takes the place of the highest.
    """
    from imatgen_flows.crystals.distances import periodic_distances
    from imatgen_flows.crystals.separation import roomiest_place

    elements = np.array([element for element, _ in peaks])
    closeness = (
        periodic_distances(lattice, np.array([place for _, place in peaks])) / shortest[np.ix_(elements, elements)]
    )
    missing, kept = targets.copy(), list[int]()
    for index, element in enumerate(elements):
        if missing[element] > 0 and not (closeness[index, kept] < SAME).any():
            kept.append(index)
            missing[element] -= 1
    atoms = [peaks[index] for index in kept]
    for element in np.repeat(np.arange(len(missing)), missing):
        if not atoms:
            atoms.append((int(element), peaks[0][1]))
            continue
        others, places = np.array([other for other, _ in atoms], dtype=int), np.array([place for _, place in atoms])
        atoms.append((int(element), roomiest_place(lattice, places, shortest[element, others])))
    return atoms
