"""Codes and latent vectors found by looking: from the encoder's answer on, down the gradient of what the images miss.

A decoder can draw crystals that it never saw better than an encoder can find their codes. The images are smooth in both, so
that some steps of gradient descent find them. The steps are few and short: a vector stays near where the encoder put it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from imatgen_flows.models.crystal_model import CrystalModel, ImageCompressor
    from imatgen_flows.representation import PackedCrystals

STEPS = 120  # 60 leave a percent more of held-out crystals unfound, 300 find hardly more
STEP = 0.05  # of Adam, in units of codes and latent vectors
BATCH = 64  # crystals that are refined at once

Misfit = Callable[[Tensor, Tensor], Tensor]  # of vectors, and of the rows of the crystals that they are for


def invert_autoencoder(compressor: ImageCompressor, crystals: PackedCrystals, steps: int = STEPS) -> Tensor:
    """Encode crystals as `ImageCompressor.encode` does, then move the codes towards their images.

    Parameters
    ----------
    compressor : trained image autoencoders
    crystals : what is encoded
    steps : of the descent; 0 leaves the encoder's codes

    Returns
    -------
    (B, max_elements + 1, width)
    """
    codes, present = compressor.encode(crystals)
    target = _Target(compressor, crystals, codes, present)
    return _descend(codes, target.misfit, steps)


def invert_decoder(model: CrystalModel, crystals: PackedCrystals, steps: int = STEPS) -> Tensor:
    """Encode crystals as `CrystalModel.encode` does, then move the latent vectors (B, latent) towards their images."""
    return _refine(model, crystals, steps)[0]


def invert_decoder_over_origins(
    model: CrystalModel, origin_shifts: PackedCrystals, crystal: Tensor, steps: int = STEPS
) -> Tensor:
    """Refine several origin_shifts of each crystal, and keep the latent vector that shows its telling best.

    The same atoms have other images where the cell begins elsewhere, and a descent ends in one of them where it does not in
    another.

    Parameters
    ----------
    model : the trained networks
    origin_shifts : crystals, some of them the same ones told anew
    crystal : (B,), which crystal each of them tells, from 0 on without a gap
    steps : of each descent

    Returns
    -------
    (crystals, latent)
    """
    latent, misfit = _refine(model, origin_shifts, steps)
    with torch.no_grad():
        missed = torch.cat([misfit(latent[rows], rows) for rows in torch.arange(len(origin_shifts)).split(BATCH)])
    order = missed.argsort()
    best = [int(order[(crystal[order] == number).nonzero()[0, 0]]) for number in range(int(crystal.max()) + 1)]
    return latent[best]


def _refine(model: CrystalModel, crystals: PackedCrystals, steps: int) -> tuple[Tensor, Misfit]:
    """Refine latent vectors; return them, and what tells how far any others miss the crystals."""
    codes, present = model.compressor.encode(crystals)
    target = _Target(model.compressor, crystals, codes, present)

    def misfit(latent: Tensor, rows: Tensor) -> Tensor:
        return target.misfit(model.vae.decode(latent), rows)

    with torch.no_grad():
        latent = model.vae.encode(codes)
    return _descend(latent, misfit, steps), misfit


class _Target:
    """What decoded codes should show: images of the atoms, and the cell."""

    def __init__(self, compressor: ImageCompressor, crystals: PackedCrystals, codes: Tensor, present: Tensor) -> None:
        self.compressor, self.crystals = compressor, crystals
        self.present, self.cell = present[:, : len(compressor.elements)], codes[:, -1, : compressor.preset.cell.code]

    def misfit(self, codes: Tensor, rows: Tensor) -> Tensor:
        """Squared residual of the atoms' images, and error of the cell's code, of each crystal (B,)."""
        compressor, preset = self.compressor, self.compressor.preset
        with torch.no_grad():
            images = compressor.codec.encode(self.crystals[rows])
        crystal, element = self.present[rows].nonzero(as_tuple=True)
        drawn = compressor.basis.decode(codes[crystal, element, : preset.basis.code])
        missed = _squares(drawn - images.basis[crystal, element])
        whole = _squares(images.basis.flatten(1))
        atoms = torch.zeros_like(whole).index_add(0, crystal, missed) / whole
        # of the cell the code, which says as much as its image
        return atoms + ((codes[:, -1, : preset.cell.code] - self.cell[rows]) ** 2).mean(dim=1)


def _descend(start: Tensor, misfit: Misfit, steps: int) -> Tensor:
    """Move vectors down the gradient of their misfits, each by itself."""
    refined = []
    for rows in torch.arange(len(start)).split(BATCH):
        place = start[rows].clone()
        optimiser = torch.optim.Adam([place], STEP)
        for _ in range(steps):
            with torch.enable_grad():
                (place.grad,) = torch.autograd.grad(misfit(place.requires_grad_(), rows).sum(), [place])
            optimiser.step()
        refined.append(place.detach())
    return torch.cat(refined) if refined else start


def _squares(images: Tensor) -> Tensor:
    return (images**2).flatten(1).sum(dim=1)
