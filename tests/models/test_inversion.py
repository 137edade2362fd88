"""Codes that are looked for show a crystal better than those that an encoder guesses."""

from dataclasses import replace

import pytest
import torch

from imatgen_flows.models.inversion import _Target, invert_autoencoder, invert_decoder, invert_decoder_over_origins


@pytest.fixture
def strange(crystals):
    """The crystals with each atom some 0.3 A away from where the networks learnt it."""
    moved = 0.3 * torch.randn(crystals.positions.shape, generator=torch.Generator().manual_seed(1))
    return replace(crystals, positions=crystals.positions + moved * crystals.mask[..., None])


def residuals(compressor, crystals, images):
    """Of the atoms of each crystal, elements that it has not left out."""
    wanted, there = compressor.codec.encode(crystals).basis, (crystals.counts() > 0)[..., None, None, None]
    return ((images.basis - wanted) * there).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)


def test_refined_codes_show_strange_crystals_better(strange, compressor):
    before = residuals(compressor, strange, compressor.decode(compressor.encode(strange)[0]))
    after = residuals(compressor, strange, compressor.decode(invert_autoencoder(compressor, strange)))
    assert (after < before).all()
    assert after.mean() < 0.9 * before.mean()
    codes = invert_autoencoder(compressor, strange), compressor.encode(strange)[0]
    assert torch.equal(codes[0][:, -1], codes[1][:, -1])  # the cell's is exact


def test_refined_latent_vectors_show_them_better_atoms_and_cells_together(strange, generator):
    codes, present = generator.compressor.encode(strange)
    target, rows = _Target(generator.compressor, strange, codes, present), torch.arange(len(strange))
    with torch.no_grad():
        before, after = (
            target.misfit(generator.vae.decode(latent), rows)
            for latent in (generator.encode(strange), invert_decoder(generator, strange))
        )
    assert (after < before).all()
    assert after.mean() < 0.8 * before.mean()


def test_a_crystal_is_refined_by_itself(strange, generator):
    together = invert_decoder(generator, strange, steps=5)
    alone = invert_decoder(generator, strange[torch.tensor([3])], steps=5)
    torch.testing.assert_close(together[3:4], alone, atol=1e-3, rtol=0)


def test_of_several_tellings_of_a_crystal_the_one_that_is_shown_best_is_kept(crystals, strange, generator):
    n = len(crystals)
    origin_shifts = replace(
        crystals,
        lattices=torch.cat([strange.lattices, crystals.lattices]),
        positions=torch.cat([strange.positions, crystals.positions]),
        mask=torch.cat([strange.mask, crystals.mask]),
    )
    whose = torch.arange(n).repeat(2)
    found = invert_decoder_over_origins(generator, origin_shifts, whose, steps=3)
    told, learnt = invert_decoder(generator, strange, steps=3), invert_decoder(generator, crystals, steps=3)
    # what the networks learnt they show better than what is 0.3 A from it
    torch.testing.assert_close(found, learnt, atol=1e-3, rtol=0)
    alone = invert_decoder_over_origins(generator, strange, torch.arange(n), steps=3)
    torch.testing.assert_close(alone, told, atol=1e-3, rtol=0)


def test_without_a_step_the_encoder_has_the_word(crystals, generator):
    compressor = generator.compressor
    assert torch.equal(invert_autoencoder(compressor, crystals, steps=0), compressor.encode(crystals)[0])
    assert torch.equal(invert_decoder(generator, crystals, steps=0), generator.encode(crystals))
    assert invert_decoder(generator, crystals[:0]).shape == (0, 16)


def test_the_networks_do_not_learn_from_it(strange, generator):
    before = {name: value.clone() for name, value in generator.vae.named_parameters()}
    for network in (generator.vae, generator.compressor.basis):
        network.zero_grad()
    invert_decoder(generator, strange, steps=3)
    invert_autoencoder(generator.compressor, strange, steps=3)
    assert all(torch.equal(before[name], value) for name, value in generator.vae.named_parameters())
    networks = (generator.vae, generator.compressor.basis)
    assert all(weight.grad is None for network in networks for weight in network.parameters())
