from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from imatgen_flows.representation.basis import MAX_PEAKS, BasisImageCodec, _highest

GRIDS = [{"grid": 64, "sigma": 0.26}, {"grid": 32, "sigma": 0.35}, {"grid": 32, "sigma": 0.26}]
grids = pytest.mark.parametrize("settings_", GRIDS, ids=lambda s: f"{s['grid']}-{s['sigma']}")


def crowd(seed, n, apart, low=4.0, high=11.0):
    """Points (n, 3) in a cube, no two closer than `apart`."""
    rng, points = np.random.default_rng(seed), []
    while len(points) < n:
        point = rng.uniform(low, high, 3)
        if all(np.linalg.norm(point - other) > apart for other in points):
            points.append(point)
    return np.array(points)


def distances(wanted, found, box=15.0):
    assert len(wanted) == len(found)
    apart = np.asarray(wanted)[:, None] - found
    squares = ((apart - box * np.round(apart / box)) ** 2).sum(-1)
    return np.sqrt(squares[linear_sum_assignment(squares)])


def dense(positions, grid=64, box=15.0, sigma=0.26, cutoff=0.02):
    """The published definition: minimum-image distances of each atom to all grid points."""
    axis = np.arange(grid) * box / grid
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    image = np.zeros((grid,) * 3)
    for position in positions:
        apart = points - position
        apart -= box * np.round(apart / box)
        p = np.exp(-(apart**2).sum(axis=-1) / (2 * sigma**2))
        image += np.where(p < cutoff, 0, p)
    return image


@grids
def test_images_equal_the_dense_definition(settings_):
    inside = crowd(0, 6, 0.8)
    across_faces = np.array([[0.1, 7.3, 14.95], [14.9, 0.0, 0.2], [7.5, 7.5, 7.5]])
    positions = np.float32([*inside, *across_faces])
    image = BasisImageCodec(**settings_).encode(positions[None])[0]
    np.testing.assert_allclose(image.numpy(), dense(positions.astype(float), **settings_), atol=1e-6)
    assert image.dtype == torch.float32


@grids
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 20))
def test_every_atom_comes_back(settings_, seed, n):
    positions, codec = crowd(seed, n, apart=1.25), BasisImageCodec(**settings_)
    (found,) = codec.decode(codec.encode(positions[None]))
    assert distances(positions, found).max() < 1e-4


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_atoms_that_share_a_peak_come_apart(seed):
    rng = np.random.default_rng(seed)
    middle, direction = rng.uniform(5, 10, 3), rng.normal(size=3)
    half = 0.5 * 3.2 * direction / np.linalg.norm(direction)
    for codec in (BasisImageCodec(**settings_) for settings_ in GRIDS[:2]):
        pair = np.array([middle - codec.sigma * half, middle + codec.sigma * half])
        (found,) = codec.decode(codec.encode(pair[None]))
        assert distances(pair, found).max() < 1e-4


@grids
def test_an_atom_halfway_between_voxels_is_one_atom(settings_):
    codec = BasisImageCodec(**settings_)
    halves = torch.cartesian_prod(*[torch.tensor([0.0, 0.5])] * 3)
    positions = (halves + 10) * codec.voxel
    for position, found in zip(positions, codec.decode(codec.encode(positions[:, None])), strict=True):
        np.testing.assert_allclose(found, position[None].numpy(), atol=1e-5)


def test_an_atom_on_the_face_of_the_box_is_found_once():
    codec = BasisImageCodec()
    for place in (0.0, 0.05, 14.95):
        (found,) = codec.decode(codec.encode(torch.full((1, 1, 3), place)))
        assert distances([[place] * 3], found).max() < 1e-4
        assert ((found >= 0) & (found < 15)).all()


def test_moving_by_whole_voxels_rolls_the_image():
    codec, positions = BasisImageCodec(), torch.tensor(crowd(1, 5, 1.0, high=9))[None]
    moved = codec.encode(positions + codec.voxel * torch.tensor([3, 0, 7]))
    torch.testing.assert_close(moved, codec.encode(positions).roll((3, 7), dims=(1, 3)), atol=1e-5, rtol=0)


def test_what_is_masked_is_not_shown():
    codec, positions = BasisImageCodec(), torch.tensor(crowd(2, 6, 1.0))[None]
    mask = torch.tensor([[True, False, True, True, False, True]])
    hidden = torch.where(mask[..., None], positions, torch.nan)
    torch.testing.assert_close(codec.encode(hidden, mask), codec.encode(positions[mask][None]))
    assert codec.encode(positions, torch.zeros_like(mask)).sum() == 0


def test_order_of_the_atoms_does_not_matter():
    codec, positions = BasisImageCodec(), torch.tensor(crowd(3, 8, 0.6))[None]
    torch.testing.assert_close(codec.encode(positions.flip(1)), codec.encode(positions))


