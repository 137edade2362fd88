"""The trained networks of a campaign: their preset, and how they are read back from their documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import Model
from imatgen_flows.io.artifacts import ArtifactRef, ArtifactStore
from imatgen_flows.jobs.device import use_device
from imatgen_flows.jobs.documents import DatasetDocument, NetworkDocuments
from imatgen_flows.models.registry import ANEW, PRETRAINED

if TYPE_CHECKING:
    from imatgen_flows.models.crystal_model import CrystalModel, ImageCompressor
    from imatgen_flows.models.presets import Preset


def preset_of(model: Model) -> Preset:
    """Return the preset that a campaign's section `model` asks for."""
    from imatgen_flows.models.presets import get_preset

    return get_preset(model.preset, model.grid, model.epochs)


def starting_file(model: Model) -> Path | None:
    """Return the model file that a campaign's networks start from; None where they are trained anew.

    Raises
    ------
    InputError
        Where the pretrained model is missing from this installation.
    """
    if model.start == PRETRAINED:
        from imatgen_flows.models.pretrained import shipped_model

        return shipped_model()
    return None if model.start == ANEW else Path(model.start)


def load_compressor(dataset: DatasetDocument, networks: NetworkDocuments, model: Model) -> ImageCompressor:
    """Read both image autoencoders back."""
    import torch

    from imatgen_flows.models.autoencoder import ImageAutoencoder, build_autoencoder
    from imatgen_flows.models.crystal_model import ImageCompressor, load_weights

    use_device()
    preset = preset_of(model)
    cell, basis = build_autoencoder(preset.cell), ImageAutoencoder(preset.basis)
    for network, document in ((cell, networks["cell"]), (basis, networks["basis"])):
        load_weights(network, document.weights.path())
        # faster where there are convolutions
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload] # which torch's stubs leave out
    return ImageCompressor(preset, tuple(dataset.elements), cell, basis)


def load_model(dataset: DatasetDocument, networks: NetworkDocuments, model: Model) -> CrystalModel:
    """Read all three networks back."""
    from imatgen_flows.models.crystal_model import CrystalModel, load_weights
    from imatgen_flows.models.materials_vae import MaterialsVAE

    compressor = load_compressor(dataset, networks, model)
    preset = compressor.preset
    vae = MaterialsVAE(preset.vae, preset.max_elements + 1, compressor.width, preset.prior)
    load_weights(vae, networks["vae"].weights.path())
    return CrystalModel(compressor, vae)


def put_weights(store: ArtifactStore, role: str, weights: dict[str, Any]) -> ArtifactRef:
    """Store the weights of a network as safetensors: equal weights are the same artifact."""
    from safetensors.torch import save

    with store.new(f"weights-{role}", ".safetensors") as pending:
        pending.path.write_bytes(save({name: value.contiguous() for name, value in weights.items()}))
    return pending.ref
