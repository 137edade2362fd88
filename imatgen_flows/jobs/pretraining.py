"""Pretraining from a data file to a model file, which generates crystals of any system."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import Limits
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import file_hash, write_atomic
from imatgen_flows.jobs.cached_job import versions_of
from imatgen_flows.jobs.device import use_device
from imatgen_flows.models.registry import PRETRAINED, ROLES
from imatgen_flows.settings import get_settings

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from torch import Tensor

    from imatgen_flows.crystals.prototype_index import PrototypeIndex
    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.model_file import ModelCard
    from imatgen_flows.models.presets import Preset
    from imatgen_flows.models.pretraining_data import PretrainingData
    from imatgen_flows.representation import PackedCrystals

logger = logging.getLogger(__name__)

DATA, HISTORY = "data.npz", "history.json"
HELD_OUT = 0.02  # share of the protostructures that are kept from training, to measure on
MEASURED = 500  # samples of each number of elements that are measured on
INVERTED = 200  # held-out crystals at most of each number of elements that are sent through the networks
ORIGINS = 16  # of the cell, that held-out crystals are inverted from until one is reproduced


def pretrain(
    data: Path,
    directory: Path,
    preset_name: str = PRETRAINED,
    seed: int = 7,
    epochs: float = 1.0,
    licence: str = "",
    hold_out: Path | None = None,
) -> tuple[Path, ModelCard]:
    """Train networks on the prototypes of many systems, and write them with their card; the same call goes on after a stop.

    Parameters
    ----------
    data : file of JSON lines, one crystal each
    directory : for checkpoints, weights and the model file
    preset_name : of a preset with a volume
    seed : of all random numbers
    epochs : factor on the preset's numbers of epochs
    licence : of the data, with its attribution, for the card
    hold_out : file or folder of crystals whose prototypes the networks shall not see, so that to find them is a result

    Returns
    -------
    the model file and its card

    Raises
    ------
    InputError
        Where the data or what is held out cannot be read, the preset has no volume, or the directory belongs to the
        pretraining of other data, preset, seed or held-out crystals.
    """
    from imatgen_flows.candidates.holdout import mark_prototypes
    from imatgen_flows.crystals.identity import structure_id
    from imatgen_flows.crystals.prototype_index import PrototypeIndex, index_path
    from imatgen_flows.models.model_file import SUFFIX, in_half_precision, write_model
    from imatgen_flows.models.presets import get_preset
    from imatgen_flows.models.pretraining import pretrain_autoencoders, pretrain_vae

    if not data.is_file():
        raise InputError(f"{data}: no such file. A pretraining needs crystals, one JSON object a line.")
    preset = get_preset(preset_name, epochs=epochs)
    if preset.volume is None:
        raise InputError(
            f"the preset `{preset_name}` draws crystals at their own volumes, which belong to their elements; networks for "
            f"any system need one that draws all at one volume, as `{PRETRAINED}` does."
        )
    directory.mkdir(parents=True, exist_ok=True)
    identity = {"data": file_hash(data), "preset": preset_name, "seed": seed, "epochs": epochs}
    found_again = _read_held_out(hold_out) if hold_out else []
    if hold_out:
        identity["hold_out"] = sorted(map(structure_id, found_again))
    _refuse_other(directory, identity)
    read = _read_data(data, directory, preset)
    held_out = read.held_out(HELD_OUT, seed) | mark_prototypes(read.crystals, found_again, get_settings().n_workers)
    logger.info("%d of %d crystals are held out", held_out.sum(), len(read))
    crystals, device = read.crystals[~held_out], use_device()
    compressor, histories = pretrain_autoencoders(crystals, preset, seed, directory, device)
    _keep(directory, histories)
    model, histories = pretrain_vae(compressor, crystals, seed, directory, device)
    _keep(directory, histories)
    path = directory / f"{preset_name}{SUFFIX}"
    networks = {"cell": compressor.cell, "basis": compressor.basis, "vae": model.vae}
    weights = {role: in_half_precision(network.state_dict()) for role, network in networks.items()}
    for role, network in networks.items():
        network.load_state_dict(weights[role])  # what is measured is what ships
    index = PrototypeIndex(
        label for label, held in zip(read.labels, held_out.tolist(), strict=True) if label and not held
    )
    card = replace(
        _card(read, held_out, model, directory, identity, licence),
        reconstruction=reconstruct_held_out(model, read, held_out, INVERTED, seed),
        samples=_sample_quality(model, read, held_out, index, seed),
    )
    index.write(index_path(path))
    return path, write_model(path, card, weights)


def _read_held_out(path: Path) -> list[Structure]:
    """Read the crystals whose prototypes are held out, in their primitive cells.

    Raises
    ------
    InputError
        Where one of them cannot be read: a test would be easier without it.
    """
    from pymatgen.core import Structure

    from imatgen_flows.crystals.standard import standardise
    from imatgen_flows.crystals.structure_files import read_crystals

    structures = []
    for raw in read_crystals(path, None, "held-out crystals"):
        if not isinstance(raw.crystal, Structure):
            raise InputError(f"{path}: {raw.id} cannot be held out: {raw.crystal.detail}.")
        structures.append(standardise(raw.crystal))
    return structures


def _refuse_other(directory: Path, identity: dict[str, Any]) -> None:
    """Write down what a directory is of, or refuse it where it is of something else."""
    path = directory / "pretraining.json"
    if not path.is_file():
        write_atomic(path, json.dumps(identity, indent=1))
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    differing = sorted(name for name in identity | found if found.get(name) != identity.get(name))
    if differing:
        said = ", ".join(f"{name.replace('_', ' ')} {_brief(found.get(name))}" for name in differing)
        raise InputError(f"{directory} belongs to another pretraining, of {said}. Choose another directory.")


def _brief(value: Any) -> str:
    return f"{len(value)} crystals" if isinstance(value, list) else "nothing" if value is None else str(value)


def _read_data(data: Path, directory: Path, preset: Preset) -> PretrainingData:
    """Read the data, or what an earlier call made of it."""
    from imatgen_flows.models.pretraining_data import PretrainingData, read_pretraining_data

    path, limits = directory / DATA, Limits()
    if path.is_file():
        return PretrainingData.load(path)
    read = read_pretraining_data(
        data, limits.max_sites, limits.max_edge, preset.max_elements, preset.volume, get_settings().n_workers
    )
    logger.info("data of the pretraining: %s", read.counts)
    read.save(path)
    return read


def _keep(directory: Path, histories: dict[str, Any]) -> None:
    """Add the histories of networks that were trained now to those of before."""
    write_atomic(directory / HISTORY, json.dumps(_histories(directory) | histories))


def _histories(directory: Path) -> dict[str, Any]:
    path = directory / HISTORY
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _card(
    data: PretrainingData,
    held_out: Tensor,
    model: CrystalModel,
    directory: Path,
    identity: dict[str, Any],
    licence: str,
) -> ModelCard:
    from imatgen_flows.models.model_file import DataRecord, ModelCard
    from imatgen_flows.sources.trained_model import TrainingSummary

    crystals, preset, histories = data.crystals[~held_out], model.compressor.preset, _histories(directory)
    summary = TrainingSummary.of(model.encode(crystals), crystals.counts())
    record: DataRecord = {
        "system": [],
        "templates": {"source": "file", **data.source},
        "limits": Limits().model_dump(mode="json"),
        "counts": {**data.counts, "held_out": int(held_out.sum())},
        "labels": {},
        "unseen_templates": sorted({label for label, held in zip(data.labels, held_out.tolist(), strict=True) if held}),
        "licence": licence,
        "systems": sorted({"-".join(sorted(data.systems[row])) for row in (~held_out).nonzero()[:, 0].tolist()}),
        "hold_out": identity.get("hold_out", []),
        "training": {name: getattr(summary, name).tolist() for name in ("scale", "atom_counts", "weights")},
    }
    return ModelCard(
        name=preset.name,
        elements=list(crystals.elements),
        preset=preset.to_dict(),
        data=record,
        training={
            role: {
                "epochs": len(histories.get(role, [])),
                "seed": identity["seed"],
                "losses": [row["loss"] for row in histories.get(role, [])],
            }
            for role in ROLES
        },
        reconstruction={},
        versions=versions_of(("torch", "numpy", "pymatgen", "spglib")),
        note=NOTE,
    )


NOTE = (
    "The channels belong to roles, the most electropositive element first; crystals are drawn at one volume per atom. So the "
    "networks suit any system of two to five elements."
)


def _sample_quality(
    model: CrystalModel, data: PretrainingData, held_out: Tensor, index: PrototypeIndex, seed: int
) -> dict[str, dict[str, Any]]:
    from imatgen_flows.metrics.sample_quality import measure_samples

    limits = Limits()
    found = measure_samples(
        model, data, ~held_out, index, (limits.max_sites, limits.max_edge), number=MEASURED, seed=seed
    )
    return {f"{number} elements": quality.to_dict() for number, quality in found.items()}


def reconstruct_held_out(
    model: CrystalModel,
    data: PretrainingData,
    held_out: Tensor,
    number: int,
    seed: int = 0,
    origins: int = ORIGINS,
) -> dict[str, dict[str, Any]]:
    """Send crystals of held-out protostructures through the networks, by the encoder and by inversion from some origins."""
    import torch

    from imatgen_flows.models.inversion import invert_decoder_over_origins
    from imatgen_flows.representation.views import random_views

    summaries = {}
    number_of_elements = data.crystals.mask.any(dim=2).sum(dim=1)
    for elements in number_of_elements[held_out].unique().tolist():
        rows = (held_out & (number_of_elements == elements)).nonzero()[:number, 0]
        # what the networks draw for a role that a crystal lacks has no meaning
        narrowed = model.with_elements(data.crystals.elements[:elements])
        crystals = narrowed.compressor.drawn(data.crystals[rows].first_elements(elements))
        turns = torch.arange(len(rows)).repeat(origins)
        shown = random_views(crystals[turns], torch.Generator().manual_seed(seed))
        # the first is the crystal as it is
        shown.lattices[: len(rows)], shown.positions[: len(rows)] = crystals.lattices, crystals.positions
        latent, of = invert_decoder_over_origins(narrowed, shown, turns)
        ways = {"encoded": (crystals, narrowed.encode(crystals)), "inverted": (shown[of], latent)}
        for way, (reference, vectors) in ways.items():
            summaries[f"{elements} elements, held out, {way}"] = _reconstruction(narrowed, reference, vectors)
    return summaries


def _reconstruction(model: CrystalModel, crystals: PackedCrystals, latent: Tensor) -> dict[str, Any]:
    """Compare crystals with what latent vectors decode to."""
    import torch

    from imatgen_flows.metrics.reconstruction import compare, summarise
    from imatgen_flows.models.crystal_model import BATCH

    errors = [
        error
        for rows in torch.arange(len(latent)).split(BATCH)
        for error in compare(crystals[rows], model.compressor.codec.read_unchecked(model.decode(latent[rows]))[0])
    ]
    return summarise(errors).to_dict()
