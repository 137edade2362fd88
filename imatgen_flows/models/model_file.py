"""A trained model in one file: the weights of its three networks, and a card that says what they are.

The file is safetensors, which holds numbers and no code: one from elsewhere can be opened without trusting it. The card
is JSON in its header. Hashes of the card and of each network's weights show damage; they are no signature.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from imatgen_flows.errors import InputError
from imatgen_flows.models.autoencoder import ImageAutoencoder, build_autoencoder
from imatgen_flows.models.materials_vae import MaterialsVAE
from imatgen_flows.models.presets import Preset

FORMAT = 1
ROLES = ("cell", "basis", "generator")
SUFFIX = ".safetensors"
KEY = "imatgen"  # of the header; a single one, since safetensors writes several in any order
NOTE = (
    "One basis network draws the atoms of every element, so that its weights may suit other elements too. The channels "
    "of the generator belong to the elements listed here, in this order: a campaign of others is refused."
)
# what decides the shape of the weights and what their numbers mean; the rest only tells how they were trained
LAYOUT = {
    "cell": ("grid", "sigma", "code", "channels", "style", "output"),
    "basis": ("grid", "sigma", "code", "channels", "style", "output"),
    "generator": ("style", "latent", "channels", "latent_scale"),
    "prior": ("width", "blocks"),  # a part of the generator; a preset may have none
}

DATA = ("system", "templates", "limits", "counts", "labels", "unseen_templates")
TRAINING = ("epochs", "seed", "losses")
AGAIN = "Copy it again from where it was exported."

Networks = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class ModelCard:
    """What a model file says of its networks.

    Attributes
    ----------
    name : of the campaign that trained them
    elements : of the image channels, in their order
    preset : settings of all three networks, as `Preset.to_dict` gives them
    data : what they learnt from: templates, known phases, limits, counts, labels, templates that were held out
    training : by role: `epochs`, `seed`, and `losses`, of each epoch
    reconstruction : how well training structures, and those held out, came back
    versions : of the program and the libraries that trained them
    sha256 : of the weights, by role; `write_model` fills it in
    note : what a reader must know
    format : of the file
    """

    name: str
    elements: list[str]
    preset: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, dict[str, Any]]
    reconstruction: dict[str, Any]
    versions: dict[str, str]
    sha256: dict[str, str] = field(default_factory=dict)
    note: str = NOTE
    format: int = FORMAT

    @property
    def asked(self) -> str:
        """The campaign's section that asks for networks of this layout."""
        return f"{{preset: {self.preset['name']}, grid: {self.preset['basis']['grid']}}}"


def write_model(path: Path, card: ModelCard, networks: Networks) -> ModelCard:
    """Write a model file, whole or not at all; equal models give equal bytes.

    Parameters
    ----------
    path : ends in .safetensors
    card : its hashes are taken anew
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


def place_model(path: Path, content: bytes) -> None:
    """Put a model file in its place; one that is there already is left alone."""
    if path.suffix != SUFFIX:
        raise InputError(f"{path}: the name of a model file ends in {SUFFIX}.")
    try:
        if path.exists():
            if path.read_bytes() != content:
                raise InputError(f"{path} is another file already; it was not touched. Choose another name.")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error


def read_model(path: Path) -> tuple[ModelCard, dict[str, dict[str, Tensor]]]:
    """Read a model file and check that it is what was written.

    Returns
    -------
    the card, and the state of each network by role

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
    return card, networks


