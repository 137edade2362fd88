"""Reading of a model file as a trained model of a chemical system."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pymatgen.core import Composition

from imatgen_flows.candidates.registry import DEFAULT_CHARGE_CHECK
from imatgen_flows.crystals.prototype_index import PrototypeIndex, index_path
from imatgen_flows.crystals.system import system_name
from imatgen_flows.errors import InputError
from imatgen_flows.sources.trained_model import TrainedModel, TrainingSummary

if TYPE_CHECKING:
    from imatgen_flows.models.model_file import ModelCard

FEWEST_ELEMENTS = 2


def read_trained_model(path: Path, system: Sequence[str] | None = None) -> TrainedModel:
    """Read the networks of a model file.

    Parameters
    ----------
    path : of the file
    system : elements of the crystals; a model of prototypes needs them, another model has its own

    Raises
    ------
    InputError
        Where the file is no sound model file of this version, is of another system, or needs one.
    """
    from imatgen_flows.models.crystal_model import build_model
    from imatgen_flows.models.model_file import open_model, read_model
    from imatgen_flows.models.presets import get_preset

    card, _ = read_model(path)
    elements = _elements_of(card, path, system)
    grid = card.preset["basis"]["grid"]
    preset = get_preset(card.preset["name"], grid if isinstance(grid, int) else None)
    _, weights = open_model(path, elements, preset)
    summary = card.data.get("training")
    if summary is None:
        raise InputError(f"{path}: its card lacks the summary of its training structures. Export the model again.")
    training = TrainingSummary.read(summary)
    max_sites, max_edge = (cast("float", card.data["limits"][name]) for name in ("max_sites", "max_edge"))
    charge = str(card.data.get("validity", {}).get("charge", DEFAULT_CHARGE_CHECK))
    index = None
    if card.is_of_prototypes:
        training, index = training.of_system(elements, charge), PrototypeIndex.read(index_path(path))
    return TrainedModel(
        build_model(preset, elements, weights), training, int(max_sites), max_edge, path.name, charge, index
    )


def _elements_of(card: ModelCard, path: Path, system: Sequence[str] | None) -> tuple[str, ...]:
    """Choose the elements of the image channels."""
    from imatgen_flows.crystals.system import chemical_system
    from imatgen_flows.crystals.volumes import expected_volume

    if not card.is_of_prototypes:
        if system is not None and set(system) != set(card.elements):
            raise InputError(
                f"{path.name} is a model of {system_name(card.elements)}, not of {system_name(system)}. Take a model of this "
                "system, or the pretrained one, which suits any."
            )
        return tuple(card.elements)
    if system is None:
        raise InputError(f"{path.name} suits any system: say which, as `load_model(..., system='V-O')`.")
    elements = chemical_system(system)
    if not FEWEST_ELEMENTS <= len(elements) <= len(card.elements):
        raise InputError(
            f"{'-'.join(elements)} has {len(elements)} element{'s' * (len(elements) > 1)}; {path.name} generates crystals of "
            f"{FEWEST_ELEMENTS} to {len(card.elements)}."
        )
    expected_volume(Composition(dict.fromkeys(elements, 1)))  # which refuses an element that it does not know
    return tuple(elements)
