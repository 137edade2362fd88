"""Pretraining: the three networks learn the prototypes of many chemical systems, in two steps that each resume."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from imatgen_flows.io.files import writing
from imatgen_flows.models.autoencoder import ImageAutoencoder, build_autoencoder
from imatgen_flows.models.crystal_model import CrystalModel, ImageCompressor, load_weights, save_weights
from imatgen_flows.models.fitting import fit_basis_autoencoder, fit_cell_autoencoder, fit_prior, fit_vae
from imatgen_flows.models.materials_vae import MaterialsVAE
from imatgen_flows.models.registry import ModelRole
from imatgen_flows.representation.views import random_views

if TYPE_CHECKING:
    from imatgen_flows.models.presets import Preset
    from imatgen_flows.models.training import History
    from imatgen_flows.representation import PackedCrystals

logger = logging.getLogger(__name__)

# origins of its cell from which the VAE sees each crystal: that of its standard cell, and random ones. The prior knows the
# first alone: one frame of each crystal is easier to learn than all, and enough to draw from
VIEWS = 4
SUFFIX = ".safetensors"


def pretrain_autoencoders(
    crystals: PackedCrystals, preset: Preset, seed: int, directory: Path, device: str = "cpu"
) -> tuple[ImageCompressor, dict[str, History]]:
    """Train both image autoencoders, or read them where an earlier call has finished them.

    Parameters
    ----------
    crystals : packed by role, at the volume of the preset
    preset : settings
    seed : of weights, order, views and noise
    directory : for checkpoints and weights
    device : of the networks

    Returns
    -------
    the networks, and the history of each that was trained here
    """
    cell, basis = build_autoencoder(preset.cell), ImageAutoencoder(preset.basis)
    histories: dict[str, History] = {}
    fits = {ModelRole.CELL.value: (cell, fit_cell_autoencoder), ModelRole.BASIS.value: (basis, fit_basis_autoencoder)}
    for role, (network, fit) in fits.items():
        path = directory / f"{role}{SUFFIX}"
        if not path.is_file():
            trained, histories[role] = fit(crystals, getattr(preset, role), seed, directory / role, device)
            save_weights(trained.to("cpu"), path)
        load_weights(network, path)
    return ImageCompressor(preset, crystals.elements, cell, basis), histories


def pretrain_vae(
    compressor: ImageCompressor,
    crystals: PackedCrystals,
    seed: int,
    directory: Path,
    device: str = "cpu",
    views: int = VIEWS,
) -> tuple[CrystalModel, dict[str, History]]:
    """Train the VAE on all views and the prior on the first, or read both where an earlier call has finished them.

    An epoch of the VAE passes over all views. The prior is conditioned on the atoms of each role, and on no energy, since
    there is none.

    Parameters
    ----------
    compressor : trained image autoencoders
    crystals, seed, directory, device : as for `pretrain_autoencoders`
    views : of each crystal
    """
    preset, path = compressor.preset, directory / f"{ModelRole.VAE.value}{SUFFIX}"
    vae = MaterialsVAE(preset.vae, preset.max_elements + 1, compressor.width, preset.prior)
    histories: dict[str, History] = {}
    if not path.is_file():
        codes, present = encode_views(compressor, crystals, views, seed, directory / f"codes{SUFFIX}")
        unknown = torch.full((len(codes),), torch.nan)
        trained, histories[ModelRole.VAE.value] = fit_vae(
            codes, present, unknown, preset, seed, directory / "vae", device
        )
        number = len(crystals)
        conditions = torch.cat([crystals.counts().float(), unknown[:number, None]], dim=1)
        histories["prior"] = fit_prior(trained, codes[:number], conditions, seed, directory / "prior")
        save_weights(trained.to("cpu"), path)
    load_weights(vae, path)
    return CrystalModel(compressor, vae), histories


def encode_views(
    compressor: ImageCompressor, crystals: PackedCrystals, views: int, seed: int, path: Path
) -> tuple[Tensor, Tensor]:
    """Encode some views of each crystal, the first as it is, or read the codes that an earlier call has written.

    Returns
    -------
    codes (views B, C, width) and present channels, view by view, as `ImageCompressor.encode`
    """
    from safetensors.torch import load_file, save_file

    if path.is_file():
        read = load_file(path)
        return read["codes"], read["present"]
    random, strain = torch.Generator().manual_seed(seed), compressor.preset.basis.strain
    seen = [crystals, *(random_views(crystals, random, strain) for _ in range(views - 1))]
    parts = [compressor.encode(view) for view in seen]
    codes, present = (torch.cat(part) for part in zip(*parts, strict=True))
    with writing(path) as temporary:  # a part of a file would be taken for all codes
        save_file({"codes": codes, "present": present}, temporary)
    return codes, present
