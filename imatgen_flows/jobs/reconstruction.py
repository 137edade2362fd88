"""The job that measures how well the networks reconstruct the training structures, and those of the held-out set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import Model
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.dataset_rows import is_always_trained, load_crystals, unseen_templates
from imatgen_flows.jobs.documents import DatasetDocument, NetworkDocuments, ReconstructionDocument
from imatgen_flows.jobs.networks import load_model
from imatgen_flows.observer import report_count
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from torch import Tensor

    from imatgen_flows.metrics.reconstruction import ReconstructionError
    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.representation import CrystalImages, PackedCrystals

Decode = Callable[["Tensor"], "CrystalImages"]  # rows of the dataset to the images that the networks make of them

HELD_OUT = "_held_out"  # at the end of the name of a summary


@cached_job(ReconstructionDocument, profile=Profile.GPU_TRAIN, label="evaluate reconstruction")
def evaluate_reconstruction(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    networks: NetworkDocuments,
    model: dict[str, Any],
) -> dict[str, Any]:
    """Send every structure through the networks and compare; those of the held-out set by latent inversion too."""
    import torch

    from imatgen_flows.metrics.reconstruction import summarise

    settings = Model.model_validate(model)
    crystals, structures = load_crystals(dataset), read_lines(dataset.crystals)
    trained = load_model(dataset, networks, settings)
    unseen = unseen_templates(dataset, settings, networks["vae"])
    hidden = torch.tensor([row["template"] in unseen and not is_always_trained(row) for row in structures])
    summaries: dict[str, dict] = {}
    rows: list[dict] = []
    for path, decode in _paths(trained, crystals).items():
        chosen = (hidden if path.endswith(HELD_OUT) else ~hidden).nonzero()[:, 0]
        if not len(chosen):
            continue
        errors = _compare(trained, crystals, chosen, decode, path)
        summaries[path] = summarise(errors).to_dict()
        rows += [
            {
                "path": path.removesuffix(HELD_OUT),
                "id": structures[row]["id"],
                "training": not bool(hidden[row]),
                "full": error.fully_reconstructed,
            } | vars(error)
            for row, error in zip(chosen.tolist(), errors, strict=True)
        ]  # fmt: skip
    return {"errors": store.put_lines("reconstruction", rows), "summaries": summaries}


def _paths(model: CrystalModel, crystals: PackedCrystals) -> dict[str, Decode]:
    """List the ways through the networks: the autoencoders alone, and the whole model, each by encoding or by inversion."""
    from imatgen_flows.models.inversion import invert_autoencoder, invert_decoder

    compressor = model.compressor
    codes, _ = compressor.encode(crystals)

    def images(part: Tensor) -> CrystalImages:
        return compressor.decode(codes[part])

    def whole(part: Tensor) -> CrystalImages:
        return model.decode(model.vae.encode(codes[part]))

    paths: dict[str, Decode] = {"images": images, f"images{HELD_OUT}": images}
    inverts = compressor.preset.basis.style == "patched"  # gradients through convolutions are too slow for many
    if inverts:
        paths[f"images_inverted{HELD_OUT}"] = lambda part: compressor.decode(
            invert_autoencoder(compressor, crystals[part])
        )
    paths |= {"model": whole, f"model{HELD_OUT}": whole}
    if inverts:
        paths[f"model_inverted{HELD_OUT}"] = lambda part: model.decode(invert_decoder(model, crystals[part]))
    return paths


def _compare(
    model: CrystalModel, crystals: PackedCrystals, rows: Tensor, decode: Decode, path: str
) -> list[ReconstructionError]:
    from imatgen_flows.metrics.reconstruction import compare
    from imatgen_flows.models.crystal_model import BATCH

    errors: list[ReconstructionError] = []
    for part in rows.split(BATCH):
        made = model.compressor.codec.read_unchecked(decode(part))[0]
        errors += compare(model.compressor.drawn(crystals[part]), made)
        report_count(len(errors), len(rows), f"reconstructed, {path.replace('_', ' ')}")
    return errors
