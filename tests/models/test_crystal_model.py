from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from imatgen_flows.candidates.decode_samples import decode_samples
from imatgen_flows.errors import InputError
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


def test_crystals_come_back_through_all_three_networks(crystals, model):
    read, _ = model.compressor.codec.read(model.decode(model.encode(crystals)))
    oxides = crystals.counts().min(dim=1).values > 0
    assert torch.equal(read.counts()[oxides], crystals.counts()[oxides])


def test_images_have_one_channel_for_each_element(model):
    images = model.decode(torch.zeros(3, 16))
    assert images.cell.shape == (3, 32, 32, 32)
    assert images.basis.shape == (3, 2, 16, 16, 16)


def test_projection_leaves_vectors_without_a_crystal_alone(crystals, model, monkeypatch):
    latent = model.encode(crystals)
    images = model.decode(latent)
    images.basis[1] = 0  # no atoms
    images.cell[2] = 0  # no cell
    monkeypatch.setattr(model, "decode", lambda _: images)
    projected = model.project(latent)
    assert torch.equal(projected[[1, 2]], latent[[1, 2]])
    assert not torch.equal(projected[0], latent[0])


def test_projection_brings_atoms_back_to_the_middle_of_the_box(crystals, model, monkeypatch):
    latent = model.encode(crystals)
    codec = model.compressor.codec
    images = codec.encode(crystals)
    shifted = codec.encode(type(crystals)(**(vars(crystals) | {"positions": crystals.positions + 0.6})))
    results = []
    for drawn in (images, shifted):
        monkeypatch.setattr(model, "decode", lambda _, drawn=drawn: drawn)
        results.append(model.project(latent))
    torch.testing.assert_close(results[0], results[1], atol=0.05, rtol=0)


def test_projection_leaves_out_an_atom_that_cannot_be_there(crystals, model, monkeypatch):
    latent, codec, rutile = model.encode(crystals)[1:2], model.compressor.codec, crystals[torch.tensor([1])]
    clean, more = codec.encode(rutile), codec.encode(rutile)
    more.basis[:, 0] += 0.5 * codec.basis.encode(rutile.positions[:, 0, :1] + 1.6)
    crystal, _ = codec.read_unchecked(more)
    assert crystal.counts().tolist() == [[5, 2]]
    results = []
    for images, targets in ((clean, None), (more, rutile.counts())):
        monkeypatch.setattr(model, "decode", lambda _, images=images: images)
        results.append(model.project(latent, targets))
    torch.testing.assert_close(results[1], results[0], atol=0.05, rtol=0)


@pytest.mark.parametrize("spread", [1.0, 10.0, 1000.0])
def test_the_wildest_latent_vector_costs_no_crash(model, spread):
    latent = spread * torch.randn(20, 16, generator=torch.Generator().manual_seed(0))
    before = latent.clone()
    projected = model.project(latent)
    assert torch.equal(latent, before)  # the samples drawn are kept as drawn
    assert projected.shape == latent.shape and projected.isfinite().all()
    images = model.decode(projected)
    assert images.cell.isfinite().all() and images.basis.isfinite().all()
    stable = model.stability(projected)
    assert ((stable >= 0) & (stable <= 1)).all()


def test_samples_are_the_same_whether_one_process_decodes_them_or_two(crystals, model, monkeypatch):
    random = torch.Generator().manual_seed(0)
    near = model.encode(crystals).repeat(30, 1)
    near = near + 0.3 * torch.randn(near.shape, generator=random)
    samples = Samples(near, 0, [()] * len(near), crystals.counts().repeat(30, 1))
    monkeypatch.setattr("imatgen_flows.candidates.decode_samples.MIN_PARALLEL", 10)
    (latent, records), (again, others) = (decode_samples(model, samples, 20, 10.0, workers) for workers in (1, 2))
    assert torch.equal(latent, again)
    assert [item.row for item in records] == [item.row for item in others]
    for item, other in zip(records, others, strict=True):
        assert (item.crystal is None) == (other.crystal is None)
        if item.crystal is not None:
            assert all(np.array_equal(*pair) for pair in zip(item.crystal, other.crystal, strict=True))
    assert len(records) == len(near) > 128 and sum(item.is_valid for item in records) > 100


def test_saved_networks_are_the_same_networks(crystals, model, preset, tmp_path):
    compressor = model.compressor
    networks = {
        "cell": (compressor.cell, MetricAutoencoder(preset.cell)),
        "basis": (compressor.basis, ImageAutoencoder(preset.basis)),
        "vae": (model.vae, MaterialsVAE(preset.vae, 6, compressor.width, preset.prior)),
    }
    for name, (trained, fresh) in networks.items():
        save_weights(trained, tmp_path / name)
        load_weights(fresh, tmp_path / name)
    cell, basis, vae = (fresh for _, fresh in networks.values())
    again = CrystalModel(type(compressor)(preset, compressor.elements, cell, basis), vae)
    assert torch.equal(again.encode(crystals), model.encode(crystals))


def test_weights_of_another_network_are_refused(model, preset, tmp_path):
    save_weights(model.vae, tmp_path / "vae")
    wider = replace(preset.vae, latent=preset.vae.latent + 1)
    with pytest.raises(InputError, match="weights of another network"):
        load_weights(MaterialsVAE(wider, 6, model.compressor.width, preset.prior), tmp_path / "vae")
