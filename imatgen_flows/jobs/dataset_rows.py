"""The rows of a dataset: one crystal each, with its template, and whether the networks are trained on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import Model
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactRef, ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument, ModelDocument

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from torch import Tensor

    from imatgen_flows.representation import PackedCrystals

FEWEST_TRAINED = 2  # structures; the networks need the spread of their data, and samples two neighbours
# among the other results of a network whose training began elsewhere: prototypes that it has not seen, and what a model of
# prototypes was trained on, as its card has it
UNSEEN_TEMPLATES, TRAINED_ON = "unseen_templates", "trained_on"


def crystal_row(name: str, structure: Structure, template: str = "", known: bool = False) -> dict[str, Any]:
    """Build the row of one crystal.

    Parameters
    ----------
    name : id of the crystal
    structure : in the standard frame
    template : id of the template that it was made from; empty for a published phase
    known : whether it is a published phase
    """
    return {
        "id": name,
        "template": template,
        "known": known,
        "formula": structure.composition.reduced_formula,
        "structure": structure.as_dict(),
    }


def structure_of(row: Mapping[str, Any]) -> Structure:
    """Read the structure of a row."""
    from pymatgen.core import Structure

    return Structure.from_dict(row["structure"])


def put_packed(store: ArtifactStore, rows: Sequence[Mapping[str, Any]], elements: Sequence[str]) -> ArtifactRef:
    """Store the crystals of rows as arrays, as the codecs of the images read them."""
    from imatgen_flows.representation import pack

    with store.new("packed", ".npz") as pending:
        pack([structure_of(row) for row in rows], tuple(elements)).save(pending.path)
    return pending.ref


def load_crystals(dataset: DatasetDocument) -> PackedCrystals:
    """Read the crystals of a dataset as arrays."""
    from imatgen_flows.representation import PackedCrystals

    return PackedCrystals.load(dataset.packed.path())


def relaxed_finds(labels: LabelDocument) -> dict[int, float]:
    """Return E_hull (eV/atom) of what earlier rounds relaxed, by its row in the dataset."""
    rows = enumerate(read_lines(labels.labels))
    return {row: label["e_above_hull"] for row, label in rows if label.get("e_above_hull") is not None}


def training_rows(dataset: DatasetDocument, model: Model) -> Tensor:
    """Choose the rows (n,) of the dataset that the networks are trained on.

    Whole templates are held out, with all structures made from them. Known phases and what earlier rounds found are never
    held out: samples start from them.
    """
    import torch

    return torch.tensor(trained_rows(read_lines(dataset.crystals), model))


def trained_rows(rows: Sequence[Mapping[str, Any]], model: Model) -> list[int]:
    """Choose the rows that the networks are trained on, as `training_rows`.

    Raises
    ------
    InputError
        Where the share that is held out leaves too few.
    """
    held_out = draw_held_out(rows, model)
    trained = [i for i, row in enumerate(rows) if is_always_trained(row) or row["template"] not in held_out]
    if len(trained) < FEWEST_TRAINED:
        raise InputError(
            f"`model.holdout: {model.holdout:g}` leaves {len(trained)} of {len(rows)} training structures to the networks, "
            f"which need {FEWEST_TRAINED} at least. Lower it, or give more templates."
        )
    return trained


def unseen_templates(dataset: DatasetDocument, model: Model, network: ModelDocument) -> set[str]:
    """List the templates that a network was never trained on, here or before it was imported."""
    if UNSEEN_TEMPLATES in network.extra:
        return set(read_json(network.extra[UNSEEN_TEMPLATES]))
    return held_out_templates(dataset, model)


def held_out_templates(dataset: DatasetDocument, model: Model) -> set[str]:
    """Draw the templates that are held out of training, by the seed of the model."""
    return draw_held_out(read_lines(dataset.crystals), model)


def draw_held_out(rows: Iterable[Mapping[str, Any]], model: Model) -> set[str]:
    """Draw the templates of some rows that are held out of training."""
    import torch

    templates = sorted({row["template"] for row in rows if not is_always_trained(row)})
    random = torch.Generator().manual_seed(model.seed)
    order = torch.randperm(len(templates), generator=random).tolist()
    return {templates[i] for i in order[: round(model.holdout * len(templates))]}


def is_always_trained(row: Mapping[str, Any]) -> bool:
    """Whether a crystal is never held out: it is published, or an earlier round found it."""
    return row["known"] or row.get("round_find", False)
