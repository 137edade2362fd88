from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Composition

from imatgen_flows.candidates.decode_samples import decode_samples
from imatgen_flows.crystals.shortest_distances import shortest_distances
from imatgen_flows.crystals.volumes import expected_volume
from imatgen_flows.errors import InputError
from imatgen_flows.models.autoencoder import ImageAutoencoder, MetricAutoencoder
from imatgen_flows.models.crystal_model import CrystalModel, ImageCompressor, load_weights, save_weights
from imatgen_flows.models.materials_vae import MaterialsVAE
from imatgen_flows.models.projection import project
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


@pytest.mark.parametrize("spread", [1.0, 10.0, 1000.0])
def test_the_wildest_latent_vector_costs_no_crash(model, spread):
    latent = spread * torch.randn(20, 16, generator=torch.Generator().manual_seed(0))
    before = latent.clone()
    for counts in (None, torch.tensor([[4, 2], [0, 3]] * 10)):
        projected = project(model, latent, counts)
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


def test_in_images_of_one_volume_atoms_overlap_where_they_would_at_the_volume_of_their_elements(compressor):
    preset = replace(compressor.preset, volume=18.0)
    own, drawn = (
        ImageCompressor(settings, ("O", "V"), compressor.cell, compressor.basis)
        for settings in (compressor.preset, preset)
    )
    counts = torch.tensor([[4, 2], [3, 2]])
    taken_up = [expected_volume(Composition(formula)) for formula in ("V2O4", "V2O3")]
    for row, volume in enumerate(taken_up):
        scale = (18.0 * int(counts[row].sum()) / volume) ** (1 / 3)
        assert own.shortest_distances(counts)[row] == pytest.approx(shortest_distances(["O", "V"]))
        assert drawn.shortest_distances(counts)[row] == pytest.approx(scale * shortest_distances(["O", "V"]))
