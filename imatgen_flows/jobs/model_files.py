"""Trained models that travel: a finished run's networks into one file, and a file's networks into a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactRef, ArtifactStore, file_hash, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.documents import (
    DatasetDocument,
    LabelDocument,
    ModelDocument,
    ReconstructionDocument,
    RoundDocument,
)
from imatgen_flows.jobs.models import UNSEEN, preset_of, unseen_templates
from imatgen_flows.jobs.provenance import finished_round, parent, parents

if TYPE_CHECKING:
    from imatgen_flows.models.model_file import ModelCard

ROLES = ("cell", "basis", "generator")
NETWORK_STAGES = ("train_autoencoder", "train_generator", "import_network")


@cached_job(ModelDocument)
def import_network(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    model: str,
    content: str,
    role: str,
    generator: dict[str, Any],
) -> dict[str, Any]:
    """Take one network out of a model file; `content` is the SHA-256 of the file when the campaign was started."""
    from imatgen_flows.models.model_file import open_model

    path = Path(model)
    card, networks = open_model(path, dataset.elements, preset_of(generator))
    if file_hash(path) != content:
        raise InputError(f"{path} has changed since the campaign was started. Put the file of then back.")
    training, losses = card.training[role], card.training[role]["losses"]
    return {
        "role": role,
        "preset": card.preset["name"],
        "settings": card.preset[role],
        "weights": _put_weights(store, role, networks[role]),
        "metrics": store.put_lines(
            f"metrics-{role}", [{"epoch": number, "loss": loss} for number, loss in enumerate(losses, 1)]
        ),
        "epochs": training["epochs"],
        "loss": losses[-1] if losses else 0.0,
        "seed": training["seed"],
        "extra": {UNSEEN: store.put_json("unseen-templates", card.data["unseen_templates"])},
    }


def export_model(run: Path, ledger: dict[str, Any], destination: Path) -> tuple[Path, ModelCard]:
    """Write the networks of a finished run, those of its last round, as a model file.

    Parameters
    ----------
    run : the run directory
    ledger : its own, which tells its last round
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
    finished = finished_round(store, ledger)
    networks = networks_of(store, finished)
    weights = {role: load_file(_sound(network.weights)) for role, network in networks.items()}
    if destination.is_dir():
        destination /= f"{run.resolve().name}{SUFFIX}"
    return destination, write_model(destination, _card(config, store, finished, networks), weights)


def networks_of(store: ArtifactStore, finished: RoundDocument) -> dict[str, ModelDocument]:
    """Find the three networks that a round sampled from, by role, whether they were trained or imported."""
    reconstruction = parent(store, finished, ReconstructionDocument, "evaluate_reconstruction")
    found = {network.role: network for network in parents(store, reconstruction, ModelDocument, *NETWORK_STAGES)}
    return {role: found[role] for role in ROLES}


def _card(
    config: CampaignConfig, store: ArtifactStore, finished: RoundDocument, networks: dict[str, ModelDocument]
) -> ModelCard:
    from imatgen_flows.models.model_file import ModelCard

    reconstruction = parent(store, finished, ReconstructionDocument, "evaluate_reconstruction")
    dataset = parent(store, finished, DatasetDocument, "build_dataset", "extend_dataset")
    labels = parent(store, finished, LabelDocument, "label_dataset", "extend_labels")
    generator = config.model.model_dump(mode="json")
    preset = preset_of(generator).to_dict() | {role: network.settings for role, network in networks.items()}
    data = {
        "system": config.system,
        "templates": _without_folders(config.templates.model_dump(mode="json")),
        "known": _without_folders(config.known.model_dump(mode="json")),
        "limits": config.limits.model_dump(mode="json"),
        "counts": dataset.counts,
        "labels": config.labels.model_dump(mode="json") | {"counts": labels.counts},
        "unseen_templates": sorted(unseen_templates(dataset, generator, networks["generator"])),
        "rounds": finished.round + 1,
        "start": _without_folders(config.start.model_dump(mode="json"), "model"),
    }
    training = {
        role: {
            "epochs": network.epochs,
            "seed": network.seed,
            "losses": [row["loss"] for row in read_lines(network.metrics)],
        }
        for role, network in networks.items()
    }
    return ModelCard(
        name=config.title,
        elements=dataset.elements,
        preset=preset,
        data=data,
        training=training,
        reconstruction=reconstruction.summaries,
        versions=networks["generator"].versions,
    )


def _sound(ref: ArtifactRef) -> Path:
    path = ref.path()
    if file_hash(path) != ref.sha256:
        raise InputError(
            f"artifact {path} ({ref.kind}) is damaged. `imatgen run --resume` makes it anew once it is deleted."
        )
    return path


def _put_weights(store: ArtifactStore, role: str, weights: dict[str, Any]) -> ArtifactRef:
    """Store weights as training does: equal ones are the same artifact."""
    from safetensors.torch import save

    with store.new(f"weights-{role}", ".safetensors") as pending:
        pending.path.write_bytes(save(weights))
    return pending.ref


def _without_folders(section: dict[str, Any], key: str = "path") -> dict[str, Any]:
    """Keep the name of a file, and not where it lies: a card is read elsewhere."""
    return section | {key: Path(section[key]).name if section[key] else None}
