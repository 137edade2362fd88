"""Projection brings latent vectors to those of crystals that the networks reproduce."""

from dataclasses import replace

import torch

from imatgen_flows.models.projection import project


def test_projection_leaves_vectors_without_a_crystal_alone(crystals, model, monkeypatch):
    latent = model.encode(crystals)
    images = model.decode(latent)
    images.basis[1] = 0  # no atoms
    images.cell[2] = 0  # no cell
    monkeypatch.setattr(model, "decode", lambda _: images)
    projected = project(model, latent)
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
        results.append(project(model, latent))
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
        results.append(project(model, latent, targets))
    torch.testing.assert_close(results[1], results[0], atol=0.05, rtol=0)


def test_projection_puts_back_an_atom_that_the_images_lack(crystals, model, monkeypatch):
    codec, rutile = model.compressor.codec, crystals[torch.tensor([1])]
    latent, images = model.encode(rutile), codec.encode(rutile)
    oxygen = rutile.positions[:, 0][rutile.mask[:, 0]]
    images.basis[:, 0] -= codec.basis.encode(oxygen[:1][None], torch.ones(1, 1, dtype=torch.bool))
    assert codec.read_unchecked(images)[0].counts().tolist() == [[3, 2]]
    encoded = []
    monkeypatch.setattr(model, "decode", lambda _: images)
    monkeypatch.setattr(
        "imatgen_flows.models.projection.invert_where_needed",
        lambda _, crystals, __: encoded.append(crystals) or (latent, torch.ones(1, dtype=torch.bool)),
    )
    project(model, latent, rutile.counts())
    assert encoded[0].counts().tolist() == [[4, 2]]


def test_further_passes_are_for_what_is_not_reproduced_yet(crystals, model, monkeypatch):
    seen = []

    def inverted(_, crystals, __):
        seen.append(len(crystals))
        return latent[-len(crystals) :], torch.arange(len(crystals)) == 0

    latent = model.encode(crystals)
    monkeypatch.setattr("imatgen_flows.models.projection.invert_where_needed", inverted)
    monkeypatch.setattr(model.compressor, "preset", replace(model.compressor.preset, projections=3))
    project(model, latent)
    assert seen == [len(crystals), len(crystals) - 1, len(crystals) - 2]


def test_there_is_no_further_pass_where_all_are_reproduced(crystals, model, monkeypatch):
    seen = []

    def inverted(_, crystals, __):
        seen.append(len(crystals))
        return latent, torch.ones(len(crystals), dtype=torch.bool)

    latent = model.encode(crystals)
    monkeypatch.setattr("imatgen_flows.models.projection.invert_where_needed", inverted)
    monkeypatch.setattr(model.compressor, "preset", replace(model.compressor.preset, projections=3))
    assert torch.equal(project(model, latent), latent)
    assert project(model, latent[:0]).shape == latent[:0].shape
    assert seen == [len(crystals)]
