from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from imatgen_flows.errors import InputError
from imatgen_flows.jobs.candidates import _make
from imatgen_flows.models.autoencoder import ImageAutoencoder, MetricAutoencoder
from imatgen_flows.models.crystal_model import CrystalModel, load_weights, save_weights
from imatgen_flows.models.materials_vae import MaterialsVAE
from imatgen_flows.models.sampling import Samples


def test_codes_say_which_channels_a_crystal_has(crystals, compressor):
    codes, present = compressor.encode(crystals)
    assert codes.shape == (len(crystals), 6, compressor.width)
    assert torch.equal(present[:, :2], crystals.counts() > 0)
    assert not present[:, 2:5].any() and present[:, 5].all()
    assert (codes[~present] == 0).all()
    assert (codes[:, 5, 6:] == 0).all()  # the cell's code is padded


def test_codes_do_not_depend_on_batches(crystals, compressor):
    together, _ = compressor.encode(crystals)
    apart, _ = compressor.encode(crystals, batch_size=2)
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=0)


def test_codes_of_a_crystal_do_not_depend_on_the_others(crystals, compressor):
    order = torch.tensor([3, 0, 5])
    torch.testing.assert_close(
        compressor.encode(crystals[order])[0], compressor.encode(crystals)[0][order], atol=1e-4, rtol=0
    )


def test_crystals_come_back_through_all_three_networks(crystals, generator):
    read, _ = generator.compressor.codec.read(generator.decode(generator.encode(crystals)))
    oxides = crystals.counts().min(dim=1).values > 0
    assert torch.equal(read.counts()[oxides], crystals.counts()[oxides])


def test_images_have_one_channel_for_each_element(generator):
    images = generator.decode(torch.zeros(3, 16))
    assert images.cell.shape == (3, 32, 32, 32)
    assert images.basis.shape == (3, 2, 16, 16, 16)


def test_projection_leaves_vectors_without_a_crystal_alone(crystals, generator, monkeypatch):
    latent = generator.encode(crystals)
    images = generator.decode(latent)
    images.basis[1] = 0  # no atoms
    images.cell[2] = 0  # no cell
    monkeypatch.setattr(generator, "decode", lambda _: images)
    projected = generator.project(latent)
    assert torch.equal(projected[[1, 2]], latent[[1, 2]])
    assert not torch.equal(projected[0], latent[0])


def test_projection_brings_atoms_back_to_the_middle_of_the_box(crystals, generator, monkeypatch):
    latent = generator.encode(crystals)
    codec = generator.compressor.codec
    images = codec.encode(crystals)
    shifted = codec.encode(type(crystals)(**(vars(crystals) | {"positions": crystals.positions + 0.6})))
    results = []
    for drawn in (images, shifted):
        monkeypatch.setattr(generator, "decode", lambda _, drawn=drawn: drawn)
        results.append(generator.project(latent))
    torch.testing.assert_close(results[0], results[1], atol=0.05, rtol=0)


def test_projection_leaves_out_an_atom_that_cannot_be_there(crystals, generator, monkeypatch):
    latent, codec, rutile = generator.encode(crystals)[1:2], generator.compressor.codec, crystals[torch.tensor([1])]
    clean, more = codec.encode(rutile), codec.encode(rutile)
    more.basis[:, 0] += 0.5 * codec.basis.encode(rutile.positions[:, 0, :1] + 1.6)
    crystal, _ = codec.read_unchecked(more)
    assert crystal.counts().tolist() == [[5, 2]]
    results = []
    for images, asked in ((clean, None), (more, rutile.counts())):
        monkeypatch.setattr(generator, "decode", lambda _, images=images: images)
        results.append(generator.project(latent, asked))
    torch.testing.assert_close(results[1], results[0], atol=0.05, rtol=0)


@pytest.mark.parametrize("spread", [1.0, 10.0, 1000.0])
def test_the_wildest_latent_vector_costs_no_crash(generator, spread):
    latent = spread * torch.randn(20, 16, generator=torch.Generator().manual_seed(0))
    before = latent.clone()
    projected = generator.project(latent)
    assert torch.equal(latent, before)  # the samples drawn are kept as drawn
    assert projected.shape == latent.shape and projected.isfinite().all()
    images = generator.decode(projected)
    assert images.cell.isfinite().all() and images.basis.isfinite().all()
    stable = generator.stability(projected)
    assert ((stable >= 0) & (stable <= 1)).all()


def test_samples_are_the_same_whether_one_process_decodes_them_or_two(crystals, generator, monkeypatch):
    random = torch.Generator().manual_seed(0)
    near = generator.encode(crystals).repeat(30, 1)
    near = near + 0.3 * torch.randn(near.shape, generator=random)
    samples = Samples(near, 0, [()] * len(near), crystals.counts().repeat(30, 1))
    monkeypatch.setattr("imatgen_flows.jobs.candidates.WORTH_SHARING", 10)
    limits = {"max_sites": 20, "max_edge": 10.0}
    (latent, records), (again, others) = (_make(generator, samples, limits, workers) for workers in (1, 2))
    assert torch.equal(latent, again)
    assert [record.model_dump() for record in records] == [record.model_dump() for record in others]
    assert len(records) == len(near) > 128 and sum(record.id is not None for record in records) > 100


def test_saved_networks_are_the_same_networks(crystals, generator, preset, tmp_path):
    compressor = generator.compressor
    networks = {
        "cell": (compressor.cell, MetricAutoencoder(preset.cell)),
        "basis": (compressor.basis, ImageAutoencoder(preset.basis)),
        "vae": (generator.vae, MaterialsVAE(preset.generator, 6, compressor.width, preset.prior)),
    }
    for name, (trained, fresh) in networks.items():
        save_weights(trained, tmp_path / name)
        load_weights(fresh, tmp_path / name)
    cell, basis, vae = (fresh for _, fresh in networks.values())
    again = CrystalModel(type(compressor)(preset, compressor.elements, cell, basis), vae)
    assert torch.equal(again.encode(crystals), generator.encode(crystals))


def test_weights_of_another_network_are_refused(generator, preset, tmp_path):
    save_weights(generator.vae, tmp_path / "vae")
    wider = replace(preset.generator, latent=preset.generator.latent + 1)
    with pytest.raises(InputError, match="weights of another network"):
        load_weights(MaterialsVAE(wider, 6, generator.compressor.width, preset.prior), tmp_path / "vae")
