"""Draw latent vectors: around known crystals, between them, and from the whole distribution (paper, Section S3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from imatgen_flows.models.prior import LatentPrior


@dataclass(frozen=True)
class Samples:
    """Latent vectors and how each was drawn."""

    latent: Tensor  # (n, latent)
    seed: int
    parents: list[tuple[int, ...]]  # rows of the anchors that each came from
    contents: Tensor | None = None  # (n, elements), atoms that were asked for, where any were


def sample_around(
    anchors: Tensor, n: int, seed: int, distance: float | None = None, width: Tensor | None = None
) -> Samples:
    """Draw samples near anchors, each anchor in turn.

    Parameters
    ----------
    anchors : (A, latent)
    n : number of samples
    seed : of the draw
    distance : the paper's way, a random direction at this fixed distance
    width : ours, (latent,) or (n, latent), standard deviations of Gaussian noise; used where `distance` is None
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
    """Interpolate along the great circle between vectors, their norms linearly.

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
    # nearly parallel vectors have no great circle of their own: the straight line is its limit
    straight = sine < 1e-4
    safe = torch.where(straight, torch.ones_like(sine), sine)
    first = torch.where(straight, 1 - t, torch.sin((1 - t) * angle) / safe)
    last = torch.where(straight, t, torch.sin(t * angle) / safe)
    direction = first[:, None] * a + last[:, None] * b
    return direction * ((1 - t) * lengths[0] + t * lengths[1])[:, None]


def sample_slerp(anchors: Tensor, n: int, seed: int, points: int = 19) -> Samples:
    """Draw samples between pairs of anchors, at `points` equal steps inside each (paper: t = k/20, k = 1..19).

    All pairs and steps are drawn before one is drawn again; where there are more than `n`, a random part of them.

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
    """Draw samples on great circles between a crystal and one of the nearest of its group, at `points` equal steps.

    Parameters
    ----------
    latent : (A, latent) of the crystals
    groups : (A,) integers; crystals of one group hold the same atoms, so that what lies between them may hold them too
    weights : (A,), how often each crystal is an end of its own accord, relative to the others
    n : number of samples
    seed : of the draw
    neighbours : how many nearest crystals may be the other end
    points : steps inside a great circle

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
    """Draw a sample for each condition (n, elements + 1): contents of the cell, and an energy in eV/atom."""
    return Samples(prior.sample(conditions, seed).cpu(), seed, [()] * len(conditions))


def sample_gaussian(latent: Tensor, n: int, seed: int, full_covariance: bool = True) -> Samples:
    """Draw samples from the Gaussian of the data's latent vectors.

    Parameters
    ----------
    latent : (B, latent), of the training structures
    n : number of samples
    seed : of the draw
    full_covariance : keep the correlations; else one standard deviation a dimension, as published
    """
    generator = torch.Generator().manual_seed(seed)
    mean, noise = latent.mean(0), torch.randn(n, latent.shape[1], generator=generator, dtype=torch.float64)
    if not full_covariance:
        return Samples(mean + noise.float() * latent.std(0), seed, [()] * n)
    centred = (latent - mean).double()
    # by eigenvectors rather than Cholesky: with few structures the covariance is singular
    values, vectors = torch.linalg.eigh(centred.T @ centred / max(1, len(latent) - 1))
    noise = noise * values.clamp(min=0).sqrt()
    return Samples(mean + (noise @ vectors.T).float(), seed, [()] * n)
