"""A model file gives back what was written, or says what is wrong with it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from imatgen_flows.errors import InputError
from imatgen_flows.models.autoencoder import ImageAutoencoder, build_autoencoder
from imatgen_flows.models.materials_vae import MaterialsVAE
from imatgen_flows.models.model_file import (
    KEY,
    LAYOUT,
    ModelCard,
    incompatibility,
    open_model,
    place_model,
    read_model,
    write_model,
)
from imatgen_flows.models.presets import DEFAULT, PAPER, get_preset
from imatgen_flows.models.registry import ROLES

ELEMENTS = ["O", "V"]


def states(preset, seed=0):
    torch.manual_seed(seed)
    width = max(preset.cell.code, preset.basis.code)
    networks = (
        build_autoencoder(preset.cell),
        ImageAutoencoder(preset.basis),
        MaterialsVAE(preset.vae, preset.max_elements + 1, width),
    )
    return {role: network.state_dict() for role, network in zip(ROLES, networks, strict=True)}


def card_of(preset, elements=ELEMENTS):
    data = {"system": ["V", "O"], "templates": {}, "limits": {}, "counts": {}, "labels": {}, "unseen_templates": []}
    training = {role: {"epochs": 2, "seed": 7, "losses": [0.1, 1 / 3]} for role in ROLES}
    return ModelCard("vo", list(elements), preset.to_dict(), data, training, {"images": {"n": 3}}, {"torch": "2"})


def same(some, others):
    return all(
        some[role].keys() == others[role].keys()
        and all(torch.equal(value, others[role][name]) for name, value in some[role].items())
        for role in ROLES
    )


@pytest.fixture(scope="module")
def networks(preset):
    return states(preset)


@pytest.fixture(scope="module")
def written(preset, networks, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "vo.safetensors"
    return path, write_model(path, card_of(preset), networks)


@pytest.fixture
def refusal(tmp_path):
    """What is said of a file with this content."""

    def of(content):
        path = tmp_path / "given.safetensors"
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_model(path)
        return str(caught.value).removeprefix(f"{path}: ")

    return of


def with_card(path, networks, text):
    """Write a file by hand, as another program might."""
    tensors = {f"{role}.{name}": value for role in ROLES for name, value in networks[role].items()}
    save_file(tensors, path, {KEY: text} if text is not None else None)
    return path.read_bytes()


def signed(content):
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return json.dumps({"sha256": digest, "card": content})


def test_weights_and_card_come_back_as_they_were(written, networks):
    path, card = written
    found, read = read_model(path)
    assert same(read, networks)
    assert json.loads(json.dumps(asdict(found))) == json.loads(json.dumps(asdict(card)))
    assert found.training["basis"]["losses"] == [0.1, 1 / 3]


def test_equal_models_give_equal_bytes_and_other_weights_another_hash(written, preset, networks, tmp_path):
    path, card = written
    write_model(tmp_path / "again.safetensors", card_of(preset), networks)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    other = write_model(tmp_path / "other.safetensors", card_of(preset), states(preset, seed=1))
    assert {role: other.sha256[role] == card.sha256[role] for role in ROLES} == {
        "cell": True,  # nothing is random in it
        "basis": False,
        "vae": False,
    }


def test_the_card_says_that_elements_share_a_network_and_that_others_are_refused_all_the_same(written):
    note = written[1].note
    assert "One basis network draws the atoms of every element" in note and "is refused" in note


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), mask=st.integers(1, 255))
def test_a_changed_byte_is_found_wherever_it_is(written, networks, tmp_path, data, mask):
    content = bytearray(written[0].read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    where = data.draw(st.one_of(st.integers(0, header - 1), st.integers(header, len(content) - 1)))
    content[where] ^= mask
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    try:
        card, read = read_model(path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:  # a blank that became another blank, between the header's words
        assert same(read, networks) and card.sha256 == written[1].sha256


@pytest.mark.parametrize("kept", [0, 7, 8, 100, 0.5, -1])
def test_a_file_that_was_cut_short_is_refused(written, refusal, kept):
    content = written[0].read_bytes()
    kept = int(kept * len(content)) if isinstance(kept, float) else kept
    assert refusal(content[:kept]).startswith("no safetensors file, or cut short")


def test_what_is_no_model_file_is_called_so(refusal, networks, tmp_path):
    assert refusal(b"PK\x03\x04 a zip, say, and long enough to hold a header").startswith("no safetensors file")
    assert "no model of imatgen-flows" in refusal(with_card(tmp_path / "bare.safetensors", networks, None))
    assert "its card cannot be read" in refusal(with_card(tmp_path / "odd.safetensors", networks, '{"card": 3}'))
    for path in (tmp_path / "nowhere.safetensors", tmp_path):
        with pytest.raises(InputError, match="no such model file"):
            read_model(path)


def test_a_card_that_was_changed_or_lacks_something_is_refused(written, refusal, networks, tmp_path):
    path, content = tmp_path / "edited.safetensors", asdict(written[1])
    text = signed(content).replace('"vo"', '"ti"')
    assert "its card is not the one that was written" in refusal(with_card(path, networks, text))
    for name in ("elements", "sha256", "training"):
        lacking = {key: value for key, value in content.items() if key != name}
        assert f"its card lacks {name}" in refusal(with_card(path, networks, signed(lacking)))
    lacking = content | {"preset": content["preset"] | {"basis": {"grid": 16}}}
    assert "preset.basis.sigma, preset.basis.code" in refusal(with_card(path, networks, signed(lacking)))
    later = signed(content | {"format": 3})
    assert "of format 3; this version of imatgen-flows reads 2" in refusal(with_card(path, networks, later))


def test_a_file_of_version_1_is_refused_with_what_to_do(written, refusal, tmp_path, networks):
    """Such a file has the role `generator` in its card and in the names of its weights."""
    content = json.loads(json.dumps(asdict(written[1])).replace('"vae"', '"generator"')) | {"format": 1}
    tensors = {f"{role}.{name}": value for role in ROLES for name, value in networks[role].items()}
    tensors = {name.replace("vae.", "generator."): value for name, value in tensors.items()}
    path = tmp_path / "old.safetensors"
    save_file(tensors, path, {KEY: signed(content)})
    message = refusal(path.read_bytes())
    assert message.startswith("a model file of format 1, written by an earlier version")
    assert "export them anew from that run with `imatgen models export RUN FILE.safetensors`" in message


def test_weights_that_are_not_those_of_the_card_are_named(written, preset, refusal, tmp_path):
    changed = states(preset)
    changed["basis"]["decoder.0.bias"][3] += 1e-7
    content = with_card(tmp_path / "swapped.safetensors", changed, signed(asdict(written[1])))
    assert refusal(content).startswith("damaged: the weights of basis are not those")
    del changed["vae"]["mean.bias"]
    content = with_card(tmp_path / "swapped.safetensors", changed, signed(asdict(written[1])))
    assert "the weights of basis, vae are not those" in refusal(content)


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        (["O", "Ti"], "trained on V-O, the campaign is of Ti-O"),
        (["Mn", "O", "V"], "trained on V-O, the campaign is of Mn-V-O"),
        (["V", "O"], "channels are in the order O-V, the campaign's in the order V-O"),
    ],
)
def test_other_elements_or_another_order_of_them_are_refused(written, preset, elements, words):
    with pytest.raises(InputError, match=f"cannot start this campaign: .*{words}"):
        open_model(written[0], elements, preset)


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (PAPER, "`model: {preset: default, grid: 32}`, the campaign has {preset: paper, grid: 64}"),
        (get_preset("default", 64), "the campaign has {preset: default, grid: 64}"),
        (replace(DEFAULT, box=12.0), "networks have box 15.0 instead of 12.0"),
        (replace(DEFAULT, basis=replace(DEFAULT.basis, sigma=0.26)), "basis.sigma 0.35 instead of 0.26"),
        (replace(DEFAULT, basis=replace(DEFAULT.basis, code=96)), "basis.code 128 instead of 96"),
        (replace(DEFAULT, cell=replace(DEFAULT.cell, style="patched")), "cell.style metric instead of patched"),
        (replace(DEFAULT, vae=replace(DEFAULT.vae, latent=32)), "vae.latent 256 instead of 32"),
    ],
)
def test_another_layout_is_refused_with_what_differs(ours, words):
    assert words in incompatibility(card_of(DEFAULT), ELEMENTS, ours)


def test_networks_that_were_trained_otherwise_fit_all_the_same():
    longer = get_preset("default", epochs=3)
    assert incompatibility(card_of(longer), ELEMENTS, replace(DEFAULT, projections=0)) == ""


@pytest.mark.parametrize("role", ROLES)
def test_settings_outside_the_layout_shape_no_network(preset, networks, role):
    shapes = {name: value.shape for name, value in networks[role].items()}
    inner = getattr(preset, role)
    for name, value in asdict(inner).items():
        if name not in LAYOUT[role]:
            other = not value if isinstance(value, bool) else value + ("" if isinstance(value, str) else 1)
            changed = states(replace(preset, **{role: replace(inner, **{name: other})}))[role]
            assert {key: item.shape for key, item in changed.items()} == shapes, name


def test_networks_of_other_layers_than_the_card_says_are_refused(preset, tmp_path):
    path = tmp_path / "other.safetensors"
    wider = replace(preset, vae=replace(preset.vae, latent=24))
    write_model(path, card_of(preset), states(wider))
    assert read_model(path)
    with pytest.raises(InputError, match="other layers than those made here: imatgen-flows another version wrote it"):
        open_model(path, ELEMENTS, preset)


def test_a_file_that_is_there_is_left_alone(written, tmp_path):
    path = tmp_path / "deep" / "vo.safetensors"
    content = written[0].read_bytes()
    place_model(path, content)
    place_model(path, content)  # the same once more does no harm
    with pytest.raises(InputError, match="another file already; it was not touched"):
        place_model(path, content[:-1])
    assert [item.name for item in path.parent.iterdir()] == ["vo.safetensors"] and path.read_bytes() == content
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        place_model(tmp_path / "vo.pt", content)
