from __future__ import annotations

import json

import pytest
import torch

from imatgen_flows.errors import InputError
from imatgen_flows.models.autoencoder import ImageAutoencoder
from imatgen_flows.models.presets import DEFAULT, LARGE, PAPER, SETTINGS, get_preset
from imatgen_flows.models.registry import PRESETS, ROLES


def test_the_paper_preset_is_as_published():
    cell, basis, vae = PAPER.cell, PAPER.basis, PAPER.vae
    assert (cell.code, cell.grid, cell.learning_rate, cell.batch_size, cell.epochs) == (20, 32, 1e-4, 32, 20)
    assert (basis.code, basis.grid, basis.learning_rate, basis.batch_size, basis.epochs) == (200, 64, 3e-4, 24, 20)
    assert (vae.latent, vae.learning_rate, vae.batch_size, vae.epochs) == (500, 1e-4, 64, 142)
    assert (vae.kl_weight, vae.classifier_weight, vae.latent_scale, vae.perturbation) == (1e-6, 5e-7, 1e-4, 0.001)
    assert cell.sigma == basis.sigma == 0.26
    assert cell.loss == basis.loss == "mse"
    assert (PAPER.box, PAPER.max_elements, PAPER.projections) == (15.0, 5, 0)


def test_an_unknown_preset_is_named_beside_those_that_exist():
    with pytest.raises(InputError, match="unknown preset `best`. Known: default, large, paper"):
        get_preset("best")


def test_each_preset_of_the_registry_has_settings_and_no_other():
    assert set(SETTINGS) == set(PRESETS.names)
    assert all(preset.name == name for name, preset in SETTINGS.items())


@pytest.mark.parametrize("name", PRESETS.names)
@pytest.mark.parametrize("grid", [32, 64])
def test_either_grid_goes_through_either_basis_autoencoder(name, grid):
    settings = get_preset(name, grid).basis
    model = ImageAutoencoder(settings).eval()
    with torch.no_grad():
        images = torch.rand(2, grid, grid, grid)
        assert model.encode(images).shape == (2, settings.code)
        assert model(images).shape == images.shape


@pytest.mark.parametrize("preset", [PAPER, DEFAULT, LARGE])
def test_a_preset_asked_for_on_its_own_grid_is_the_preset(preset):
    assert get_preset(preset.name) == get_preset(preset.name, preset.basis.grid) == preset


def test_the_factor_on_epochs_leaves_one_for_all_that_is_trained():
    short = get_preset("default", epochs=0.001)
    assert (short.basis.epochs, short.vae.epochs) == (1, 1)
    assert short.cell.epochs == 0  # nothing to learn
    double = get_preset("default", epochs=2)
    assert double.basis.epochs == 2 * DEFAULT.basis.epochs
    assert double.vae.min_steps == 2 * DEFAULT.vae.min_steps


def test_a_preset_becomes_plain_values():
    values = json.loads(json.dumps(DEFAULT.to_dict()))
    assert values["basis"]["channels"] == list(DEFAULT.basis.channels)
    assert values["name"] == "default"
    assert all(values[role] for role in ROLES)


def test_settings_that_a_network_was_trained_with_take_the_place_of_the_preset_s():
    assert DEFAULT.to_dict({"vae": {"latent": 3}}) == DEFAULT.to_dict() | {"vae": {"latent": 3}}
