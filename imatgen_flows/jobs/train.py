"""The jobs that train the networks: two image autoencoders, and the VAE over their codes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import Model
from imatgen_flows.io.artifacts import ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.dataset_rows import UNSEEN_TEMPLATES, held_out_templates, load_crystals, training_rows
from imatgen_flows.jobs.device import use_device
from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument, ModelDocument, NetworkDocuments
from imatgen_flows.jobs.networks import load_compressor, preset_of, put_weights
from imatgen_flows.models.registry import ModelRole
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from torch import nn

    from imatgen_flows.models.presets import Preset
    from imatgen_flows.models.training import History

PRIOR_METRICS = "prior_metrics"  # among the other results of a VAE that has a prior; as `metrics`


@cached_job(ModelDocument, profile=Profile.GPU_TRAIN, label="train {role} autoencoder")
def train_autoencoder(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    role: str,
    model: dict[str, Any],
    start: ModelDocument | None = None,
) -> dict[str, Any]:
    """Train the autoencoder of the images of cells or of atoms; `start` is a network to continue from."""
    from imatgen_flows.models.fitting import fit_basis_autoencoder, fit_cell_autoencoder
    from imatgen_flows.representation.views import at_volume

    settings = Model.model_validate(model)
    preset = preset_of(settings)
    crystals = load_crystals(dataset)[training_rows(dataset, settings)]
    if preset.volume is not None:
        crystals = at_volume(crystals, preset.volume)
    fit = fit_cell_autoencoder if role == ModelRole.CELL else fit_basis_autoencoder
    network, history = fit(
        crystals, getattr(preset, role), settings.seed, scratch, use_device(), start.weights.path() if start else None
    )
    return {
        **_model_fields(store, network, history, role, preset),
        "seed": settings.seed,
        "extra": _inherited(store, dataset, settings, start),
    }


@cached_job(ModelDocument, profile=Profile.GPU_TRAIN, label="train VAE")
def train_vae(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    labels: LabelDocument,
    networks: NetworkDocuments,
    model: dict[str, Any],
    start: ModelDocument | None = None,
) -> dict[str, Any]:
    """Train the VAE, its classifier and its prior on the codes of the training structures."""
    import torch

    from imatgen_flows.models.drawing import prior_conditions
    from imatgen_flows.models.fitting import fit_prior, fit_vae

    device, settings = use_device(), Model.model_validate(model)
    preset, seed, rows = preset_of(settings), settings.seed, training_rows(dataset, settings)
    crystals = load_crystals(dataset)[rows]
    codes, present = load_compressor(dataset, networks, settings).encode(crystals)
    known = read_lines(labels.labels)
    stable, energies = (
        torch.tensor([float("nan") if known[row][name] is None else float(known[row][name]) for row in rows])
        for name in ("stable", "formation_energy")
    )
    vae, history = fit_vae(
        codes, present, stable, preset, seed, scratch, device, start.weights.path() if start else None
    )
    extra = _inherited(store, dataset, settings, start)
    # few structures are enough to follow the latent space with a prior that has learnt from many
    if vae.prior and (vae.prior.trained or len(rows) >= vae.prior.settings.min_train_size):
        conditions = prior_conditions(crystals, energies, preset.max_elements)
        of_prior = fit_prior(vae, codes, conditions, seed, scratch / "prior")
        extra |= {PRIOR_METRICS: store.put_lines("metrics-prior", of_prior)} if of_prior else {}
    return {**_model_fields(store, vae, history, ModelRole.VAE.value, preset), "seed": seed, "extra": extra}


def _inherited(
    store: ArtifactStore, dataset: DatasetDocument, model: Model, start: ModelDocument | None
) -> dict[str, Any]:
    """Pass on which templates stay unseen, where a network was trained on others before it was imported."""
    if start is None or UNSEEN_TEMPLATES not in start.extra:
        return {}
    unseen = set(read_json(start.extra[UNSEEN_TEMPLATES])) & held_out_templates(dataset, model)
    return {UNSEEN_TEMPLATES: store.put_json("unseen-templates", sorted(unseen))}


def _model_fields(
    store: ArtifactStore, network: nn.Module, history: History, role: str, preset: Preset
) -> dict[str, Any]:
    return {
        "role": role,
        "preset": preset.name,
        "settings": asdict(getattr(preset, role)),
        "weights": put_weights(store, role, network.state_dict()),
        "metrics": store.put_lines(f"metrics-{role}", history),
        "epochs": len(history),
        "loss": history[-1]["loss"] if history else 0.0,
    }
