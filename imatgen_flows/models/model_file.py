"""Model files: the weights of the three networks of a model in one file, with a card that describes them.

The format is safetensors, which holds numbers and no code, so that a file from elsewhere can be opened without trusting it.
The card is JSON in its header. Hashes of the card and of each network's weights detect damage; they are no signature.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

import torch
from torch import Tensor, nn

from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.models.autoencoder import ImageAutoencoder, build_autoencoder
from imatgen_flows.models.materials_vae import MaterialsVAE
from imatgen_flows.models.presets import Json, Preset, PresetRecord
from imatgen_flows.models.registry import ROLES

FORMAT = 2  # in format 1 the role of the VAE was called `generator`, and some weights of the prior had other names
SUFFIX = ".safetensors"
KEY = "imatgen"  # of the header; a single one, since safetensors writes several in any order
NOTE = (
    "One basis network draws the atoms of every element, so that its weights may suit other elements too. The channels "
    "of the VAE belong to the elements listed here, in this order: a campaign of others is refused."
)
# the settings that decide the shapes of the weights and the meaning of codes; the others concern the training alone
LAYOUT = {
    "cell": ("grid", "sigma", "code", "channels", "style", "output"),
    "basis": ("grid", "sigma", "code", "channels", "style", "output"),
    "vae": ("style", "latent", "channels", "latent_scale"),
    "prior": ("width", "blocks"),  # a part of the VAE; a preset may have none
}
OPTIONAL_ENTRIES = ("samples",)  # entries of a card that files of earlier versions lack
AGAIN = "Copy it again from where it was exported."

Networks: TypeAlias = Mapping[str, Mapping[str, Tensor]]


class _CampaignRecord(TypedDict, total=False):
    """Entries of a card that may be absent."""

    known: dict[str, Json]
    validity: dict[str, Json]
    rounds: int
    start: str  # name of the model file that training began with
    fine_tune: float
    licence: str  # of the data, with the attribution that it asks for
    training: dict[str, list]  # what sampling needs of the training structures: scale, atom_counts and weights
    systems: list[str]  # of a model of prototypes: the chemical systems that it was trained on, as `O-V`
    hold_out: list[str]  # structure ids of crystals whose prototypes were kept from it


class DataRecord(_CampaignRecord):
    """The data that a model was trained on, with the sections of the campaign as plain values."""

    system: list[str]
    templates: dict[str, Json]
    limits: dict[str, Json]
    counts: dict[str, int]
    labels: dict[str, Json]
    unseen_templates: list[str]


class TrainingRecord(TypedDict):
    """The training of one network."""

    epochs: int
    seed: int | None
    losses: list[float]  # of each epoch


@dataclass(frozen=True)
class ModelCard:
    """Description of the networks in a model file.

    Attributes
    ----------
    name : of the campaign that trained them
    elements : of the image channels, in their order
    preset : settings of all three networks, as from `Preset.to_dict`
    data : what they were trained on
    training : by role
    reconstruction : by path through the networks, number of structures and reconstruction errors
    samples : by number of elements, what became of samples with contents and systems as in the data; of prototypes alone
    versions : of the program and the libraries that trained them
    sha256 : of the weights, by role; `write_model` sets it
    note : limits of use
    format : of the file
    """

    name: str
    elements: list[str]
    preset: PresetRecord
    data: DataRecord
    training: dict[str, TrainingRecord]
    reconstruction: dict[str, dict[str, Json]]
    versions: dict[str, str]
    samples: dict[str, dict[str, Any]] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    note: str = NOTE
    format: int = FORMAT

    def settings(self, role: str) -> dict[str, Json]:
        """Return the settings that a network was trained with."""
        return {"cell": self.preset["cell"], "basis": self.preset["basis"], "vae": self.preset["vae"]}[role]

    @property
    def is_of_prototypes(self) -> bool:
        """Whether the channels belong to roles, so that the networks suit any chemical system."""
        return not self.data["system"]

    @property
    def trained_on(self) -> int:
        """Number of structures that it was trained on; of a campaign, with those of templates that were held out."""
        counts = self.data["counts"]
        return counts["kept"] - counts.get("held_out", 0)

    def has_seen(self, elements: Iterable[str]) -> bool:
        """Whether it was trained on crystals of a chemical system; true where its card does not tell."""
        systems = self.data.get("systems")
        return systems is None or "-".join(sorted(elements)) in systems

    @property
    def campaign_section(self) -> str:
        """The section `model` of a campaign whose networks have this layout."""
        return f"{{preset: {self.preset['name']}, grid: {self.preset['basis']['grid']}}}"


def write_model(path: Path, card: ModelCard, networks: Networks) -> ModelCard:
    """Write a model file atomically; equal models give equal bytes.

    Parameters
    ----------
    path : ends in .safetensors
    card : its hashes are computed again
    networks : the state of each network, by role

    Raises
    ------
    InputError
        Where the name ends otherwise, the file is there with other content, or cannot be written.
    """
    from safetensors.torch import save

    card = replace(card, sha256={role: weights_hash(networks[role]) for role in ROLES})
    tensors = {f"{role}.{name}": value.contiguous() for role in ROLES for name, value in networks[role].items()}
    content = asdict(card)
    text = json.dumps({"sha256": _card_hash(content), "card": content})
    place_model(path, save(tensors, {KEY: text}))
    return card


def in_half_precision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round the numbers of a network to half precision, in which they take half the space."""
    return {name: value.half() if value.dtype == torch.float32 else value for name, value in state.items()}


