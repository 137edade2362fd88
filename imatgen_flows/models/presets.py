"""Settings of the networks: `paper` as published, `default` the best we know for a CPU, `large` for a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias, TypedDict, TypeVar, cast

from imatgen_flows.crystals.box import BOX
from imatgen_flows.models.registry import PRESETS

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


@dataclass(frozen=True)
class AutoencoderSettings:
    """Settings of one image autoencoder and of its training."""

    grid: int  # voxels along an edge
    sigma: float  # width of the Gaussians, A
    code: int  # length of the code
    channels: tuple[int, ...]  # of the stride-2 convolutions, or of the merges of blocks
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
    origins: bool = False  # show each crystal from a random origin of its cell, and inverted, in training
    strain: float = 0.0  # standard deviation of the components, in training, where there are random origins


@dataclass(frozen=True)
class VAESettings:
    """Settings of the VAE and of its training."""

    style: Literal["published", "normalised"]
    latent: int  # length of the latent vector
    channels: int  # width of the layers
    classifier_weight: float  # of the classifier's loss beside that of the codes
    kl_weight: float  # of the KL divergence beside the loss of the codes
    latent_scale: float  # z = scale (mu + std eps), to decoder and classifier
    learning_rate: float
    cosine: bool
    batch_size: int
    epochs: int
    min_steps: int = 0
    code_noise: float = 0.0  # on codes of unit variance, in training
    # of the sampler `perturb`: distance from an anchor in latent space (style `published`), or standard deviation of the
    # noise in units of the data's (`normalised`)
    perturbation: float = 0.001


@dataclass(frozen=True)
class PriorSettings:
    """Settings of the flow prior and of its training."""

    width: int  # of the layers
    blocks: int  # residual
    steps: int  # of the integration, two evaluations each
    learning_rate: float
    batch_size: int
    epochs: int
    min_steps: int = 0
    # training structures; with fewer, a prior and near neighbours only repeat them: of 900 samples from 298 structures 39
    # were new, where a Gaussian gave 240 (notebook/2026-11-27-sampling-variants.md). The value itself was not tuned
    min_train_size: int = 2000
    energy_dropout: float = 0.2  # share of training vectors without an energy, as for guidance (Ho and Salimans, 2022)
    energy_noise: float = (
        0.1  # eV/atom, on the energies in training, since an exact one identifies its structure; not tuned
    )
    cosine: bool = True


TrainedSettings = TypeVar("TrainedSettings", AutoencoderSettings, VAESettings, PriorSettings)


@dataclass(frozen=True)
class Preset:
    """Settings of all three networks."""

    name: str
    cell: AutoencoderSettings
    basis: AutoencoderSettings
    vae: VAESettings
    prior: PriorSettings | None = None  # a Gaussian, as published, where there is none
    max_elements: int = 5  # channels of the VAE, beside the cell's
    box: float = BOX  # A
    projections: int = 0  # passes of decode, render, encode for each sample (`models.projection`)
    inversion_steps: int = 0  # steps of latent inversion after each of them, where the encoder has lost something
    volume: float | None = None  # A^3 per atom at which crystals are drawn; None as they are

    def to_dict(self, trained: Mapping[str, dict[str, Json]] | None = None) -> PresetRecord:
        """Return the settings as plain values.

        Parameters
        ----------
        trained : by role, settings that networks were trained with where they are not those of the preset
        """
        return cast("PresetRecord", asdict(self) | dict(trained or {}))


class PresetRecord(TypedDict):
    """A preset as plain values, perhaps of another version of this program."""

    name: str
    cell: dict[str, Json]
    basis: dict[str, Json]
    vae: dict[str, Json]
    prior: dict[str, Json] | None
    max_elements: int
    box: float
    projections: int
    inversion_steps: int
    volume: float | None


# Noh et al., Matter 1, 1370 (2019), Section S1, and the authors' scripts
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
    vae=VAESettings(
        style="published", latent=500, channels=100, classifier_weight=5e-7, kl_weight=1e-6, latent_scale=1e-4,
        learning_rate=1e-4, cosine=False, batch_size=64, epochs=142,
    ),
)  # fmt: skip

# The cell as the six numbers of log G is exact, where trained autoencoders of the cell image left one cell in five
# more than 0.1 A or 2 degrees off (notebook/2026-11-23-cell-autoencoders.md). notebook/2026-11-27-ablation.md and
# 2026-11-26-basis-autoencoders.md have what was measured of the other settings; those that they do not name were not tuned.
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
    vae=VAESettings(
        style="normalised", latent=256, channels=1024, classifier_weight=0.05, kl_weight=0.003, latent_scale=1.0,
        learning_rate=1e-3, cosine=True, batch_size=128, epochs=200, min_steps=2000, code_noise=0.05, perturbation=0.3,
    ),
    prior=PriorSettings(
        width=512, blocks=6, steps=50, learning_rate=1e-3, batch_size=256, epochs=150, min_steps=2000,
    ),
    projections=1,
)  # fmt: skip


# For a GPU: with convolutions more held-out crystals are reconstructed (94.7 instead of 88.1 %,
# notebook/2026-11-26-basis-autoencoders.md)
LARGE = replace(
    DEFAULT,
    name="large",
    basis=replace(DEFAULT.basis, code=200, channels=(64, 64, 64), style="convolved", learning_rate=1e-3, epochs=20),
)


PRETRAINED_PRIOR = PriorSettings(
    width=512, blocks=6, steps=20, learning_rate=1e-3, batch_size=256, epochs=80, min_steps=2000
)

# Of many chemical systems. The volume per atom is near the mean of the Materials Project: crystals have room in the box, and
# atoms are far enough apart for the grid
PRETRAINED = replace(
    DEFAULT,
    name="pretrained",
    basis=replace(DEFAULT.basis, epochs=12, origins=True, strain=0.01),
    vae=replace(DEFAULT.vae, epochs=20),  # each of `VIEWS` views of all crystals
    prior=PRETRAINED_PRIOR,
    projections=4,
    inversion_steps=20,
    volume=18.0,
)

# Its sizes are a choice: it was never trained
PRETRAINED_LARGE = replace(
    PRETRAINED,
    name="pretrained-large",
    basis=replace(LARGE.basis, epochs=40, origins=True, strain=0.01),
    vae=replace(PRETRAINED.vae, latent=512, channels=2048, epochs=60),
    prior=replace(PRETRAINED_PRIOR, width=1024, blocks=8, epochs=300),
)

# one for each entry of `PRESETS`
SETTINGS = {preset.name: preset for preset in (DEFAULT, LARGE, PAPER, PRETRAINED, PRETRAINED_LARGE)}


def get_preset(name: str, grid: int | None = None, epochs: float = 1.0) -> Preset:
    """Return a preset, perhaps on another grid of the basis images, or with a factor on its epochs.

    Raises
    ------
    InputError
        Where there is no such preset.
    """
    preset = SETTINGS[PRESETS[name].name]
    if grid is not None and grid != preset.basis.grid:
        preset = replace(preset, basis=_on_grid(preset.basis, grid))
    return replace(
        preset,
        cell=_scaled(preset.cell, epochs),
        basis=_scaled(preset.basis, epochs),
        vae=_scaled(preset.vae, epochs),
        prior=_scaled(preset.prior, epochs) if preset.prior else None,
    )


def _scaled(settings: TrainedSettings, epochs: float) -> TrainedSettings:
    """Multiply epochs and steps by a factor; a network that is trained gets one epoch at least."""
    return replace(
        settings,
        epochs=round(settings.epochs * epochs) or min(1, settings.epochs),
        min_steps=round(settings.min_steps * epochs),
    )


def _on_grid(settings: AutoencoderSettings, grid: int) -> AutoencoderSettings:
    """Change the grid of a basis autoencoder, with one more or one fewer halving down to 4 voxels."""
    change = (grid // settings.grid).bit_length() - 1 if grid > settings.grid else -1
    channels = settings.channels + settings.channels[-1:] if change > 0 else settings.channels[1:]
    # a voxel of 0.47 A needs a Gaussian of 0.35 A, or peaks fall between voxels
    return replace(settings, grid=grid, channels=channels, sigma=0.35 if grid < 64 else 0.26)
