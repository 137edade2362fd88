"""The job that takes a trained network out of a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import Model
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.dataset_rows import TRAINED_ON, UNSEEN_TEMPLATES
from imatgen_flows.jobs.documents import DatasetDocument, InputFile, ModelDocument
from imatgen_flows.jobs.networks import preset_of, put_weights
from imatgen_flows.models.registry import ModelRole
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imatgen_flows.models.model_file import ModelCard


@cached_job(ModelDocument, profile=Profile.LIGHT, label="import {role} network")
def import_network(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    file: InputFile,
    role: str,
    model: dict[str, Any],
) -> dict[str, Any]:
    """Read one network from a model file, which must be as it was when the campaign was started."""
    from imatgen_flows.models.model_file import open_model

    path = Path(file.path)
    card, networks = open_model(path, dataset.elements, preset_of(Model.model_validate(model)))
    if dataset.held_out is not None:
        refuse_seen_system(path, card, dataset.elements)
    if InputFile.of(path) != file:
        raise InputError(f"{path} has changed since the campaign was started. Put the file of then back.")
    training = card.training[role]
    losses = training["losses"]
    extra = {UNSEEN_TEMPLATES: store.put_json("unseen-templates", card.data["unseen_templates"])}
    if role == ModelRole.VAE and card.is_of_prototypes:
        extra[TRAINED_ON] = store.put_json("trained-on", card.data["training"])
    return {
        "role": role,
        "preset": card.preset["name"],
        "settings": card.settings(role),
        "weights": put_weights(store, role, networks[role]),
        "metrics": store.put_lines(
            f"metrics-{role}", [{"epoch": number, "loss": loss} for number, loss in enumerate(losses, 1)]
        ),
        "epochs": training["epochs"],
        "loss": losses[-1] if losses else 0.0,
        "seed": training["seed"],
        "extra": extra,
    }


def refuse_seen_system(path: Path, card: ModelCard, system: Sequence[str]) -> None:
    """Refuse networks that learnt from crystals of a system whose published phases are to be found again.

    Raises
    ------
    InputError
        Where they did, or their card does not tell.
    """
    from imatgen_flows.crystals.system import system_name

    if card.has_seen(system):
        raise InputError(
            f"{path} may have seen the phases of {system_name(system)} that `known.held_out` keeps from the networks: train "
            "them anew (`model.start: none`), or take a model of prototypes whose data have no crystal of this system."
        )
