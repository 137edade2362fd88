"""Latent optimisation: gradient ascent on a predicted property, from encoded crystals and within a trust region.

The latent space is continuous and, by the classifier, organised by stability (paper, Figure 4 and Section S1.3), so that a
predicted stability has a gradient there. Gomez-Bombarelli et al., ACS Cent. Sci. 4, 268 (2018), optimise molecules along
such gradients. A prediction holds near the data alone: the steps stay in a region around the crystal that they start from,
as in trust-region methods of Bayesian optimisation (Eriksson et al., TuRBO, NeurIPS 32, 2019). The region is not adapted
here, as nothing is evaluated between two steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from imatgen_flows.models.sampling import Samples

# of the trust region, in widths of the perturbations of the sampler `perturb` (0.3 of the data's in each dimension). Of 200
# samples from 244 oxides of vanadium 2 were new and 121 clean within 2 widths, 34 and 63 within 3, 154 and 10 within 4
# (`benchmarks/latent_optimisation.py RUN`, notebook/2026-11-29-latent-optimisation.md)
RADIUS = 3.0
NOISE = RADIUS / 2  # of the starts, so that they differ and still have room to rise; in the same unit, not tuned
# a choice between what is new and what is clean: of the 200, 20 steps gave 104 and 38 where 10 gave 34 and 63 (the same page)
STEPS = 10
STEP = 0.1  # length of a step in radii: together the steps are as long as one radius; not tuned

Objective = Callable[[Tensor], Tensor]
"""Maps latent vectors (n, latent) to what is to rise (n,), each from its own vector, differentiable by torch."""


def sample_ascent(
    starts: Tensor,
    seed: int,
    objective: Objective,
    width: Tensor,
    *,
    radius: float = RADIUS,
    noise: float = NOISE,
    steps: int = STEPS,
) -> Samples:
    """Draw a sample from each start: perturb it, then follow the gradient of the objective in the start's trust region.

    Parameters
    ----------
    starts : (n, latent), encoded crystals; of equal ones each gives another sample, as the perturbations differ
    seed : of the perturbations
    objective : what is to rise
    width : (latent,), units of length in each dimension
    radius : of the trust region: an ellipsoid around each start, root mean square over the dimensions, in units of `width`
    noise : standard deviation of the perturbations, in units of `width`
    steps : of the ascent; 0 gives the perturbed starts
    """
    generator = torch.Generator().manual_seed(seed)
    offsets = noise * torch.randn(starts.shape, generator=generator)
    offsets = ascend(objective, starts, width, offsets, radius, steps)
    return Samples(starts + width * offsets, seed, [(row,) for row in range(len(starts))])


def ascend(objective: Objective, centres: Tensor, width: Tensor, offsets: Tensor, radius: float, steps: int) -> Tensor:
    """Raise an objective by projected gradient ascent, each vector in an ellipsoid around its centre.

    A step goes along the normalised gradient, for `STEP` of the radius, and back to the nearest point of the region. Where
    the objective would not rise, the vector stays and its steps are half as long from there on.

    Parameters
    ----------
    objective : what is to rise
    centres : (n, latent), of the trust regions
    width : (latent,), units of length in each dimension
    offsets : (n, latent), from the centres to where the ascent starts, in units of `width`
    radius : of the trust regions: root mean square of an offset over the dimensions
    steps : of the ascent, each of one evaluation

    Returns
    -------
    (n, latent), offsets at its end
    """
    longest = radius * math.sqrt(offsets.shape[1])

    def project(vectors: Tensor) -> Tensor:
        return vectors * (longest / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1)

    def evaluate(vectors: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            vectors = vectors.detach().requires_grad_()
            values = objective(centres + width * vectors)
            (gradient,) = torch.autograd.grad(values.sum(), vectors)
        return values.detach(), torch.nn.functional.normalize(gradient, dim=1)

    offsets = project(offsets)
    lengths = torch.full((len(offsets), 1), STEP * longest)
    values, directions = evaluate(offsets)
    for _ in range(steps):
        tried = project(offsets + lengths * directions)
        reached, onwards = evaluate(tried)
        rises = (reached > values)[:, None]
        offsets, directions = torch.where(rises, tried, offsets), torch.where(rises, onwards, directions)
        values, lengths = torch.where(rises[:, 0], reached, values), torch.where(rises, lengths, lengths / 2)
    return offsets
