from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from imatgen_flows.models.fitting import fit_vae
from imatgen_flows.models.materials_vae import MaterialsVAE
from imatgen_flows.models.presets import DEFAULT, PAPER


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    return MaterialsVAE(PAPER.vae, channels=6, width=200).eval()


def test_the_published_vae_has_the_layers_of_the_paper(published):
    down = [layer for layer in published.encoder if isinstance(layer, nn.Conv1d)]
    up = [layer for layer in published.decoder if isinstance(layer, nn.ConvTranspose1d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in down] == [
        (6, 100, 4, 2),
        (100, 100, 4, 2),
        (100, 100, 4, 2),
        (100, 50, 1, 1),
    ]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in up] == [
        (50, 100, 1, 1),
        (100, 100, 4, 2),
        (100, 100, 4, 2),
        (100, 6, 4, 2),
    ]
    assert all(layer.bias is None for layer in (*down, *up))
    assert published.mean.in_features == published.log_variance.in_features == 1250
    assert published.mean.out_features == published.log_variance.out_features == 500
    assert [(p.in_features, p.out_features) for p in published.classifier if isinstance(p, nn.Linear)] == [
        (500, 500),
        (500, 1),
    ]
    assert isinstance(published.classifier[1], nn.Tanh)


@pytest.mark.parametrize("settings", [PAPER.vae, DEFAULT.vae], ids=["paper", "default"])
def test_codes_go_to_latent_vectors_and_back(settings):
    model = MaterialsVAE(settings, channels=6, width=200).eval()
    codes, noise = torch.randn(3, 6, 200), torch.randn(3, settings.latent)
    with torch.no_grad():
        output, logits, mean, log_variance = model(codes, noise)
    assert output.shape == codes.shape
    assert logits.shape == (3,)
    assert mean.shape == log_variance.shape == (3, settings.latent)


def test_the_latent_scale_reaches_decoder_and_classifier(published):
    codes, noise = torch.randn(2, 6, 200), torch.randn(2, 500)
    with torch.no_grad():
        output, logits, mean, log_variance = published(codes, noise)
        latent = 1e-4 * (mean + torch.exp(log_variance / 2) * noise)
        torch.testing.assert_close(output, published.decode(latent))
        torch.testing.assert_close(logits, published.stability(latent))
        torch.testing.assert_close(published.encode(codes), 1e-4 * mean)
    assert output.abs().max() <= 1


def test_the_variance_stays_finite_whatever_the_codes():
    model = MaterialsVAE(DEFAULT.vae, channels=3, width=16).eval()
    with torch.no_grad():
        for scale in (0.0, 1e6):
            outputs = model(scale * torch.randn(2, 3, 16), torch.randn(2, DEFAULT.vae.latent))
            assert all(output.isfinite().all() for output in outputs)
            assert outputs[3].exp().isfinite().all()


def test_training_separates_stable_from_unstable_and_ignores_the_unlabelled(crystals, model):
    stable = model.stability(model.encode(crystals))
    assert stable[[0, 2, 4]].min() > 0.5 > stable[[1, 3, 5]].max()


def test_training_without_any_label_works(crystals, compressor, preset, tmp_path):
    codes, present = compressor.encode(crystals)
    short = replace(preset, vae=replace(preset.vae, min_steps=5))
    _, history = fit_vae(codes, present, torch.full((len(codes),), torch.nan), short, 0, tmp_path)
    assert len(history) == 5
    assert all(row["loss"] > 0 for row in history)


def test_the_published_training_takes_a_step(crystals, tmp_path):
    preset = replace(PAPER, vae=replace(PAPER.vae, epochs=2))
    generator = torch.Generator().manual_seed(0)
    codes = torch.rand(8, 6, 200, generator=generator) * 2 - 1
    present = torch.ones(8, 6, dtype=torch.bool)
    _, history = fit_vae(codes, present, torch.ones(8), preset, 0, tmp_path)
    assert history[1]["loss"] < history[0]["loss"]
