"""The VAE: it maps the codes of all channels of a crystal to one latent vector and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from imatgen_flows.models.presets import PriorSettings, VAESettings
from imatgen_flows.models.prior import LatentPrior


class MaterialsVAE(nn.Module):
    """Variational autoencoder with a stability classifier (paper, Section S1.3) and a prior over its latent space.

    Parameters
    ----------
    settings : sizes and style
    channels : number of code channels: `max_elements` of the preset and the cell
    width : length of a code; shorter ones are padded with zeros
    prior : settings of the flow over latent vectors; None for a Gaussian, as published
    """

    def __init__(self, settings: VAESettings, channels: int, width: int, prior: PriorSettings | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.shape = (channels, width)
        build = _published if settings.style == "published" else _normalised
        self.encoder, self.decoder, features = build(settings, channels, width)
        self.mean = nn.Linear(features, settings.latent)
        self.log_variance = nn.Linear(features, settings.latent)
        hidden = nn.Linear(settings.latent, settings.latent)
        self.classifier = nn.Sequential(hidden, nn.Tanh(), nn.Linear(settings.latent, 1))
        if settings.style == "published":
            for layer in self.modules():
                if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d | nn.Linear):
                    nn.init.xavier_uniform_(layer.weight)
        self.prior = LatentPrior(prior, settings.latent, channels - 1) if prior else None

    def posterior(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Map codes (B, C, width) to mean and log variance of the latent vector, each (B, latent)."""
        features = self.encoder(codes)
        return self.mean(features), self.log_variance(features).clamp(-20, 10)

    def encode(self, codes: Tensor) -> Tensor:
        """Map codes to the means of their latent vectors, in the decoder's scale."""
        return self.settings.latent_scale * self.posterior(codes)[0]

    def decode(self, latent: Tensor) -> Tensor:
        """Map latent vectors (B, latent) to codes (B, C, width)."""
        return self.decoder(latent)

    def stability(self, latent: Tensor) -> Tensor:
        """Return the logit (B,) of the probability of being stable."""
        return self.classifier(latent)[:, 0]

    def forward(self, codes: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Reconstruct codes from a random latent vector of their posterior.

        Parameters
        ----------
        codes : (B, C, width)
        noise : (B, latent), drawn from N(0, 1)

        Returns
        -------
        reconstructed codes, stability logits (B,), mean and log variance of the posterior, each (B, latent)
        """
        mean, log_variance = self.posterior(codes)
        latent = self.settings.latent_scale * (mean + torch.exp(log_variance / 2) * noise)
        return self.decode(latent), self.stability(latent), mean, log_variance


class _Reshape(nn.Module):
    """Reshape all but the first dimension."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, values: Tensor) -> Tensor:
        return values.reshape(len(values), *self.shape)


def _published(settings: VAESettings, channels: int, width: int) -> tuple[nn.Module, nn.Module, int]:
    """Build the paper's encoder and decoder of convolutions; the last value is the encoder's number of features."""
    wide, thin, length = settings.channels, settings.channels // 2, width // 8
    encoder = nn.Sequential(
        nn.Conv1d(channels, wide, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv1d(wide, wide, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv1d(wide, wide, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv1d(wide, thin, 1, bias=False), nn.LeakyReLU(0.2), nn.Flatten(),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(settings.latent, thin * length), nn.LeakyReLU(0.2), _Reshape(thin, length),
        nn.ConvTranspose1d(thin, wide, 1, bias=False), nn.LeakyReLU(0.2),
        nn.ConvTranspose1d(wide, wide, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.ConvTranspose1d(wide, wide, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.ConvTranspose1d(wide, channels, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    return encoder, decoder, thin * length


def _normalised(settings: VAESettings, channels: int, width: int) -> tuple[nn.Module, nn.Module, int]:
    """Build our encoder and decoder of normalised dense layers; the last value is the encoder's number of features."""
    wide = settings.channels

    def stack(first: int) -> list[nn.Module]:
        return [
            nn.Linear(first, wide),
            nn.LayerNorm(wide),
            nn.SiLU(),
            nn.Linear(wide, wide),
            nn.LayerNorm(wide),
            nn.SiLU(),
        ]

    encoder = nn.Sequential(nn.Flatten(), *stack(channels * width))
    decoder = nn.Sequential(*stack(settings.latent), nn.Linear(wide, channels * width), _Reshape(channels, width))
    return encoder, decoder, wide
