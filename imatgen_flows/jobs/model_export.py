"""Export of a finished run's networks, those of its last round, as a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactRef, ArtifactStore, read_lines
from imatgen_flows.io.files import file_hash
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.dataset_rows import load_crystals, training_rows, unseen_templates
from imatgen_flows.jobs.documents import (
    DatasetDocument,
    LabelDocument,
    ModelDocument,
    NetworkDocuments,
    ReconstructionDocument,
    RoundDocument,
)
from imatgen_flows.jobs.extend_dataset import extend_dataset, extend_labels
from imatgen_flows.jobs.import_network import import_network
from imatgen_flows.jobs.label_dataset import label_dataset
from imatgen_flows.jobs.networks import load_model, preset_of
from imatgen_flows.jobs.provenance import finished_round, parent, parents
from imatgen_flows.jobs.reconstruction import evaluate_reconstruction
from imatgen_flows.jobs.train import train_autoencoder, train_vae
from imatgen_flows.models.registry import ROLES

if TYPE_CHECKING:
    from imatgen_flows.models.model_file import DataRecord, ModelCard, TrainingRecord
    from imatgen_flows.sources.trained_model import TrainedModel


def export_model(run: Path, destination: Path) -> tuple[Path, ModelCard]:
    """Write the networks of a finished run, those of its last round, as a model file.

    Parameters
    ----------
    run : the run directory
    destination : the file, or a directory that exists, where it is named after the run

    Returns
    -------
    the file, and its card

    Raises
    ------
    InputError
        Where artifacts of the run are missing or damaged, or the file cannot be written.
    """
    from safetensors.torch import load_file

    from imatgen_flows.models.model_file import SUFFIX, write_model

    config, store = CampaignConfig.from_file(run / "campaign.yaml"), ArtifactStore(run / "artifacts")
    finished = finished_round(run)
    networks = networks_of(store, finished)
    weights = {role: load_file(_check_hash(networks[role].weights)) for role in ROLES}  # type: ignore[literal-required]
    if destination.is_dir():
        destination /= f"{run.resolve().name}{SUFFIX}"
    return destination, write_model(destination, _card(config, store, finished, networks), weights)


def networks_of(store: ArtifactStore, finished: RoundDocument) -> NetworkDocuments:
    """Read the documents of the three networks that a round sampled from, whether they were trained or imported.

    Raises
    ------
    InputError
        Where there are none.
    """
    networks = parents(store, finished, ModelDocument, train_autoencoder, train_vae, import_network)
    if not networks:
        raise InputError(
            f"{store.root.parent}: the generator was no source of its candidates (`sources.shares`), so that there are no "
            "networks."
        )
    return NetworkDocuments(**{network.role: network for network in networks})  # type: ignore[typeddict-item]


def trained_model(
    config: CampaignConfig, store: ArtifactStore, finished: RoundDocument, name: str = ""
) -> TrainedModel:
    """Read the networks of a round, with what sampling needs of the structures that they were trained on."""
    from imatgen_flows.sources.trained_model import TrainedModel, TrainingSummary

    dataset = parent(store, finished, DatasetDocument, build_dataset, extend_dataset)
    networks = load_model(dataset, networks_of(store, finished), config.model)
    crystals = load_crystals(dataset)[training_rows(dataset, config.model)]
    training = TrainingSummary.of(networks.encode(crystals), crystals.counts())
    limits, charge = config.limits, config.validity.charge
    return TrainedModel(networks, training, limits.max_sites, limits.max_edge, name or config.title, charge)


def _card(
    config: CampaignConfig, store: ArtifactStore, finished: RoundDocument, networks: NetworkDocuments
) -> ModelCard:
    from imatgen_flows.models.model_file import ModelCard

    measured = parents(store, finished, ReconstructionDocument, evaluate_reconstruction)
    dataset = parent(store, finished, DatasetDocument, build_dataset, extend_dataset)
    labels = parent(store, finished, LabelDocument, label_dataset, extend_labels)
    documents: dict[str, ModelDocument] = {role: networks[role] for role in ROLES}  # type: ignore[literal-required]
    data: DataRecord = {
        "system": config.system,
        "templates": _without_folders(config.templates.model_dump(mode="json")),
        "known": _without_folders(config.known.model_dump(mode="json")),
        "limits": config.limits.model_dump(mode="json"),
        "validity": config.validity.model_dump(mode="json"),
        "counts": dataset.counts,
        "labels": config.labels.model_dump(mode="json") | {"counts": labels.counts},
        "unseen_templates": sorted(unseen_templates(dataset, config.model, networks["vae"])),
        "rounds": finished.round + 1,
        "start": Path(config.model.start).name,
        "fine_tune": config.model.fine_tune,
    }
    training = trained_model(config, store, finished).training
    data["training"] = {name: getattr(training, name).tolist() for name in ("scale", "atom_counts", "weights")}
    settings = {role: network.settings for role, network in documents.items()}
    return ModelCard(
        name=config.title,
        elements=dataset.elements,
        preset=preset_of(config.model).to_dict(settings),
        data=data,
        training={role: _training(network) for role, network in documents.items()},
        reconstruction=measured[0].summaries if measured else {},
        versions=networks["vae"].versions,
    )


def _training(network: ModelDocument) -> TrainingRecord:
    losses = [row["loss"] for row in read_lines(network.metrics)]
    return {"epochs": network.epochs, "seed": network.seed, "losses": losses}


def _check_hash(ref: ArtifactRef) -> Path:
    path = ref.path()
    if file_hash(path) != ref.sha256:
        raise InputError(
            f"artifact {path} ({ref.kind}) is damaged. `imatgen run --resume` makes it anew once it is deleted."
        )
    return path


def _without_folders(section: dict[str, Any]) -> dict[str, Any]:
    """Keep the name of a file, and not its folder: a card is read elsewhere."""
    return section | {"path": Path(section["path"]).name if section["path"] else None}