def place_model(path: Path, content: bytes) -> None:
    """Write the content of a model file, unless it is there already; a file with other content is not overwritten."""
    if path.suffix != SUFFIX:
        raise InputError(f"{path}: the name of a model file ends in {SUFFIX}.")
    try:
        if path.exists():
            if path.read_bytes() != content:
                raise InputError(f"{path} is another file already; it was not touched. Choose another name.")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error


def read_model(path: Path) -> tuple[ModelCard, dict[str, dict[str, Tensor]]]:
    """Read a model file and check that it is undamaged.

    Returns
    -------
    the card, and the state of each network by role, in single precision

    Raises
    ------
    InputError
        Where there is no such file, it is no model file, of another format, or damaged. The message says which.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path}: no such model file. `imatgen models export RUN FILE{SUFFIX}` writes one.")
    networks: dict[str, dict[str, Tensor]] = {role: {} for role in ROLES}
    try:
        with safe_open(path, framework="pt") as file:
            card = _read_card(path, (file.metadata() or {}).get(KEY))
            for key in file.keys():  # noqa: SIM118 - the file is no dictionary
                role, _, name = key.partition(".")
                networks.setdefault(role, {})[name] = file.get_tensor(key)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: no safetensors file, or cut short ({error}). {AGAIN}") from error
    damaged = [role for role, weights in networks.items() if card.sha256.get(role) != weights_hash(weights)]
    if damaged:
        raise InputError(
            f"{path}: damaged: the weights of {', '.join(damaged)} are not those that were written (sha256 differs). {AGAIN}"
        )
    return card, {role: {name: _single(value) for name, value in state.items()} for role, state in networks.items()}


def open_model(path: Path, elements: Sequence[str], preset: Preset) -> tuple[ModelCard, dict[str, dict[str, Tensor]]]:
    """Read a model file and check that a campaign can start from it.

    Parameters
    ----------
    path : the file
    elements : of the campaign's image channels, in their order
    preset : of the campaign

    Returns
    -------
    as `read_model`

    Raises
    ------
    InputError
        Where the file is no sound model file, or its networks do not fit the campaign; with the reason.
    """
    card, networks = read_model(path)
    reason = incompatibility(card, elements, preset)
    if not reason and {role: _shapes(weights) for role, weights in networks.items()} != _shapes_of(preset):
        written = card.versions.get("imatgen_flows", "another version")
        reason = f"its networks have other layers than those made here: imatgen-flows {written} wrote it"
    if reason:
        raise InputError(f"{path} cannot start this campaign: {reason}.")
    return card, networks


def incompatibility(card: ModelCard, elements: Sequence[str], preset: Preset) -> str:
    """Explain why a model cannot be used with these elements (in channel order) and this preset; empty if it can."""
    theirs, ours = "-".join(card.elements), "-".join(elements)
    if card.is_of_prototypes:
        if len(elements) > len(card.elements):
            return f"its networks have {len(card.elements)} roles, the campaign has {len(elements)} elements"
        theirs = ours
    elif set(card.elements) != set(elements):
        from imatgen_flows.crystals.system import system_name

        return (
            f"its networks were trained on {system_name(card.elements)}, the campaign is of {system_name(elements)}. The "
            "channels of the VAE belong to the elements that it was trained on; train anew, or take a model of this system"
        )
    if theirs != ours:
        return f"its image channels are in the order {theirs}, the campaign's in the order {ours}"
    if (card.preset["name"], card.preset["basis"]["grid"]) != (preset.name, preset.basis.grid):
        here = f"{{preset: {preset.name}, grid: {preset.basis.grid}}}"
        return f"its networks were made with `model: {card.campaign_section}`, the campaign has {here}; set it likewise"
    their_layout, our_layout = layout(card.preset), layout(preset.to_dict())
    differing = [
        f"{name} {their_layout[name]} instead of {value}"
        for name, value in our_layout.items()
        if their_layout[name] != value
    ]
    if differing:
        return f"its networks have {', '.join(differing)}; its preset `{preset.name}` is of another version"
    return ""


def layout(preset: PresetRecord) -> dict[str, Json]:
    """Return the settings that two models must share to exchange weights, such as `vae.latent`."""
    parts = {"cell": preset["cell"], "basis": preset["basis"], "vae": preset["vae"], "prior": preset.get("prior") or {}}
    inner = {f"{role}.{name}": parts[role].get(name) for role, names in LAYOUT.items() for name in names}
    # JSON has no tuples
    return json.loads(json.dumps({"max_elements": preset["max_elements"], "box": preset["box"]} | inner))


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a network's weights: names, types, shapes and numbers, in the order of the names."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read_card(path: Path, text: str | None) -> ModelCard:
    """Read the card from the header of a model file."""
    if text is None:
        raise InputError(f"{path}: safetensors, but no model of imatgen-flows: it has no card.")
    try:
        envelope = json.loads(text)
        content, digest = envelope["card"], envelope["sha256"]
        version = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: its card cannot be read. {AGAIN}") from error
    if version == 1:
        raise InputError(
            f"{path}: a model file of format 1, written by an earlier version of imatgen-flows: train the networks with "
            f"this version, and export them anew from that run with `imatgen models export RUN FILE{SUFFIX}`."
        )
    if version != FORMAT:
        raise InputError(f"{path}: a model file of format {version}; this version of imatgen-flows reads {FORMAT}.")
    if digest != _card_hash(content):
        raise InputError(f"{path}: damaged: its card is not the one that was written (sha256 differs). {AGAIN}")
    missing = _missing(content)
    if missing:
        raise InputError(f"{path}: its card lacks {', '.join(missing)}. Export the model again.")
    return ModelCard(**{item.name: content[item.name] for item in fields(ModelCard) if item.name in content})


def _missing(content: Mapping[str, Any]) -> list[str]:
    """List the entries that a card lacks."""

    def part(*keys: str) -> Mapping[str, Any]:
        inner: Any = content
        for key in keys:
            inner = inner.get(key)
            if not isinstance(inner, dict):
                return {}
        return inner

    missing = [
        item.name for item in fields(ModelCard) if item.name not in content and item.name not in OPTIONAL_ENTRIES
    ]
    missing += [f"preset.{name}" for name in ("name", "max_elements", "box") if name not in part("preset")]
    missing += [f"data.{name}" for name in sorted(DataRecord.__required_keys__ - set(part("data")))]
    for role in ROLES:
        missing += [f"preset.{role}.{name}" for name in LAYOUT[role] if name not in part("preset", role)]
        training = part("training", role)
        missing += [f"training.{role}.{name}" for name in sorted(TrainingRecord.__required_keys__ - set(training))]
        missing += [f"sha256.{role}"] if role not in part("sha256") else []
    return missing


def _card_hash(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a card."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _single(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value


Shapes: TypeAlias = dict[str, tuple[torch.dtype, tuple[int, ...]]]


def _shapes(weights: Mapping[str, Tensor]) -> Shapes:
    """Return type and shape of each weight of a network."""
    return {name: (value.dtype, tuple(value.shape)) for name, value in weights.items()}


def _shapes_of(preset: Preset) -> dict[str, Shapes]:
    """Return types and shapes of the weights of a preset's networks, without allocating them."""
    with torch.device("meta"):
        width = max(preset.basis.code, preset.cell.code)
        networks: dict[str, nn.Module] = {
            "cell": build_autoencoder(preset.cell),
            "basis": ImageAutoencoder(preset.basis),
            "vae": MaterialsVAE(preset.vae, preset.max_elements + 1, width, preset.prior),
        }
    return {role: _shapes(network.state_dict()) for role, network in networks.items()}
