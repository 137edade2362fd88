"""What training and sampling cost on this machine: a few steps of each network and one batch of crystals are timed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from imatgen_flows.models.crystal_model import CrystalModel, ImageCompressor
from imatgen_flows.models.fitting import fit_basis_autoencoder, fit_cell_autoencoder, fit_prior, fit_vae, schedule_of
from imatgen_flows.models.inversion import STEPS, invert_decoder
from imatgen_flows.models.registry import ModelRole
from imatgen_flows.observer import Nobody, observed_by
from imatgen_flows.representation.views import at_volume

if TYPE_CHECKING:
    from imatgen_flows.models.presets import Preset
    from imatgen_flows.models.training import History
    from imatgen_flows.representation import PackedCrystals

CRYSTALS = 16  # that are encoded, decoded and read
PATIENCE = 1.5  # s; where the first step takes longer, no more are timed
MORE_STEPS = 4  # of which the first does not count
INVERSION_STEPS = 2  # that are timed
PRIOR = "prior"  # beside the roles of networks

Settings = Any  # of a network and of its training
Fit = Callable[[Settings, Path], "tuple[Any, History]"]


@dataclass(frozen=True)
class NetworkCost:
    """What the networks of a preset cost, s.

    Attributes
    ----------
    steps : of training, by role, and of the prior
    encode, decode, read : a crystal, its images rendered; through both decoders; its atoms and cell found in the images
    invert : a crystal and step of latent inversion; 0 for networks that are not inverted
    """

    steps: Mapping[str, float]
    encode: float
    decode: float
    read: float
    invert: float

    def training(self, preset: Preset, role: str, items: Mapping[str, int]) -> float:
        """Return the time of the training of a network, s; a VAE's is that of its prior too, where one is trained.

        Parameters
        ----------
        preset : settings of the networks, with their epochs
        role : of the network
        items : number of training items by role
        """
        parts = [(role, getattr(preset, role))]
        if role == ModelRole.VAE and preset.prior and items[role] >= preset.prior.min_train_size:
            parts.append((PRIOR, preset.prior))
        return sum(self.steps.get(name, 0.0) * schedule_of(part).n_steps(items[role]) for name, part in parts)

    def sample(self, preset: Preset) -> float:
        """Return the time of one sample, s: its projections, and its last decoding."""
        once = self.decode + self.read + self.encode
        return preset.projections * (once + preset.inversion_steps * self.invert) + self.decode + self.read

    def reconstruct(self, crystals: int, held_out: int) -> float:
        """Return the time to measure the reconstruction, s: by codes and by the whole model, of some by inversion too."""
        return crystals * (self.encode + 2 * (self.decode + self.read)) + 2 * held_out * STEPS * self.invert


def measure_network_cost(preset: Preset, crystals: PackedCrystals, seed: int, device: str = "cpu") -> NetworkCost:
    """Time a few steps of training of each network on some of its crystals, and what sampling does with a batch.

    Parameters
    ----------
    preset : settings of the networks
    crystals : training structures
    seed : of weights and noise
    device : of the networks
    """
    with tempfile.TemporaryDirectory() as directory, observed_by(Nobody()):
        return _measure(preset, crystals, seed, Path(directory), device)


def _measure(preset: Preset, crystals: PackedCrystals, seed: int, directory: Path, device: str) -> NetworkCost:
    steps: dict[str, float] = {}
    drawn = crystals if preset.volume is None else at_volume(crystals, preset.volume)
    cells, atoms = _some(drawn, preset.cell.batch_size), _some(drawn, preset.basis.batch_size // len(drawn.elements))
    cell, steps[ModelRole.CELL.value] = _time_steps(
        lambda settings, where: fit_cell_autoencoder(cells, settings, seed, where, device),
        preset.cell,
        len(cells),
        directory / "cell",
    )
    basis, steps[ModelRole.BASIS.value] = _time_steps(
        lambda settings, where: fit_basis_autoencoder(atoms, settings, seed, where, device),
        preset.basis,
        int(atoms.mask.any(dim=2).sum()),
        directory / "basis",
    )
    compressor = ImageCompressor(preset, drawn.elements, cell.to("cpu"), basis.to("cpu"))
    few = _some(crystals, CRYSTALS)
    (codes, present), encode = _time(lambda: compressor.encode(few))
    _, decode = _time(lambda: compressor.decode(codes))
    # images of whole crystals, since untrained networks make images that take longer to read
    images = compressor.codec.encode(compressor.drawn(few))
    _, read = _time(lambda: compressor.codec.read_unchecked(images))
    vae, steps[ModelRole.VAE.value] = _time_vae(preset, codes, present, len(crystals), seed, directory, device)
    if preset.prior and len(crystals) >= preset.prior.min_train_size:
        steps[PRIOR] = _time_prior(preset, vae, codes, len(crystals), seed, directory)
    model, invert = CrystalModel(compressor, vae.to("cpu")), 0.0
    if preset.basis.style == "patched":
        _, taken = _time(lambda: invert_decoder(model, few, INVERSION_STEPS))
        invert = max(0.0, taken - encode) / INVERSION_STEPS
    each = len(few)
    return NetworkCost(steps, encode / each, decode / each, read / each, invert / each)


def _some(crystals: PackedCrystals, number: int) -> PackedCrystals:
    """Take some crystals, from the whole list evenly."""
    chosen = min(len(crystals), max(2, number))
    return crystals[torch.linspace(0, len(crystals) - 1, chosen).round().long()]


def _time(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of some work and the shorter of two times that it takes, s: the first time warms up."""
    taken = []
    for _ in range(2):
        began = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - began)
        if taken[0] > PATIENCE:
            break
    return result, min(taken)


def _time_steps(fit: Fit, settings: Settings, items: int, directory: Path) -> tuple[Any, float]:
    """Return a network after some steps, and the time of one, s; 0 for a network that needs no training."""
    once = replace(settings, epochs=1, min_steps=0)
    network, history = fit(once, directory / "once")
    if not history:
        return network, 0.0
    per_epoch = schedule_of(once).steps_per_epoch(items)
    if history[-1]["seconds"] > PATIENCE:
        return network, history[-1]["seconds"] / per_epoch
    network, history = fit(replace(once, epochs=MORE_STEPS), directory / "more")
    return network, (history[-1]["seconds"] - history[0]["seconds"]) / (MORE_STEPS - 1) / per_epoch


def _time_vae(
    preset: Preset, codes: Tensor, present: Tensor, items: int, seed: int, directory: Path, device: str
) -> tuple[Any, float]:
    batch = min(items, preset.vae.batch_size)
    rows = torch.arange(batch) % len(codes)
    stable = torch.ones(batch)

    def fit(settings: Settings, where: Path) -> Any:
        timed = replace(preset, vae=settings)
        return fit_vae(codes[rows], present[rows], stable, timed, seed, where, device)

    return _time_steps(fit, preset.vae, batch, directory / "vae")


def _time_prior(preset: Preset, vae: Any, codes: Tensor, items: int, seed: int, directory: Path) -> float:
    assert preset.prior is not None
    batch = min(items, preset.prior.batch_size)
    conditions = torch.ones(batch, preset.max_elements + 1)

    def fit(settings: Settings, where: Path) -> Any:
        vae.prior.settings = settings
        return vae, fit_prior(vae, codes[torch.arange(batch) % len(codes)], conditions, seed, where)

    return _time_steps(fit, preset.prior, batch, directory / "prior")[1]