def open_model(path: Path, elements: Sequence[str], preset: Preset) -> tuple[ModelCard, dict[str, dict[str, Tensor]]]:
    """Read a model file for a campaign.

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
    reason = misfit(card, elements, preset)
    if not reason and {role: _shapes(weights) for role, weights in networks.items()} != _shapes_of(preset):
        written = card.versions.get("imatgen_flows", "another version")
        reason = f"its networks have other layers than those made here: imatgen-flows {written} wrote it"
    if reason:
        raise InputError(f"{path} cannot start this campaign: {reason}.")
    return card, networks


def misfit(card: ModelCard, elements: Sequence[str], preset: Preset) -> str:
    """Say why a model does not fit a campaign of these elements (in channel order) and this preset; empty if it does."""
    theirs, ours = "-".join(card.elements), "-".join(elements)
    if set(card.elements) != set(elements):
        return (
            f"its networks were trained on {theirs}, the campaign is of {ours}. The channels of the generator belong to "
            "the elements that it learnt from; train anew, or take a model of this system"
        )
    if theirs != ours:
        return f"its image channels are in the order {theirs}, the campaign's in the order {ours}"
    asked = (preset.name, preset.basis.grid)
    if (card.preset["name"], card.preset["basis"]["grid"]) != asked:
        here = f"{{preset: {preset.name}, grid: {preset.basis.grid}}}"
        return f"its networks were made with `generator: {card.asked}`, the campaign has {here}; set it likewise"
    their_layout, our_layout = layout(card.preset), layout(preset.to_dict())
    differing = [
        f"{name} {their_layout[name]} instead of {value}"
        for name, value in our_layout.items()
        if their_layout[name] != value
    ]
    if differing:
        return f"its networks have {', '.join(differing)}; its preset `{preset.name}` is of another version"
    return ""


def layout(preset: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the settings that networks must share to exchange weights.

    Parameters
    ----------
    preset : as `Preset.to_dict` gives it
    """
    inner = {f"{role}.{name}": (preset.get(role) or {}).get(name) for role, names in LAYOUT.items() for name in names}
    # JSON knows no tuples
    return json.loads(json.dumps({"max_elements": preset["max_elements"], "box": preset["box"]} | inner))


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a network's weights: names, types, shapes and numbers, in the order of the names."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read_card(path: Path, text: str | None) -> ModelCard:
    if text is None:
        raise InputError(f"{path}: safetensors, but no model of imatgen-flows: it has no card.")
    try:
        envelope = json.loads(text)
        content, digest = envelope["card"], envelope["sha256"]
        version = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: its card cannot be read. {AGAIN}") from error
    if version != FORMAT:
        raise InputError(f"{path}: a model file of format {version}; this version of imatgen-flows reads {FORMAT}.")
    if digest != _card_hash(content):
        raise InputError(f"{path}: damaged: its card is not the one that was written (sha256 differs). {AGAIN}")
    missing = _missing(content)
    if missing:
        raise InputError(f"{path}: its card lacks {', '.join(missing)}. Export the model again.")
    return ModelCard(**{item.name: content[item.name] for item in fields(ModelCard)})


def _missing(content: Mapping[str, Any]) -> list[str]:
    """List what a card must say and does not."""

    def part(*keys: str) -> Mapping[str, Any]:
        inner: Any = content
        for key in keys:
            inner = inner.get(key)
            if not isinstance(inner, dict):
                return {}
        return inner

    missing = [item.name for item in fields(ModelCard) if item.name not in content]
    missing += [f"preset.{name}" for name in ("name", "max_elements", "box") if name not in part("preset")]
    missing += [f"data.{name}" for name in DATA if name not in part("data")]
    for role in ROLES:
        missing += [f"preset.{role}.{name}" for name in LAYOUT[role] if name not in part("preset", role)]
        missing += [f"training.{role}.{name}" for name in TRAINING if name not in part("training", role)]
        missing += [f"sha256.{role}"] if role not in part("sha256") else []
    return missing


def _card_hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple]:
    return {name: (value.dtype, tuple(value.shape)) for name, value in weights.items()}


def _shapes_of(preset: Preset) -> dict[str, dict[str, tuple]]:
    """Names and shapes of the weights that networks of a preset have; none of them is made."""
    with torch.device("meta"):
        width = max(preset.basis.code, preset.cell.code)
        networks: dict[str, nn.Module] = {
            "cell": build_autoencoder(preset.cell),
            "basis": ImageAutoencoder(preset.basis),
            "generator": MaterialsVAE(preset.generator, preset.max_elements + 1, width, preset.prior),
        }
    return {role: _shapes(network.state_dict()) for role, network in networks.items()}
