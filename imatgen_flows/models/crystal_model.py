"""The trained networks together: they map crystals to latent vectors, and latent vectors to crystals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.models.autoencoder import ImageAutoencoder, MetricAutoencoder, build_autoencoder
from imatgen_flows.models.materials_vae import MaterialsVAE
from imatgen_flows.models.presets import Preset
from imatgen_flows.models.registry import ModelRole
from imatgen_flows.representation import CrystalCodec, CrystalImages
from imatgen_flows.representation.views import at_volume, scaled

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from imatgen_flows.representation import DecodeQuality, PackedCrystals


BATCH = 128  # crystals whose images are held in memory at once
LOOSEST = 1.5  # largest volume of a decoded crystal, in units of that of its composition in other compounds; a choice


class ImageCompressor:
    """Both image autoencoders: they map a crystal to the codes of its channels and back (paper, Figure 3, first step).

    Where the preset has a volume, images show all crystals at that volume per atom, and what is read from images is scaled to
    the volume that its elements take up: then the networks learn prototypes, whatever the elements.

    Parameters
    ----------
    preset : settings of the networks
    elements : in the order of the image channels
    cell, basis : the trained networks
    """

    def __init__(
        self,
        preset: Preset,
        elements: tuple[str, ...],
        cell: ImageAutoencoder | MetricAutoencoder,
        basis: ImageAutoencoder | MetricAutoencoder,
    ) -> None:
        self.preset, self.elements = preset, tuple(elements)
        self.cell, self.basis = cell.eval(), basis.eval()
        self.codec = CrystalCodec(
            elements=self.elements,
            cell_grid=preset.cell.grid,
            cell_sigma=preset.cell.sigma,
            grid=preset.basis.grid,
            box=preset.box,
            sigma=preset.basis.sigma,
        )

    @property
    def width(self) -> int:
        """Length of a channel's code."""
        return max(self.preset.basis.code, self.preset.cell.code)

    def drawn(self, crystals: PackedCrystals) -> PackedCrystals:
        """Scale crystals to the volume at which the images show them."""
        return crystals if self.preset.volume is None else at_volume(crystals, self.preset.volume)

    @torch.no_grad()
    def read(self, images: CrystalImages) -> tuple[list[Structure | None], list[DecodeQuality]]:
        """Read structures from images, at the volume that their elements take up, as `CrystalCodec.decode`."""
        crystals, qualities = self.codec.read(images)
        if self.preset.volume is not None:
            factors = natural_scale(crystals)
            crystals = scaled(crystals, factors)
            qualities = [
                replace(quality, min_distance=quality.min_distance * factor)
                for quality, factor in zip(qualities, factors.tolist(), strict=True)
            ]
        return crystals.structures(), qualities

    @torch.no_grad()
    def encode(self, crystals: PackedCrystals, batch_size: int = BATCH) -> tuple[Tensor, Tensor]:
        """Map crystals to codes.

        Returns
        -------
        codes : (B, max_elements + 1, width); an element's channel is zero where the crystal has none of it, and the
            last channel is the cell's, padded with zeros
        present : (B, max_elements + 1) bool, the channels that are not empty
        """
        crystals, channels = self.drawn(crystals), self.preset.max_elements + 1
        codes = torch.zeros(len(crystals), channels, self.width)
        present = torch.zeros(len(crystals), channels, dtype=torch.bool)
        present[:, : len(self.elements)] = crystals.mask.any(dim=2).cpu()
        present[:, -1] = True
        for start in range(0, len(crystals), batch_size):
            rows = torch.arange(start, min(start + batch_size, len(crystals)))
            images = self.codec.encode(crystals[rows])
            if isinstance(self.cell, MetricAutoencoder):  # a fit to the image would only give the same cell
                cell = self.cell.encode_lattices(crystals.lattices[rows])
            else:
                cell = self.cell.encode(images.cell)
            codes[rows, -1, : self.preset.cell.code] = cell
            for channel in range(len(self.elements)):
                here = present[rows, channel]
                if here.any():
                    codes[rows[here], channel, : self.preset.basis.code] = self.basis.encode(
                        images.basis[here, channel]
                    )
        return codes, present

    def shortest_distances(self, atom_counts: Tensor) -> NDArray[np.float64]:
        """Return the shortest known distances (B, E, E) in A of two elements, in the images of these contents (B, E).

        Raises
        ------
        InputError
            Where the channels are roles, or an element is beyond Cm.
        """
        from pymatgen.core import Composition

        from imatgen_flows.crystals.shortest_distances import shortest_distances
        from imatgen_flows.crystals.volumes import expected_volume

        distances = shortest_distances(self.elements)
        scales = np.ones(len(atom_counts))
        if (volume := self.preset.volume) is not None:
            crystals = [dict(zip(self.elements, row, strict=True)) for row in atom_counts.tolist()]
            taken_up = np.array([expected_volume(Composition(crystal)) for crystal in crystals])
            scales = (volume * atom_counts.sum(dim=1).numpy() / taken_up) ** (1 / 3)
        return np.asarray(scales[:, None, None] * distances)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> CrystalImages:
        """Map codes (B, C, width) to images."""
        cell = self.cell.decode(codes[:, -1, : self.preset.cell.code])
        basis = [self.basis.decode(codes[:, i, : self.preset.basis.code]) for i in range(len(self.elements))]
        return CrystalImages(cell=cell, basis=torch.stack(basis, dim=1))


