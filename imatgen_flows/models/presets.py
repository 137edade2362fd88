"""Settings of the networks: `paper` as published, `default` the best we know for a CPU, `large` for a GPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar

from imatgen_flows.errors import InputError


@dataclass(frozen=True)
class AutoencoderSettings:
    """One image autoencoder and its training."""

    grid: int  # voxels along an edge
    sigma: float  # width of the Gaussians, A
    code: int  # length of the code
    channels: tuple[int, ...]  # of the stride-2 convolutions
    style: Literal["published", "convolved", "patched", "metric"]
    output: Literal["sigmoid", "ramp", "clipped"]
    loss: Literal["mse", "balanced"]
    learning_rate: float
    cosine: bool  # anneal the learning rate; constant otherwise
    batch_size: int
    epochs: int
    min_steps: int = 0  # more epochs for a small dataset
    code_noise: float = 0.0  # on codes of unit variance, in training
    shift: float = 0.0  # rigid shift of the crystal in its box, A, in training
    jitter: float = 0.0  # displacement of each atom, A, in training


@dataclass(frozen=True)
class VAESettings:
    """The materials generator and its training."""

    style: Literal["published", "normalised"]
    latent: int
    channels: int
    classifier_weight: float
    kl_weight: float
    latent_scale: float  # z = scale (mu + std eps), to decoder and classifier
    learning_rate: float
    cosine: bool
    batch_size: int
    epochs: int
    min_steps: int = 0
    code_noise: float = 0.0
    around: float = (
        0.001  # distance (`published`) or noise in units of the latent data's width of a sample near a known
    )


@dataclass(frozen=True)
class PriorSettings:
    """The flow from noise to latent vectors, and its training."""

    width: int
    blocks: int
    steps: int  # of the integration, two evaluations each
    learning_rate: float
    batch_size: int
    epochs: int
    min_steps: int = 0
    enough: int = 2000  # training structures; of fewer, a prior and near neighbours only repeat them
    any_energy: float = 0.2  # share of the training vectors that are not told the energy
    energy_blur: float = 0.1  # eV/atom, on the energies that the others are told: an exact one would name its structure
    cosine: bool = True


TrainedSettings = TypeVar("TrainedSettings", AutoencoderSettings, VAESettings, PriorSettings)


@dataclass(frozen=True)
class Preset:
    """All three networks."""

    name: str
    cell: AutoencoderSettings
    basis: AutoencoderSettings
    generator: VAESettings
    prior: PriorSettings | None = None  # a Gaussian, as published, where there is none
    max_elements: int = 5  # channels of the generator, beside the cell's
    box: float = 15.0  # A
    projections: int = 0  # passes of decode, re-render, encode that a sample makes

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)


# Noh et al., Matter 1, 1370 (2019), Section S1, as recovered from the authors' scripts
PAPER = Preset(
    name="paper",
    cell=AutoencoderSettings(
        grid=32, sigma=0.26, code=20, channels=(64, 64, 64), style="published", output="sigmoid", loss="mse",
        learning_rate=1e-4, cosine=False, batch_size=32, epochs=20,
    ),
    basis=AutoencoderSettings(
        grid=64, sigma=0.26, code=200, channels=(64, 64, 64, 64), style="published", output="ramp", loss="mse",
        learning_rate=3e-4, cosine=False, batch_size=24, epochs=20,
    ),
    generator=VAESettings(
        style="published", latent=500, channels=100, classifier_weight=5e-7, kl_weight=1e-6, latent_scale=1e-4,
        learning_rate=1e-4, cosine=False, batch_size=64, epochs=142,
    ),
)  # fmt: skip

# The cell as the six numbers of log G is exact, where trained autoencoders of the cell image left one cell in five
# more than 0.1 A or 2 degrees off (docs/generator.md has the comparison).
DEFAULT = Preset(
    name="default",
    cell=AutoencoderSettings(
        grid=32, sigma=0.26, code=6, channels=(), style="metric", output="sigmoid", loss="balanced",
        learning_rate=0.0, cosine=False, batch_size=32, epochs=0,
    ),
    basis=AutoencoderSettings(
        grid=32, sigma=0.35, code=128, channels=(64, 128), style="patched", output="clipped", loss="balanced",
        learning_rate=2e-3, cosine=True, batch_size=32, epochs=28, min_steps=2000, code_noise=0.15, shift=0.1, jitter=0.12,
    ),
    generator=VAESettings(
        style="normalised", latent=256, channels=1024, classifier_weight=0.05, kl_weight=0.003, latent_scale=1.0,
        learning_rate=1e-3, cosine=True, batch_size=128, epochs=200, min_steps=2000, code_noise=0.05, around=0.3,
    ),
    prior=PriorSettings(
        width=512, blocks=6, steps=50, learning_rate=1e-3, batch_size=256, epochs=150, min_steps=2000,
    ),
    projections=1,
)  # fmt: skip


# For a GPU: convolutions, whose codes say more of crystals that they never saw
LARGE = replace(
    DEFAULT,
    name="large",
    basis=replace(DEFAULT.basis, code=200, channels=(64, 64, 64), style="convolved", learning_rate=1e-3, epochs=20),
)


def get_preset(name: str, grid: int | None = None, epochs: float = 1.0) -> Preset:
    """Return a preset, with another basis grid or a factor on its epochs where asked.

    Raises
    ------
    InputError
        Where there is no such preset.
    """
    presets = {preset.name: preset for preset in (PAPER, DEFAULT, LARGE)}
    if name not in presets:
        raise InputError(f"no preset `{name}`; there are {', '.join(presets)}.")
    preset = presets[name]
    if grid is not None and grid != preset.basis.grid:
        preset = replace(preset, basis=_on_grid(preset.basis, grid))
    return replace(
        preset,
        cell=_scaled(preset.cell, epochs),
        basis=_scaled(preset.basis, epochs),
        generator=_scaled(preset.generator, epochs),
        prior=_scaled(preset.prior, epochs) if preset.prior else None,
    )


def _scaled(settings: TrainedSettings, epochs: float) -> TrainedSettings:
    """Train longer or shorter, but what is trained at all for one epoch at least."""
    return replace(
        settings,
        epochs=round(settings.epochs * epochs) or min(1, settings.epochs),
        min_steps=round(settings.min_steps * epochs),
    )


def _on_grid(settings: AutoencoderSettings, grid: int) -> AutoencoderSettings:
    """Put a basis autoencoder on another grid: one more or one fewer halving down to 4 voxels."""
    change = (grid // settings.grid).bit_length() - 1 if grid > settings.grid else -1
    channels = settings.channels + settings.channels[-1:] if change > 0 else settings.channels[1:]
    # a voxel of 0.47 A needs a Gaussian of 0.35 A, or peaks fall between voxels
    return replace(settings, grid=grid, channels=channels, sigma=0.35 if grid < 64 else 0.26)
