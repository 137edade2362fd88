from __future__ import annotations

import copy
import signal
from dataclasses import replace

import pytest
import torch
from torch import nn

from imatgen_flows.models.autoencoder import ImageAutoencoder, MetricAutoencoder, _Merge, _Split, build_autoencoder
from imatgen_flows.models.fitting import fit_basis_autoencoder, fit_cell_autoencoder
from imatgen_flows.models.losses import image_loss
from imatgen_flows.models.presets import DEFAULT, PAPER, get_preset
from imatgen_flows.models.training import TrainingInterrupted
from imatgen_flows.representation import BasisImageCodec, CellImageCodec
from imatgen_flows.representation.cell import cell_parameters


@pytest.mark.parametrize(("settings", "halvings"), [(PAPER.cell, 3), (PAPER.basis, 4)], ids=["cell", "basis"])
def test_published_networks_have_the_layers_of_the_paper(settings, halvings):
    model = build_autoencoder(settings)
    down = [layer for layer in model.encoder if isinstance(layer, nn.Conv3d)]
    up = [layer for layer in model.decoder if isinstance(layer, nn.ConvTranspose3d)]
    layers = [*down, *up]
    assert [layer.bias for layer in layers] == [None] * (2 * halvings + 2)
    assert sum(p.numel() for p in model.parameters()) == sum(layer.weight.numel() for layer in layers)  # no norms
    assert {layer.kernel_size for layer in layers} == {(4, 4, 4)}
    sizes = [1, *[64] * halvings, settings.code]
    assert [(layer.in_channels, layer.out_channels) for layer in down] == list(zip(sizes, sizes[1:], strict=False))
    sizes.reverse()
    assert [(layer.in_channels, layer.out_channels) for layer in up] == list(zip(sizes, sizes[1:], strict=False))
    assert [layer.stride[0] for layer in down] == [2] * halvings + [1]
    assert {layer.negative_slope for layer in model.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}
    with torch.no_grad():
        codes = model.encode(torch.rand(1, *[settings.grid] * 3))
    assert codes.shape == (1, settings.code)
    assert codes.abs().max() <= 1


def test_the_published_basis_output_is_a_ramp_with_exact_zeros():
    with torch.no_grad():
        images = ImageAutoencoder(PAPER.basis).decode(torch.randn(1, 200))
    assert (images == 0).any()
    assert images.min() >= 0 and images.max() <= 1


def test_a_clipped_output_has_exact_zeros_and_ones_and_a_gradient_at_both():
    model = ImageAutoencoder(DEFAULT.basis).eval()
    with torch.no_grad():
        model.decoder[-2].bias.copy_(torch.linspace(-8, 8, 64))
    images = model.decode(torch.zeros(1, DEFAULT.basis.code))
    assert images.min() == 0 and images.max() == 1
    assert ((images > 0) & (images < 1)).any()
    output, target = model.compare(torch.full_like(images, 0.5).detach())
    image_loss(output, target, "balanced").backward()
    assert (model.decoder[-2].bias.grad != 0).all()  # what is clipped too far can come back


def test_splitting_undoes_merging():
    blocks = torch.randn(2, 8, 8, 8, 3)
    assert torch.equal(_Split(2)(_Merge(2)(blocks)), blocks)
    # a merged block holds the voxels of its own corner of the image
    assert set(_Merge(4)(blocks)[0, 0, 1, 0].tolist()) == set(blocks[0, :4, 4:, :4].flatten().tolist())


def test_a_patched_network_begins_near_the_empty_image():
    model = ImageAutoencoder(DEFAULT.basis).eval()
    with torch.no_grad():
        assert model.decode(torch.randn(2, DEFAULT.basis.code)).mean() < 0.05


def test_a_short_training_does_not_collapse_to_the_empty_image(crystals, compressor):
    codes, present = compressor.encode(crystals)
    read, decode_qualities = compressor.codec.read(compressor.decode(codes))
    there = present[:, :2]
    assert torch.equal(read.counts()[there], crystals.counts()[there])
    assert max(c.residual for c, whole in zip(decode_qualities, there.all(dim=1), strict=True) if whole) < 0.5


def test_convolutions_learn_images_too(crystals, preset, tmp_path):
    settings = replace(get_preset("large").basis, grid=16, channels=(16, 16), code=24, batch_size=13, min_steps=150)
    model, history = fit_basis_autoencoder(crystals, settings, 7, tmp_path, box=preset.box)
    assert history[-1]["loss"] < 0.3 * history[0]["loss"]
    images = BasisImageCodec(grid=16, box=preset.box, sigma=settings.sigma).encode(
        crystals.positions[:6, 0], crystals.mask[:6, 0]
    )
    with torch.no_grad():
        codes = model.encode(images)
        assert image_loss(model.decode(codes), images, "balanced") < 0.5 * image_loss(
            torch.zeros_like(images), images, "balanced"
        )
    assert codes.shape == (6, 24)


def test_codes_of_the_training_set_have_unit_variance(crystals, compressor):
    codes, present = compressor.encode(crystals)
    numbers = codes[:, :2][present[:, :2]]
    assert numbers.mean().item() == pytest.approx(0, abs=0.1)
    assert numbers.std().item() == pytest.approx(1, abs=0.15)
    assert codes[:, -1, :6].std().item() == pytest.approx(1, abs=0.15)


