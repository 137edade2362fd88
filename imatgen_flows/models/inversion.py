"""Latent inversion: invert the decoders by gradient descent, starting from the encoder's prediction.

A decoder often reproduces unseen crystals that its encoder does not map to the right codes. The images are smooth functions
of codes and latent vectors, so that some steps of gradient descent find these. The steps are few and short: the result
stays near the encoder's prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from imatgen_flows.models.crystal_model import CrystalModel, ImageCompressor
    from imatgen_flows.representation import PackedCrystals

# steps of the descent: with 60 a percent fewer of held-out crystals are reproduced, with 300 hardly more
# (notebook/2026-11-27-paper-dataset-seed-10.md, `imatgen evaluate reconstruction`)
STEPS = 120
STEP_SIZE = 0.05  # learning rate of Adam, in units of codes and latent vectors, whose variance is one; not tuned
# of a few steps: 20 of 0.1 do as much as 30 of 0.05, and crystals that are encoded this well need none
FEW_STEP_SIZE, GOOD_MISFIT = 0.1, 0.03
EXACT_MISFIT = 0.005  # of a crystal that is reproduced so well that no other origin of its cell is tried
BATCH = 64  # crystals that are inverted at once

Misfit = Callable[
    [Tensor, Tensor], Tensor
]  # of vectors (B, ...), and of the rows (B,) of the crystals that they are for


def invert_autoencoder(compressor: ImageCompressor, crystals: PackedCrystals, steps: int = STEPS) -> Tensor:
    """Invert the image decoders: find the codes whose images are nearest to those of crystals.

    Parameters
    ----------
    compressor : trained image autoencoders
    crystals : what is encoded
    steps : steps of the descent; 0 gives the encoder's codes

    Returns
    -------
    (B, max_elements + 1, width), as from `ImageCompressor.encode`
    """
    codes, present = compressor.encode(crystals)
    target = _Target(compressor, crystals, codes, present)
    return _descend(codes, target.misfit, steps)


def invert_decoder(model: CrystalModel, crystals: PackedCrystals, steps: int = STEPS) -> Tensor:
    """Invert the whole decoder: find the latent vectors (B, latent) whose images are nearest to those of crystals."""
    return _invert(model, crystals, steps)[0]


@torch.no_grad()
def invert_where_needed(model: CrystalModel, crystals: PackedCrystals, steps: int) -> tuple[Tensor, Tensor]:
    """Encode crystals, and correct by a few steps of inversion the latent vectors that reproduce them badly.

    Returns
    -------
    latent vectors (B, latent), and which of them (B,) reproduce their crystals well
    """
    codes, present = model.compressor.encode(crystals)
    latent = model.vae.encode(codes)
    missed = _in_parts(_misfit_of(model, crystals, codes, present), latent)
    bad = missed > GOOD_MISFIT
    if steps and bad.any():
        misfit = _misfit_of(model, crystals[bad], codes[bad], present[bad])
        latent[bad] = _descend(latent[bad], misfit, steps, FEW_STEP_SIZE)
        missed[bad] = _in_parts(misfit, latent[bad])
    return latent, missed <= GOOD_MISFIT


def invert_decoder_over_origins(
    model: CrystalModel, origin_shifts: PackedCrystals, crystal: Tensor, steps: int = STEPS
) -> tuple[Tensor, Tensor]:
    """Invert the decoder for each crystal from several origins of its cell, and keep the best latent vector.

    The images of a crystal change with the origin of its cell. A descent that loses atoms from one origin keeps them from
    another. The origins are tried in their order, until one reproduces the crystal.

    Parameters
    ----------
    model : the trained networks
    origin_shifts : crystals, each of them several times with other origins of its cell
    crystal : (B,), which crystal each of these is, from 0 on without a gap
    steps : steps of each descent

    Returns
    -------
    (crystals, latent), and the row of `origin_shifts` (crystals,) that each is of
    """
    number = int(crystal.max()) + 1
    latent = torch.zeros(number, model.vae.settings.latent)
    best, missed = torch.full((number,), -1), torch.full((number,), torch.inf)
    turns = [int((crystal[:row] == crystal[row]).sum()) for row in range(len(crystal))]
    for turn in range(max(turns) + 1):
        rows = torch.tensor(
            [row for row, own in enumerate(turns) if own == turn and missed[crystal[row]] > EXACT_MISFIT]
        )
        if not len(rows):
            continue
        found, misfit = _invert(model, origin_shifts[rows], steps)
        tried = _in_parts(misfit, found)
        better = tried < missed[crystal[rows]]
        whose = crystal[rows][better]
        latent[whose], missed[whose], best[whose] = found[better], tried[better], rows[better]
    return latent, best


def _invert(model: CrystalModel, crystals: PackedCrystals, steps: int) -> tuple[Tensor, Misfit]:
    """Find latent vectors by descent; return them, and the misfit that was minimised."""
    codes, present = model.compressor.encode(crystals)
    misfit = _misfit_of(model, crystals, codes, present)
    with torch.no_grad():
        latent = model.vae.encode(codes)
    return _descend(latent, misfit, steps), misfit


def _misfit_of(model: CrystalModel, crystals: PackedCrystals, codes: Tensor, present: Tensor) -> Misfit:
    """Return the misfit of latent vectors with crystals, and with their codes as encoded."""
    target = _Target(model.compressor, crystals, codes, present)
    return lambda latent, rows: target.misfit(model.vae.decode(latent), rows)


class _Target:
    """The images of the atoms and the codes of the cells that decoded codes are compared with."""

    def __init__(self, compressor: ImageCompressor, crystals: PackedCrystals, codes: Tensor, present: Tensor) -> None:
        self.compressor, self.crystals = compressor, compressor.drawn(crystals)
        self.present, self.cell = present[:, : len(compressor.elements)], codes[:, -1, : compressor.preset.cell.code]
        self.rows, self.images = torch.empty(0), torch.empty(0)

    def misfit(self, codes: Tensor, rows: Tensor) -> Tensor:
        """Return the misfit (B,): relative squared error of the atoms' images, plus mean squared error of the cell's code."""
        preset, drawn = self.compressor.preset, self._draw(rows)
        crystal, element = self.present[rows].nonzero(as_tuple=True)
        decoded = self.compressor.basis.decode(codes[crystal, element, : preset.basis.code])
        missed = _squares(decoded - drawn[crystal, element])
        whole = _squares(drawn.flatten(1))
        atoms = torch.zeros_like(whole).index_add(0, crystal, missed) / whole
        # the code of a cell determines its image, and is cheaper to compare
        return atoms + ((codes[:, -1, : preset.cell.code] - self.cell[rows]) ** 2).mean(dim=1)

    @torch.no_grad()
    def _draw(self, rows: Tensor) -> Tensor:
        """Draw the images of the atoms of some crystals (B, E, N, N, N), once for all steps of a batch."""
        if rows is not self.rows:
            crystals, codec = self.crystals[rows], self.compressor.codec.basis
            images = codec.encode(crystals.positions.flatten(0, 1), crystals.mask.flatten(0, 1))
            self.rows, self.images = rows, images.unflatten(0, crystals.mask.shape[:2])
        return self.images


def _descend(start: Tensor, misfit: Misfit, steps: int, step_size: float = STEP_SIZE) -> Tensor:
    """Minimise the misfit of each vector by gradient descent with Adam."""
    inverted = []
    for rows in torch.arange(len(start)).split(BATCH):
        place = start[rows].clone()
        optimiser = torch.optim.Adam([place], step_size)
        for _ in range(steps):
            with torch.enable_grad():
                (place.grad,) = torch.autograd.grad(misfit(place.requires_grad_(), rows).sum(), [place])
            optimiser.step()
        inverted.append(place.detach())
    return torch.cat(inverted) if inverted else start


@torch.no_grad()
def _in_parts(misfit: Misfit, latent: Tensor) -> Tensor:
    """Return the misfit (B,) of each vector, batch by batch."""
    return torch.cat([misfit(latent[rows], rows) for rows in torch.arange(len(latent)).split(BATCH)])


def _squares(images: Tensor) -> Tensor:
    """Return the sum of squares (B,) of each image."""
    return (images**2).flatten(1).sum(dim=1)
