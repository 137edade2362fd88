"""The prior over latent vectors: a normalising flow, conditioned on atom counts and energy.

It is trained by conditional flow matching on straight paths (Lipman et al., ICLR 2023; Liu et al., ICLR 2023).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from imatgen_flows.models.presets import PriorSettings

FREQUENCIES = 7  # atom counts are encoded by sines and cosines with periods of 2 to 2^7 atoms, beyond any cell here
BATCH = 2048  # vectors that are integrated at once


class LatentPrior(nn.Module):
    """Velocity field of a flow from Gaussian noise to latent vectors of crystals of given atom counts and energy.

    Parameters
    ----------
    settings : size of the network, steps of the integration
    latent : length of a latent vector
    channels : number of elements that the VAE has channels for

    Notes
    -----
    A condition is (channels + 1,): number of atoms of each element, then an energy in eV/atom, NaN for any energy.
    """

    mean: Tensor
    std: Tensor
    energy: Tensor

    def __init__(self, settings: PriorSettings, latent: int, channels: int) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("mean", torch.full((latent,), torch.nan))  # NaN until it is trained
        self.register_buffer("std", torch.ones(latent))
        self.register_buffer("energy", torch.tensor([0.0, 1.0]))  # mean and standard deviation, eV/atom
        features = 2 * FREQUENCIES * channels + 2 + 2 * FREQUENCIES
        self.input_layer = nn.Linear(latent, settings.width)
        self.condition_encoder = nn.Sequential(
            nn.Linear(features, settings.width), nn.SiLU(), nn.Linear(settings.width, settings.width)
        )
        self.blocks = nn.ModuleList(_Block(settings.width) for _ in range(settings.blocks))
        last = nn.Linear(settings.width, latent)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.output_layer = nn.Sequential(nn.LayerNorm(settings.width), last)

    @property
    def trained(self) -> bool:
        """Whether the prior was trained; on few training structures alone it would overfit, and is left untrained."""
        return bool(self.mean.isfinite().all())

    @torch.no_grad()
    def fit_scale(self, latent: Tensor, conditions: Tensor) -> None:
        """Set the means and scales from the latent vectors (B, latent) and conditions of a dataset."""
        self.mean.copy_(latent.mean(0))
        self.std.copy_(latent.std(0, correction=0).clamp(min=1e-3))
        energies = conditions[:, -1][conditions[:, -1].isfinite()]
        self.energy.fill_(torch.nan)  # without any, an energy that is asked for is unknown too
        if len(energies):
            self.energy.copy_(torch.stack([energies.mean(), energies.std(correction=0).clamp(min=1e-3)]))

    def forward(self, place: Tensor, time: Tensor, conditions: Tensor) -> Tensor:
        """Return the velocity (B, latent) at standardised vectors (B, latent) and times (B,) from 0, noise, to 1, data."""
        counts, energy = conditions[:, :-1], (conditions[:, -1:] - self.energy[0]) / self.energy[1]
        known = energy.isfinite()
        features = torch.cat(
            [_waves(counts / 2), torch.where(known, energy, 0.0), known.to(place.dtype), _waves(time[:, None] * 2)],
            dim=1,
        )
        context = self.condition_encoder(features)
        state = self.input_layer(place)
        for block in self.blocks:
            state = block(state, context)
        return self.output_layer(state)

    def loss(self, latent: Tensor, conditions: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return the mean squared error of the velocity on straight paths from `noise` (B, latent) to latent vectors."""
        end = (latent - self.mean) / self.std
        place = torch.lerp(noise, end, time[:, None])
        return functional.mse_loss(self(place, time, conditions), end - noise)

    @torch.no_grad()
    def sample(self, conditions: Tensor, seed: int) -> Tensor:
        """Draw a latent vector for each condition (B, channels + 1).

        The flow is integrated from Gaussian noise by Heun's method.

        Raises
        ------
        ValueError
            Where the prior is not trained.
        """
        if not self.trained:
            raise ValueError("the prior is not trained")
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(conditions), len(self.mean), generator=generator).to(self.mean.device)
        parts = zip(noise.split(BATCH), conditions.to(self.mean.device).split(BATCH), strict=True)
        return torch.cat([self._integrate(*part) for part in parts]) * self.std + self.mean if len(noise) else noise

    def _integrate(self, place: Tensor, conditions: Tensor) -> Tensor:
        """Integrate the velocity from time 0 to 1 by Heun's method."""
        step = 1 / self.settings.steps
        velocity = self(place, place.new_zeros(len(place)), conditions)
        for number in range(1, self.settings.steps + 1):
            ahead = self(place + step * velocity, place.new_full((len(place),), number * step), conditions)
            place = place + step * (velocity + ahead) / 2
            velocity = ahead
        return place


class _Block(nn.Module):
    """Residual layer whose normalised state is scaled and shifted according to the condition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(width, 2 * width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, state: Tensor, context: Tensor) -> Tensor:
        scale, shift = self.modulate(context).chunk(2, dim=1)
        return state + self.layers(self.norm(state) * (1 + scale) + shift)


def _waves(values: Tensor) -> Tensor:
    """Return sines and cosines (B, 2 F n) of values (B, n), with periods of 1, 2, ... 2^(F-1)."""
    angles = values[..., None] * (2 * math.pi / 2 ** torch.arange(FREQUENCIES, device=values.device))
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)