def test_gradients_are_those_of_finite_differences():
    codec = BasisImageCodec(grid=16, box=4.0, dtype=torch.float64)
    positions = torch.tensor(crowd(4, 3, 0.5, low=1, high=3))[None]
    weights = torch.randn(16, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    # voxels at the edge of an atom jump from 0 to the cutoff: weigh only those that stay inside
    weights = weights * (codec.encode(positions)[0] > 0.05)

    def weighted(places):
        return (codec.encode(places) * weights).sum()

    assert torch.autograd.gradcheck(weighted, (positions.requires_grad_(),), eps=1e-6)


def test_gradient_descent_pulls_an_atom_to_its_image():
    codec, target = BasisImageCodec(grid=32, sigma=0.35), torch.tensor([[[7.0, 7.2, 7.4]]])
    image = codec.encode(target)
    place = (target + torch.tensor([0.2, -0.15, 0.1])).requires_grad_()
    optimiser = torch.optim.Adam([place], lr=0.02)
    for _ in range(120):
        optimiser.zero_grad()
        ((codec.encode(place) - image) ** 2).sum().backward()
        optimiser.step()
    assert (place - target).norm() < 0.01


@grids
def test_dim_and_blurred_images_keep_their_atoms(settings_):
    positions = torch.tensor(np.array([crowd(seed, 10, 1.6) for seed in range(8)]))
    codec = BasisImageCodec(**settings_)
    blurred = BasisImageCodec(grid=settings_["grid"], sigma=1.1 * settings_["sigma"])
    for images in (0.7 * codec.encode(positions), blurred.encode(positions), codec.encode(positions).clamp(max=0.8)):
        for wanted, found in zip(positions, codec.decode(images), strict=True):
            assert distances(wanted, found).max() < 0.06


@grids
def test_noise_moves_atoms_by_less_than_a_tenth_of_a_voxel(settings_):
    positions, codec = torch.tensor(np.array([crowd(seed, 10, 1.4) for seed in range(8)])), BasisImageCodec(**settings_)
    images = codec.encode(positions)
    images = (images + 0.02 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    errors = np.concatenate([distances(*pair) for pair in zip(positions, codec.decode(images), strict=True)])
    assert np.sqrt((errors**2).mean()) < 0.1 * codec.voxel


def test_an_image_without_atoms_has_none():
    codec = BasisImageCodec(grid=32, sigma=0.35)
    images = torch.stack([torch.zeros(32, 32, 32), torch.full((32, 32, 32), torch.nan), torch.full((32, 32, 32), 0.2)])
    assert [found.shape for found in codec.decode(images)] == [(0, 3)] * 3
    assert codec.decode(images[:0]) == []


def test_noise_is_read_in_bounded_time_and_an_image_beside_it_as_ever():
    codec, random = BasisImageCodec(grid=32, sigma=0.35), torch.Generator().manual_seed(0)
    crystal = codec.encode(torch.tensor(crowd(1, 7, 1.2))[None])
    noise = 0.3 + 0.4 * torch.rand(20, 32, 32, 32, generator=random)  # a thousand peaks each
    read = codec.decode(torch.cat([noise, crystal]))
    assert 100 < max(len(places) for places in read[:-1]) <= 2 * MAX_PEAKS
    np.testing.assert_allclose(read[-1], codec.decode(crystal)[0], atol=1e-6)


def test_of_too_many_peaks_the_highest_stay():
    image, value = torch.tensor([0, 2, 0, 2, 0, 2]), torch.tensor([0.3, 0.9, 0.8, 0.4, 0.5, 0.7])
    assert _highest(image, value, 2).tolist() == [False, True, True, False, True, True]
    assert _highest(image, value, 9).all()
    assert _highest(image[:0], value[:0], 2).tolist() == []


def test_a_batch_is_its_images_one_by_one():
    positions = torch.tensor(np.array([crowd(seed, 7, 1.2) for seed in range(40)]))  # more than one chunk
    codec = BasisImageCodec(grid=32, sigma=0.35)
    images = codec.encode(positions)
    for image, found in zip(images, codec.decode(images), strict=True):
        np.testing.assert_allclose(codec.decode(image[None])[0], found, atol=1e-6)


@grids
def test_the_mass_of_an_atom_hardly_depends_on_its_place(settings_):
    codec, rng = BasisImageCodec(**settings_), np.random.default_rng(0)
    images = codec.encode(rng.uniform(5, 10, (100, 1, 3)))
    for level in (None, 0.1):
        sums = torch.where(images < (level or 0), 0.0, images).sum(dim=(1, 2, 3))
        assert math.isclose(sums.mean(), codec.atom_mass(level), rel_tol=0.01)
        assert sums.std() < 0.05 * codec.atom_mass(level)


def test_the_published_read_out_is_as_coarse_as_its_voxels():
    positions, codec = crowd(5, 15, 1.4), BasisImageCodec()
    errors = distances(positions, codec.published_read_out(codec.encode(positions[None])[0]))
    assert errors.max() <= codec.voxel * math.sqrt(3) / 2 + 1e-6
    assert 0.08 < np.sqrt((errors**2).mean()) < 0.15


def test_a_box_smaller_than_an_atom_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        BasisImageCodec(grid=8, box=1.0)
