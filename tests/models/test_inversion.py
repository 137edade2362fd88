"""Latent inversion finds codes whose images are nearer to a crystal than those of its encoder's codes."""

from dataclasses import replace

import pytest
import torch

from imatgen_flows.models.inversion import (
    GOOD_MISFIT,
    _Target,
    invert_autoencoder,
    invert_decoder,
    invert_decoder_over_origins,
    invert_where_needed,
)


@pytest.fixture
def strange(crystals):
    """The crystals with each atom some 0.3 A away from where the networks saw it in training."""
    moved = 0.3 * torch.randn(crystals.positions.shape, generator=torch.Generator().manual_seed(1))
    return replace(crystals, positions=crystals.positions + moved * crystals.mask[..., None])


def residuals(compressor, crystals, images):
    """Relative residual of the images of the elements that each crystal has."""
    wanted, there = compressor.codec.encode(crystals).basis, (crystals.counts() > 0)[..., None, None, None]
    return ((images.basis - wanted) * there).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)


def test_inverted_codes_have_images_nearer_to_strange_crystals(strange, compressor):
    before = residuals(compressor, strange, compressor.decode(compressor.encode(strange)[0]))
    after = residuals(compressor, strange, compressor.decode(invert_autoencoder(compressor, strange)))
    assert (after < before).all()
    assert after.mean() < 0.9 * before.mean()
    codes = invert_autoencoder(compressor, strange), compressor.encode(strange)[0]
    assert torch.equal(codes[0][:, -1], codes[1][:, -1])  # the cell's is exact


def test_inverted_latent_vectors_too_atoms_and_cells_together(strange, model):
    codes, present = model.compressor.encode(strange)
    target, rows = _Target(model.compressor, strange, codes, present), torch.arange(len(strange))
    with torch.no_grad():
        before, after = (
            target.misfit(model.vae.decode(latent), rows)
            for latent in (model.encode(strange), invert_decoder(model, strange))
        )
    assert (after < before).all()
    assert after.mean() < 0.8 * before.mean()


def test_the_result_for_a_crystal_does_not_depend_on_the_others(strange, model):
    together = invert_decoder(model, strange, steps=5)
    alone = invert_decoder(model, strange[torch.tensor([3])], steps=5)
    torch.testing.assert_close(together[3:4], alone, atol=1e-3, rtol=0)


def test_of_several_origins_of_a_crystal_the_one_with_the_smallest_misfit_is_kept(crystals, strange, model):
    n = len(crystals)
    origin_shifts = replace(
        crystals,
        lattices=torch.cat([strange.lattices, crystals.lattices]),
        positions=torch.cat([strange.positions, crystals.positions]),
        mask=torch.cat([strange.mask, crystals.mask]),
    )
    whose = torch.arange(n).repeat(2)
    found, rows = invert_decoder_over_origins(model, origin_shifts, whose, steps=3)
    of_strange, of_seen = invert_decoder(model, strange, steps=3), invert_decoder(model, crystals, steps=3)
    # the networks reproduce crystals of the training set better than those that are 0.3 A from them
    torch.testing.assert_close(found, of_seen, atol=1e-3, rtol=0)
    assert rows.tolist() == list(range(n, 2 * n))
    alone, _ = invert_decoder_over_origins(model, strange, torch.arange(n), steps=3)
    torch.testing.assert_close(alone, of_strange, atol=1e-3, rtol=0)


def test_a_crystal_that_is_reproduced_is_not_tried_from_another_origin(crystals, model, monkeypatch):
    monkeypatch.setattr("imatgen_flows.models.inversion.EXACT_MISFIT", 1e9)
    twice = crystals[torch.arange(len(crystals)).repeat(2)]
    _, rows = invert_decoder_over_origins(model, twice, torch.arange(len(crystals)).repeat(2), steps=3)
    assert rows.tolist() == list(range(len(crystals)))


def test_without_a_step_the_result_is_the_encoder_s(crystals, model):
    compressor = model.compressor
    assert torch.equal(invert_autoencoder(compressor, crystals, steps=0), compressor.encode(crystals)[0])
    assert torch.equal(invert_decoder(model, crystals, steps=0), model.encode(crystals))
    assert invert_decoder(model, crystals[:0]).shape == (0, 16)


def test_inversion_leaves_the_weights_of_the_networks_alone(strange, model):
    before = {name: value.clone() for name, value in model.vae.named_parameters()}
    for network in (model.vae, model.compressor.basis):
        network.zero_grad()
    invert_decoder(model, strange, steps=3)
    invert_autoencoder(model.compressor, strange, steps=3)
    assert all(torch.equal(before[name], value) for name, value in model.vae.named_parameters())
    networks = (model.vae, model.compressor.basis)
    assert all(weight.grad is None for network in networks for weight in network.parameters())


def test_a_few_steps_correct_what_the_encoder_reproduces_badly_and_leave_the_rest(crystals, strange, model):
    both = replace(
        crystals,
        lattices=torch.cat([crystals.lattices, strange.lattices]),
        positions=torch.cat([crystals.positions, strange.positions]),
        mask=torch.cat([crystals.mask, strange.mask]),
    )
    encoded, well = invert_where_needed(model, both, 0)
    torch.testing.assert_close(encoded, model.encode(both))
    inverted, better = invert_where_needed(model, both, 20)
    target = _Target(model.compressor, both, *model.compressor.encode(both))
    with torch.no_grad():
        before, after = (target.misfit(model.vae.decode(z), torch.arange(len(both))) for z in (encoded, inverted))
    assert torch.equal(well, before <= GOOD_MISFIT) and torch.equal(better, after <= GOOD_MISFIT)
    assert (~well).any()
    assert torch.equal(inverted[well], encoded[well])
    assert after[~well].mean() < 0.9 * before[~well].mean()
