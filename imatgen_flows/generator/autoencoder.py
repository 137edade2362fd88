"""Image autoencoders: one image of a cell, or of one element's atoms, to a short code and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from imatgen_flows.generator.presets import AutoencoderSettings


class ImageAutoencoder(nn.Module):
    """Compress cubic images (paper, Section S1.1 and S1.2).

    `published` is the paper's: convolutions without biases or normalisation, leaky ReLU, tanh codes. `normalised` is
    ours: group normalisation, SiLU, linear codes of zero mean and unit variance, and an output that begins near zero,
    so that the many empty voxels do not pull training to the empty image.

    Parameters
    ----------
    settings : grid, channels, code length and style
    """

    def __init__(self, settings: AutoencoderSettings) -> None:
        super().__init__()
        self.settings = settings
        build = _published if settings.style == "published" else _normalised
        self.encoder, self.decoder = build(settings)

    def encode(self, images: Tensor) -> Tensor:
        """Map (B, N, N, N) images to (B, code) codes."""
        if self.settings.style == "published":
            return self.encoder(images[:, None]).flatten(1)
        # Gaussians fill a percent of the voxels: scaled up, the first layer sees numbers of order one
        return self.encoder(images[:, None] * 5)

    def decode(self, codes: Tensor) -> Tensor:
        """Map (B, code) codes to (B, N, N, N) images in [0, 1]."""
        raw = self.decoder(codes)[:, 0]
        if self.settings.output == "ramp":
            return (2500 * raw).clamp(0, 1)
        return torch.sigmoid(raw)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Reconstruct images; `noise` (B, code) is added to the codes."""
        codes = self.encode(images)
        return self.decode(codes if noise is None else codes + noise)


def _published(settings: AutoencoderSettings) -> tuple[nn.Module, nn.Module]:
    sizes = (1, *settings.channels)
    down: list[nn.Module] = []
    for wide, narrow in zip(sizes, sizes[1:], strict=False):
        down += [nn.Conv3d(wide, narrow, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    encoder = nn.Sequential(*down, nn.Conv3d(sizes[-1], settings.code, 4, bias=False), nn.Tanh())
    up: list[nn.Module] = [nn.Unflatten(1, (settings.code, 1, 1, 1))]
    up += [nn.ConvTranspose3d(settings.code, sizes[-1], 4, bias=False), nn.LeakyReLU(0.2)]
    reverse = sizes[::-1]
    for wide, narrow in zip(reverse, reverse[1:], strict=False):
        up += [nn.ConvTranspose3d(wide, narrow, 4, 2, 1, bias=False)]
        up += [nn.LeakyReLU(0.2)] if narrow > 1 else []
    decoder = nn.Sequential(*up)
    for layer in (*encoder, *decoder):
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.xavier_uniform_(layer.weight)
    return encoder, decoder


def _normalised(settings: AutoencoderSettings) -> tuple[nn.Module, nn.Module]:
    sizes = (1, *settings.channels)
    flat = sizes[-1] * 4**3
    down: list[nn.Module] = []
    for wide, narrow in zip(sizes, sizes[1:], strict=False):
        down += [nn.Conv3d(wide, narrow, 4, 2, 1), nn.GroupNorm(8, narrow), nn.SiLU()]
    # without affine weights the codes have zero mean and unit variance, so that noise on them has a scale
    unit_variance = nn.BatchNorm1d(settings.code, affine=False)
    encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, settings.code), unit_variance)
    up: list[nn.Module] = [nn.Linear(settings.code, flat), nn.Unflatten(1, (sizes[-1], 4, 4, 4))]
    up += [nn.GroupNorm(8, sizes[-1]), nn.SiLU()]
    reverse = sizes[::-1]
    for wide, narrow in zip(reverse, reverse[1:], strict=False):
        up += [nn.ConvTranspose3d(wide, narrow, 4, 2, 1)]
        up += [nn.GroupNorm(8, narrow), nn.SiLU()] if narrow > 1 else []
    nn.init.constant_(up[-1].bias, -4.0)
    return encoder, nn.Sequential(*up)
