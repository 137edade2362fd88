"""Samplers of latent vectors: near known crystals, between them, and from the prior (paper, Section S3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from imatgen_flows.models.prior import LatentPrior


@dataclass(frozen=True)
class Samples:
    """Latent vectors and how they were drawn.

    Attributes
    ----------
    latent : (n, latent)
    seed : of the draw
    parents : rows of the structures that each was made from; empty for draws from a prior
    atom_counts : (n, elements), target number of atoms of each element, where there is a target
    prior : which prior the samples were drawn from: the trained flow, or a Gaussian; empty for other samplers
    """

    latent: Tensor
    seed: int
    parents: list[tuple[int, ...]]
    atom_counts: Tensor | None = None
    prior: Literal["", "flow", "gaussian"] = ""


def sample_perturbed(
    anchors: Tensor, n: int, seed: int, distance: float | None = None, width: Tensor | None = None
) -> Samples:
    """Draw samples near anchors by random perturbations, the same number for each anchor.

    Parameters
    ----------
    anchors : (A, latent)
    n : number of samples
    seed : of the draw
    distance : as published: a random direction at this fixed distance
    width : ours: (latent,) or (n, latent), standard deviations of Gaussian noise; used where `distance` is None
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(n) % len(anchors)
    noise = torch.randn(n, anchors.shape[1], generator=generator)
    if distance is not None:
        noise = distance * noise / noise.norm(dim=1, keepdim=True)
    elif width is not None:
        noise = noise * width
    return Samples(anchors[rows] + noise, seed, [(int(row),) for row in rows])


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Interpolate spherically between vectors: along the great circle, and linearly in the norm.

    Parameters
    ----------
    start, end : (n, latent)
    t : (n,), 0 at the start and 1 at the end

    Returns
    -------
    (n, latent)
    """
    lengths = start.norm(dim=1), end.norm(dim=1)
    a, b = start / lengths[0][:, None], end / lengths[1][:, None]
    angle = torch.arccos((a * b).sum(1).clamp(-1, 1))
    sine = torch.sin(angle)
    # between nearly parallel vectors the great circle is not defined: its limit is the straight line
    straight = sine < 1e-4
    safe = torch.where(straight, torch.ones_like(sine), sine)
    first = torch.where(straight, 1 - t, torch.sin((1 - t) * angle) / safe)
    last = torch.where(straight, t, torch.sin(t * angle) / safe)
    direction = first[:, None] * a + last[:, None] * b
    return direction * ((1 - t) * lengths[0] + t * lengths[1])[:, None]


def sample_slerp(anchors: Tensor, n: int, seed: int, points: int = 19) -> Samples:
    """Draw samples by spherical interpolation between pairs of anchors, at `points` equal steps.

    The paper has t = k/20, k = 1..19. All pairs and steps are drawn before one is drawn again; where there are more than
    `n`, a random part of them.

    Raises
    ------
    ValueError
        Where there are fewer than two anchors.
    """
    if len(anchors) < 2:
        raise ValueError("interpolation needs at least two known structures")
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.combinations(torch.arange(len(anchors)), 2)
    total = len(pairs) * points
    chosen = torch.cat([torch.randperm(total, generator=generator) for _ in range(max(1, -(-n // total)))])[:n]
    pair, step = pairs[chosen // points], chosen % points + 1
    latent = slerp(anchors[pair[:, 0]], anchors[pair[:, 1]], step / (points + 1))
    return Samples(latent, seed, [(int(a), int(b)) for a, b in pair])


def sample_between_neighbours(
    latent: Tensor, groups: Tensor, weights: Tensor, n: int, seed: int, neighbours: int = 5, points: int = 19
) -> Samples:
    """Draw samples by spherical interpolation between a crystal and one of its nearest neighbours with the same atoms.

    Parameters
    ----------
    latent : (A, latent) of the crystals
    groups : (A,) integers; crystals of one group have the same atom counts, as what lies between them then may have
    weights : (A,), relative probability that a crystal is the first end of an interpolation
    n : number of samples
    seed : of the draw
    neighbours : number of nearest crystals that may be the other end
    points : equal steps of an interpolation

    Raises
    ------
    ValueError
        Where no two crystals of a group have a weight.
    """
    generator = torch.Generator().manual_seed(seed)
    weighted = weights > 0
    shared = (torch.bincount(groups[weighted], minlength=int(groups.max()) + 1) > 1)[groups] & weighted
    if not shared.any():
        raise ValueError("interpolation needs two known structures of the same atoms")
    first = torch.multinomial(weights * shared, n, replacement=True, generator=generator) if n else groups[:0]
    second = first.clone()
    draw = torch.rand(n, generator=generator)
    for row in first.unique().tolist():
        others = ((groups == groups[row]) & weighted).nonzero()[:, 0]
        others = others[others != row]
        near = others[(latent[others] - latent[row]).norm(dim=1).argsort()[:neighbours]]
        here = (first == row).nonzero()[:, 0]
        second[here] = near[(draw[here] * len(near)).long()]
    step = torch.randint(1, points + 1, (n,), generator=generator)
    between = slerp(latent[first], latent[second], step / (points + 1))
    return Samples(between, seed, list(zip(first.tolist(), second.tolist(), strict=True)))


def sample_prior(prior: LatentPrior, conditions: Tensor, seed: int) -> Samples:
    """Draw samples from the trained flow, one for each condition (n, elements + 1) as `LatentPrior` has them."""
    return Samples(prior.sample(conditions, seed).cpu(), seed, [()] * len(conditions), prior="flow")


def sample_gaussian(latent: Tensor, n: int, seed: int, full_covariance: bool = True) -> Samples:
    """Draw samples from a Gaussian with the mean and the covariance of the data.

    Parameters
    ----------
    latent : (B, latent), of the training structures
    n : number of samples
    seed : of the draw
    full_covariance : with the correlations of the data; else one standard deviation a dimension, as published
    """
    generator = torch.Generator().manual_seed(seed)
    mean, noise = latent.mean(0), torch.randn(n, latent.shape[1], generator=generator, dtype=torch.float64)
    if not full_covariance:
        return Samples(mean + noise.float() * latent.std(0), seed, [()] * n, prior="gaussian")
    centred = (latent - mean).double()
    # by eigenvectors rather than Cholesky: with few structures the covariance is singular
    values, vectors = torch.linalg.eigh(centred.T @ centred / max(1, len(latent) - 1))
    noise = noise * values.clamp(min=0).sqrt()
    return Samples(mean + (noise @ vectors.T).float(), seed, [()] * n, prior="gaussian")