def test_the_same_seed_trains_the_same_weights(crystals, preset, tmp_path):
    settings = replace(preset.basis, min_steps=3)
    again = [
        fit_basis_autoencoder(crystals, settings, seed, tmp_path / name, box=preset.box)[0].state_dict()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    name = "encoder.1.weight"
    assert torch.equal(again[0][name], again[1][name])
    assert not torch.equal(again[0][name], again[2][name])


def test_an_autoencoder_that_a_signal_stopped_ends_as_one_that_nothing_did(crystals, preset, tmp_path, monkeypatch):
    settings = replace(preset.basis, min_steps=6)
    whole, history = fit_basis_autoencoder(crystals, settings, 1, tmp_path / "whole", box=preset.box)
    encode, drawn = BasisImageCodec.encode, []

    def encode_and_warn(*arguments):
        drawn.append(1)
        if len(drawn) == 3:
            signal.raise_signal(signal.SIGUSR1)  # as SLURM does before the walltime
        return encode(*arguments)

    monkeypatch.setattr(BasisImageCodec, "encode", encode_and_warn)
    with pytest.raises(TrainingInterrupted, match="after step 3 of 6"):
        fit_basis_autoencoder(crystals, settings, 1, tmp_path / "stopped", box=preset.box)
    again, rows = fit_basis_autoencoder(crystals, settings, 1, tmp_path / "stopped", box=preset.box)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert [row["loss"] for row in rows] == [row["loss"] for row in history]


def test_channels_last_is_a_matter_of_memory_alone():
    settings = replace(PAPER.basis, grid=16, channels=(8, 8), code=10)
    torch.manual_seed(0)
    model, images = ImageAutoencoder(settings), torch.rand(2, 16, 16, 16)
    other = copy.deepcopy(model).to(memory_format=torch.channels_last_3d)
    assert not other.encoder[2].weight.is_contiguous()
    for network in (model, other):
        image_loss(network(images), images, "mse").backward()
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-7)


def test_a_published_cell_autoencoder_learns(crystals, tmp_path):
    settings = replace(PAPER.cell, epochs=6, channels=(8, 8, 8), learning_rate=1e-2)
    model, history = fit_cell_autoencoder(crystals, settings, 0, tmp_path)
    assert len(history) == 6
    assert history[-1]["loss"] < history[0]["loss"]
    assert not model.training


@pytest.fixture(scope="module")
def metric(lattices):
    model = MetricAutoencoder(DEFAULT.cell)
    model.fit(lattices)
    return model


def test_cells_come_back_from_six_numbers(metric, lattices):
    codes = metric.encode(metric.codec.encode(lattices))
    assert codes.shape == (len(lattices), 6)
    error = (metric.codec.decode(metric.decode(codes)) - cell_parameters(lattices.double())).abs().amax(dim=0)
    assert (error[:3] < 0.001).all()  # A
    assert (error[3:] < 0.01).all()  # degrees


def test_a_cell_has_the_code_of_its_image(metric, lattices):
    codec = CellImageCodec(grid=DEFAULT.cell.grid, sigma=DEFAULT.cell.sigma)
    torch.testing.assert_close(
        metric.encode_lattices(lattices), metric.encode(codec.encode(lattices)), atol=1e-3, rtol=0
    )


def test_metric_codes_have_zero_mean_and_unit_variance(metric, lattices):
    codes = metric.encode(metric.codec.encode(lattices))
    torch.testing.assert_close(codes.mean(0), torch.zeros(6), atol=1e-3, rtol=0, check_dtype=False)
    torch.testing.assert_close(codes.std(0, correction=0), torch.ones(6), atol=1e-3, rtol=0, check_dtype=False)


def test_codes_between_those_of_cells_are_cells(metric, lattices):
    codes = metric.encode(metric.codec.encode(lattices)).float()
    middle = (codes + codes.flip(0)) / 2
    cells, ok = metric.codec.try_decode(metric.decode(middle))
    assert ok.all()
    again = metric.encode(metric.decode(middle))
    torch.testing.assert_close(again, middle, atol=2e-3, rtol=0, check_dtype=False)
    assert cells[:, :3].min() > 2 and cells[:, :3].max() < 12


def test_random_codes_are_cells(lattices):
    model = MetricAutoencoder(DEFAULT.cell)
    model.fit(lattices * 0.7)  # primitive cells, 2 to 7 A
    codes = torch.randn(500, 6, generator=torch.Generator().manual_seed(0))
    _, ok = model.codec.try_decode(model.decode(codes))
    assert ok.all()


@pytest.mark.parametrize("spread", [5.0, 50.0, 1e4])
def test_the_wildest_code_draws_an_image(metric, spread):
    codes = spread * torch.randn(100, 6, generator=torch.Generator().manual_seed(0))
    images = metric.decode(codes)
    assert images.isfinite().all() and images.min() >= 0 and images.max() <= 1
    cells, ok = metric.codec.try_decode(images)
    assert cells[ok].isfinite().all()


def test_a_dataset_of_one_cubic_cell_has_finite_codes():
    lattices = torch.eye(3).expand(4, 3, 3) * 4.2
    model = MetricAutoencoder(DEFAULT.cell)
    model.fit(lattices)
    images = CellImageCodec().encode(lattices)
    assert model.encode(images).abs().max() < 0.1
    parameters = model.codec.decode(model.decode(model.encode(images)))
    torch.testing.assert_close(parameters[0], torch.tensor([4.2] * 3 + [90.0] * 3), atol=1e-3, rtol=0)


def test_the_metric_decoder_passes_gradients_to_the_code(metric):
    codes = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    metric.decode(codes).sum().backward()
    assert codes.grad.isfinite().all()
    assert (codes.grad != 0).any()