class CrystalModel:
    """The model of crystals: image autoencoders and VAE, with its prior (paper, Figures 3 and 4).

    Parameters
    ----------
    compressor : the trained image autoencoders
    vae : the trained VAE over their codes
    """

    def __init__(self, compressor: ImageCompressor, vae: MaterialsVAE) -> None:
        self.compressor, self.vae = compressor, vae.eval()

    def with_elements(self, elements: Sequence[str]) -> CrystalModel:
        """Use the same networks for the channels of other elements, as those of prototypes are used for any system."""
        parts = self.compressor
        return CrystalModel(ImageCompressor(parts.preset, tuple(elements), parts.cell, parts.basis), self.vae)

    @torch.no_grad()
    def encode(self, crystals: PackedCrystals) -> Tensor:
        """Map crystals to latent vectors (B, latent)."""
        return self.vae.encode(self.compressor.encode(crystals)[0])

    @torch.no_grad()
    def decode(self, latent: Tensor) -> CrystalImages:
        """Map latent vectors (B, latent) to images."""
        return self.compressor.decode(self.vae.decode(latent))

    @torch.no_grad()
    def stability(self, latent: Tensor) -> Tensor:
        """Probability (B,) that the unrelaxed structure is stable."""
        return torch.sigmoid(self.vae.stability(latent))


def build_model(preset: Preset, elements: Sequence[str], weights: Mapping[str, Mapping[str, Tensor]]) -> CrystalModel:
    """Build the model of a preset for the channels of some elements, with the weights of a model file, by role."""
    cell, basis = build_autoencoder(preset.cell), ImageAutoencoder(preset.basis)
    compressor = ImageCompressor(preset, tuple(elements), cell, basis)
    vae = MaterialsVAE(preset.vae, preset.max_elements + 1, compressor.width, preset.prior)
    for role, network in ((ModelRole.CELL, cell), (ModelRole.BASIS, basis), (ModelRole.VAE, vae)):
        network.load_state_dict(weights[role.value])
    return CrystalModel(compressor, vae)


def natural_scale(crystals: PackedCrystals) -> Tensor:
    """Find the factors (B,) on lengths that bring crystals to the volume that their elements take up.

    It is that of the composition in other compounds, or larger where bonds would be too short, as for substituted structures,
    but not much larger: atoms that overlap all the same were not drawn where they belong. The factor is one where a crystal
    has no cell or no atoms.
    """
    from imatgen_flows.crystals.volumes import expected_volume, fitting_volume

    def factor(crystal: Structure | None) -> float:
        if crystal is None:
            return 1.0
        volume = min(fitting_volume(crystal), LOOSEST * expected_volume(crystal.composition))
        return float((volume / crystal.volume) ** (1 / 3))

    return torch.tensor([factor(crystal) for crystal in crystals.structures()])


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Write the weights of a network as safetensors, whole or not at all."""
    from safetensors.torch import save

    write_atomic(path, save({name: value.contiguous() for name, value in model.state_dict().items()}))


def load_weights(model: torch.nn.Module, path: Path) -> None:
    """Read the weights of a network with the same settings.

    Raises
    ------
    InputError
        Where they are of a network of other settings, as another version of the program has them.
    """
    from safetensors.torch import load_file

    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise InputError(
            f"{path}: weights of another network than the preset makes now. Another version of the program trained it: "
            "use that one, or run the campaign in a new directory."
        ) from error
