"""Train the three networks on packed crystals; images are rendered batch by batch on the device, and never stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from imatgen_flows.crystals.box import BOX
from imatgen_flows.models.autoencoder import ImageAutoencoder, MetricAutoencoder, build_autoencoder
from imatgen_flows.models.crystal_model import load_weights
from imatgen_flows.models.distributed import initialise
from imatgen_flows.models.losses import code_loss, image_loss, kl_divergence, stability_loss
from imatgen_flows.models.materials_vae import MaterialsVAE
from imatgen_flows.models.presets import AutoencoderSettings, Preset, PriorSettings, VAESettings
from imatgen_flows.models.training import History, Schedule, accelerated, train
from imatgen_flows.representation import BasisImageCodec, CellImageCodec
from imatgen_flows.representation.views import random_views

if TYPE_CHECKING:
    from collections.abc import Callable

    from imatgen_flows.representation import PackedCrystals

Network = TypeVar("Network", bound=nn.Module)


def fit_cell_autoencoder(
    crystals: PackedCrystals,
    settings: AutoencoderSettings,
    seed: int,
    directory: Path,
    device: str = "cpu",
    start: Path | None = None,
) -> tuple[ImageAutoencoder | MetricAutoencoder, History]:
    """Train the cell autoencoder on the cells of all crystals.

    Parameters
    ----------
    crystals : training structures
    settings : of the preset
    seed : of the initial weights, the data order and all noise
    directory : for the checkpoint and the metrics
    device : of the network
    start : weights of the same network to continue from, instead of random ones

    Returns
    -------
    the network, in evaluation mode, and its history, one row an epoch
    """
    torch.manual_seed(seed)
    model = _placed(build_autoencoder(settings), device)
    if start:
        load_weights(model, start)
    lattices = crystals.lattices.to(device)
    if isinstance(model, MetricAutoencoder):
        if not start:  # codes must keep their meaning for a VAE that continues from earlier weights too
            model.fit(lattices)
        return model.eval(), []
    codec = CellImageCodec(grid=settings.grid, sigma=settings.sigma)

    def draw(items: Tensor, _generator: torch.Generator) -> Tensor:
        return codec.encode(lattices[items])

    return model, _fit_images(model, draw, len(lattices), settings, seed, directory, device, "cell autoencoder")


def fit_basis_autoencoder(
    crystals: PackedCrystals,
    settings: AutoencoderSettings,
    seed: int,
    directory: Path,
    device: str = "cpu",
    start: Path | None = None,
    box: float = BOX,
) -> tuple[ImageAutoencoder, History]:
    """Train the basis autoencoder on every element's image of all crystals; one network serves all elements.

    Parameters and returns as `fit_cell_autoencoder`; `box` is the edge of the image in A.
    """
    torch.manual_seed(seed)
    model = _placed(ImageAutoencoder(settings), device)
    if start:
        load_weights(model, start)
    codec = BasisImageCodec(grid=settings.grid, box=box, sigma=settings.sigma)
    crystals = crystals.to(device)
    crystal, channel = crystals.mask.any(dim=2).nonzero(as_tuple=True)

    def draw(items: Tensor, generator: torch.Generator) -> Tensor:
        shown = crystals[crystal[items]]
        if settings.origins:
            shown = random_views(shown, generator, settings.strain)
        one_each = torch.arange(len(items)), channel[items]
        here = shown.positions[one_each]
        if settings.shift or settings.jitter:
            shift = settings.shift * torch.randn(len(items), 1, 3, generator=generator)
            jitter = settings.jitter * torch.randn(here.shape, generator=generator)
            here = here + (shift + jitter).to(device)
        return codec.encode(here, shown.mask[one_each])

    return model, _fit_images(model, draw, len(crystal), settings, seed, directory, device, "basis autoencoder")


def fit_vae(
    codes: Tensor,
    present: Tensor,
    stable: Tensor,
    preset: Preset,
    seed: int,
    directory: Path,
    device: str = "cpu",
    start: Path | None = None,
) -> tuple[MaterialsVAE, History]:
    """Train the VAE and its classifier on the codes of the training structures.

    Parameters
    ----------
    codes : (B, C, width), one channel an element and the last for the cell
    present : (B, C) bool, the channels that a crystal has
    stable : (B,), 1 or 0, NaN where the energy is unknown
    preset, seed, directory, device, start : as for the autoencoders

    Returns
    -------
    the network, in evaluation mode, and its history; its prior is trained by `fit_prior`
    """
    torch.manual_seed(seed)
    settings: VAESettings = preset.vae
    model = _placed(MaterialsVAE(settings, codes.shape[1], codes.shape[2], preset.prior), device)
    if start:
        load_weights(model, start)
    codes, present, stable = codes.to(device), present.to(device), stable.to(device)
    weights = _code_weights(preset, present, codes.shape[2])

    def loss(model: nn.Module, items: Tensor, generator: torch.Generator) -> Tensor:
        clean = codes[items]
        noise = torch.randn(len(items), settings.latent, generator=generator).to(device)
        blur = settings.code_noise * torch.randn(clean.shape, generator=generator).to(device)
        output, logits, mean, log_variance = model(clean + blur * (weights[items] > 0), noise)
        return (
            code_loss(output, clean, weights[items])
            + settings.kl_weight * kl_divergence(mean, log_variance)
            + settings.classifier_weight * stability_loss(logits, stable[items])
        )

    # without the prior, which no step of this training changes: checkpoints need not hold it
    prior, model.prior = model.prior, None
    history = train(model, loss, len(codes), schedule_of(settings), seed, directory, label="VAE")
    model.prior = prior
    return model, history


def fit_prior(model: MaterialsVAE, codes: Tensor, conditions: Tensor, seed: int, directory: Path) -> History:
    """Train the prior of a VAE on latent vectors drawn from the posterior of the training structures.

    Parameters
    ----------
    model : trained; its prior is changed in place, and keeps its scales where it was trained before
    codes : (B, C, width), as for `fit_vae`
    conditions : (B, C), atom counts and an energy, as `LatentPrior` has them
    seed, directory : as for the autoencoders

    Returns
    -------
    its history, empty where the VAE has no prior
    """
    prior = model.prior
    if prior is None:
        return []
    device = prior.mean.device
    conditions = conditions.to(device)
    with torch.no_grad():
        mean, log_variance = model.posterior(codes.to(device))
    scale, width = model.settings.latent_scale, (log_variance / 2).exp()
    if not prior.trained:
        prior.fit_scale(scale * mean, conditions)

    def loss(_: nn.Module, items: Tensor, generator: torch.Generator) -> Tensor:
        n, given = len(items), conditions[items].clone()
        blur, noise = torch.randn(2, n, mean.shape[1], generator=generator).to(device)
        time, hide = torch.rand(2, n, generator=generator).to(device)
        given[:, -1] += prior.settings.energy_noise * torch.randn(n, generator=generator).to(device)
        given[hide < prior.settings.energy_dropout, -1] = torch.nan
        return prior.loss(scale * (mean[items] + width[items] * blur), given, noise, time)

    return train(prior, loss, len(codes), schedule_of(prior.settings), seed, directory, label="prior")


def _placed(model: Network, device: str) -> Network:
    """Move a network to its device, with the channels of volumes last: convolutions then take a third less time on a CPU."""
    initialise(device)  # under torchrun, `cuda` is the GPU of this process from here on
    model = model.to(device)
    return model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # which torch's stubs leave out


def _fit_images(
    model: ImageAutoencoder,
    draw: Callable[[Tensor, torch.Generator], Tensor],
    n_items: int,
    settings: AutoencoderSettings,
    seed: int,
    directory: Path,
    device: str,
    label: str,
) -> History:
    """Train an image autoencoder; `draw` renders the images of a batch, with the random numbers of its step."""

    def loss(_: nn.Module, items: Tensor, generator: torch.Generator) -> Tensor:
        images = draw(items, generator)
        noise = _code_noise(len(items), settings, generator, device)
        with accelerated(device):
            output, target = model.compare(images, noise)
        return image_loss(output.float(), target, settings.loss)

    return train(model, loss, n_items, schedule_of(settings), seed, directory, label=label)


def _code_weights(preset: Preset, present: Tensor, width: int) -> Tensor:
    """Return the weights (B, C, width) of the elements of codes in the loss.

    As published, all have the same weight, empty channels and padding included. Ours weight channels that exist, each as
    much as another: the code of a cell is shorter than that of an element, and each of its numbers weighs more.
    """
    if preset.vae.style == "published":
        return torch.ones(*present.shape, width, device=present.device)
    lengths = [preset.basis.code] * preset.max_elements + [preset.cell.code]
    weights = torch.zeros(len(lengths), width, device=present.device)
    for channel, length in enumerate(lengths):
        weights[channel, :length] = 1 / length
    return weights * present[..., None]


def schedule_of(settings: AutoencoderSettings | VAESettings | PriorSettings) -> Schedule:
    """Return the schedule of a network; the published ones do not clip gradients."""
    return Schedule(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        cosine=settings.cosine,
        min_steps=settings.min_steps,
        clip=1.0 if getattr(settings, "style", "normalised") == "normalised" else None,
    )


def _code_noise(n: int, settings: AutoencoderSettings, generator: torch.Generator, device: str) -> Tensor | None:
    """Draw the noise (n, code) on codes of a step, where there is any."""
    if not settings.code_noise:
        return None
    return settings.code_noise * torch.randn(n, settings.code, generator=generator).to(device)
