"""Loss functions of the networks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

OCCUPIED = 0.02  # cutoff of the images: a voxel below it is empty (`representation` sets it to zero)
# weight of empty voxels beside occupied ones, without a unit: it makes up for errors that are small in each and many. The
# `default` preset was developed with it; notebook/2026-11-26-basis-autoencoders.md has what it reaches
EMPTY_WEIGHT = 20


def image_loss(output: Tensor, target: Tensor, kind: str) -> Tensor:
    """Squared error of images, averaged over voxels.

    Parameters
    ----------
    output, target : of one shape, (B, N, N, N) or any other order of the voxels
    kind : `mse`, the paper's mean over all voxels; or `balanced`, where occupied and empty voxels are averaged separately
        and weighted 1 : 20. A percent of the voxels is occupied: in the plain mean the empty image is a deep minimum.
        A negative output in an empty voxel will be clipped to zero, and counts as no error.
    """
    if kind == "mse":
        return ((output - target) ** 2).mean()
    occupied = target > OCCUPIED
    squares = (torch.where(occupied, output, output.clamp(min=0)) - target) ** 2
    n_occupied = occupied.sum()
    weights = 1 / n_occupied.clamp(min=1), EMPTY_WEIGHT / (occupied.numel() - n_occupied).clamp(min=1)
    return (squares * torch.where(occupied, *weights)).sum()


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, 1), averaged over batch and dimensions."""
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean()


def code_loss(output: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean squared error of codes.

    Parameters
    ----------
    output, target : (B, C, width)
    weights : (B, C, width), zero where a channel is empty or padded
    """
    return ((output - target) ** 2 * weights).sum() / weights.sum().clamp(min=1e-12)


def stability_loss(logits: Tensor, stable: Tensor) -> Tensor:
    """Binary cross entropy of the stability classifier; `stable` is 1, 0, or NaN where unknown, which does not count."""
    known = ~torch.isnan(stable)
    if not known.any():
        return logits.sum() * 0
    return functional.binary_cross_entropy_with_logits(logits[known], stable[known])
