"""Projection of latent vectors on those of crystals that the networks reproduce."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from imatgen_flows.models.contents import with_contents
from imatgen_flows.models.crystal_model import BATCH
from imatgen_flows.models.inversion import invert_where_needed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.representation import PackedCrystals


@torch.no_grad()
def project(
    model: CrystalModel, latent: Tensor, atom_counts: Tensor | None = None, shortest: NDArray | None = None
) -> Tensor:
    """Project latent vectors on those of crystals that the networks reproduce.

    Each of the preset's passes reads the atoms of the decoded images, gives the crystals their target contents where there
    are any (`with_contents`), renders them in the middle of the box, and encodes these images. What the encoder loses some
    steps of latent inversion find again, where the preset has any (`invert_where_needed`). A further pass is for those that
    are not reproduced well yet. A vector whose images hold no crystal stays as it is.

    Parameters
    ----------
    model : the trained networks
    latent : (B, latent)
    atom_counts : (B, elements), target number of atoms of each element; None where there is no target
    shortest : (B, elements, elements), shortest distances of two atoms in the images, A; by default those that are known
        of the elements (`ImageCompressor.shortest_distances`)

    Returns
    -------
    (B, latent)
    """
    if atom_counts is not None and shortest is None:
        shortest = model.compressor.shortest_distances(atom_counts)
    latent, left = latent.clone(), torch.arange(len(latent))
    for _ in range(model.compressor.preset.projections):
        if not len(left):
            break
        again = []
        for rows in left.split(BATCH):
            targets = None if atom_counts is None else atom_counts[rows]
            limits = None if shortest is None else shortest[rows.numpy()]
            latent[rows], reproduced = _project_once(model, latent[rows], targets, limits)
            again.append(rows[~reproduced])
        left = torch.cat(again)
    return latent


def _project_once(
    model: CrystalModel, latent: Tensor, atom_counts: Tensor | None, shortest: NDArray | None
) -> tuple[Tensor, Tensor]:
    """Return the projected vectors (B, latent), and which of them (B,) need no further pass."""
    crystals, heights = model.compressor.codec.read_unchecked(model.decode(latent))
    # without a target, samples from few structures would only become known ones
    if atom_counts is not None and shortest is not None:
        crystals = with_contents(crystals, heights, atom_counts, shortest)
    whole = crystals.mask.flatten(1).any(dim=1) & crystals.lattices.isfinite().all(dim=(1, 2))
    done = ~whole
    if whole.any():
        steps = model.compressor.preset.inversion_steps
        latent[whole], done[whole] = invert_where_needed(model, _centred(crystals[whole]), steps)
    return latent, done


def _centred(crystals: PackedCrystals) -> PackedCrystals:
    """Move the centroid of each crystal's atoms to the middle of the box, where training images have it."""
    weights = crystals.mask[..., None].to(crystals.positions.dtype)
    centroid = (crystals.positions * weights).sum(dim=(1, 2), keepdim=True) / weights.sum(dim=(1, 2), keepdim=True)
    return replace(crystals, positions=crystals.positions - centroid + crystals.box / 2)
