from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice

from imatgen_flows.representation import CellImageCodec, DecodeError
from imatgen_flows.representation.cell import cell_parameters, standard_lattices


@st.composite
def lattices(draw):
    lengths = [draw(st.floats(2.5, 13)) for _ in range(3)]
    angles = [draw(st.floats(60, 120)) for _ in range(3)]
    a, b, c = np.cos(np.radians(angles))
    assume(1 - a * a - b * b - c * c + 2 * a * b * c > 0.1)  # not flat
    return Lattice.from_parameters(*lengths, *angles)


def random_lattices(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return [Lattice.from_parameters(*rng.uniform(2.5, 10, 3), *rng.uniform(75, 105, 3)) for _ in range(n)]


def matrices(cells):
    return torch.tensor(np.array([cell.matrix for cell in cells]))


def parameters(cells):
    return np.array([cell.parameters for cell in cells])


def errors(read, cells):
    """RMSE of lengths and of angles."""
    squares = (np.asarray(read) - parameters(cells)) ** 2
    return np.sqrt(squares[:, :3].mean()), np.sqrt(squares[:, 3:].mean())


@settings(deadline=None, max_examples=60)
@given(lattices())
def test_every_cell_comes_back(lattice):
    codec = CellImageCodec()
    read = codec.decode(codec.encode(lattice.matrix[None]))[0].numpy()
    np.testing.assert_allclose(read[:3], lattice.abc, atol=1e-4)
    np.testing.assert_allclose(read[3:], lattice.angles, atol=1e-3)


def test_an_image_is_the_published_gaussian():
    cell = Lattice.from_parameters(3.1, 4.2, 5.3, 80, 95, 104)
    image = CellImageCodec().encode(cell.matrix[None])[0].numpy()
    i = np.arange(32) / 32
    grid = np.stack(np.meshgrid(i, i, i, indexing="ij"), axis=-1).reshape(-1, 3)
    distances = np.array([np.linalg.norm(cell.get_cartesian_coords(f - 0.5)) for f in grid])
    expected = np.exp(-(distances**2) / (2 * 0.26**2))
    expected[expected < 0.02] = 0
    np.testing.assert_allclose(image.reshape(-1), expected, atol=1e-6)
    assert image.dtype == np.float32


def test_turning_the_crystal_does_not_change_its_image():
    turned = matrices(random_lattices(4)) @ torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    codec = CellImageCodec()
    torch.testing.assert_close(codec.encode(turned), codec.encode(matrices(random_lattices(4))), atol=1e-5, rtol=0)


def test_vectors_are_in_standard_orientation():
    cells, codec = random_lattices(5), CellImageCodec()
    read = codec.lattices(codec.encode(matrices(cells)))
    assert (read.triu(1) == 0).all()
    assert (read.diagonal(dim1=1, dim2=2) > 0).all()
    np.testing.assert_allclose(cell_parameters(read).numpy(), parameters(cells), atol=1e-3)


@pytest.mark.parametrize(("noise", "length", "angle"), [(0.01, 0.01, 0.15), (0.05, 0.04, 0.6)])
def test_noise_moves_the_fit_less_than_the_published_read_out(noise, length, angle):
    cells, codec = random_lattices(), CellImageCodec()
    generator = torch.Generator().manual_seed(1)
    images = codec.encode(matrices(cells))
    images = (images * (1 + noise * torch.randn(images.shape, generator=generator))).clamp(0, 1)
    images = torch.where(images < 0.02, 0.0, images)
    ours = errors(codec.decode(images), cells)
    published = errors([codec.published_read_out(image) for image in images], cells)
    assert ours[0] < length
    assert ours[1] < angle
    assert ours[0] < published[0] / 1.5
    assert ours[1] < published[1] / 3


@pytest.mark.parametrize(("haze", "length", "angle"), [(0.01, 0.05, 0.5), (0.03, 0.15, 2.0)])
def test_haze_over_the_whole_image_does_not_mislead_the_fit(haze, length, angle):
    cells, codec = random_lattices(), CellImageCodec()
    generator = torch.Generator().manual_seed(2)
    images = codec.encode(matrices(cells))
    images = (images + haze * torch.randn(images.shape, generator=generator)).clamp(0, 1)
    found = errors(codec.decode(images), cells)
    assert found[0] < length
    assert found[1] < angle


def test_stray_voxels_do_not_count():
    cells, codec = random_lattices(), CellImageCodec()
    generator = torch.Generator().manual_seed(3)
    images = codec.encode(matrices(cells))
    stray = torch.rand(images.shape, generator=generator) < 5e-4
    images[stray] = torch.rand(int(stray.sum()), generator=generator)
    length, angle = errors(codec.decode(images), cells)
    assert length < 0.005
    assert angle < 0.05


def test_the_published_read_out_is_exact_on_clean_images():
    cells, codec = random_lattices(10), CellImageCodec()
    read = [codec.published_read_out(image) for image in codec.encode(matrices(cells))]
    np.testing.assert_allclose(read, parameters(cells), atol=1e-3)
    assert np.isnan(codec.published_read_out(torch.zeros(32, 32, 32))).all()


def test_gradients_are_those_of_finite_differences():
    codec = CellImageCodec(grid=16, cutoff=0.0, dtype=torch.float64)
    cells = matrices(random_lattices(2)).requires_grad_()
    assert torch.autograd.gradcheck(codec.encode, (cells,), fast_mode=True)
    smooth = CellImageCodec(dtype=torch.float64)
    images = smooth.encode(cells).detach().requires_grad_()
    smooth.decode(images).sum().backward()
    step = 1e-6 * images.detach()  # occupied voxels only
    with torch.no_grad():
        change = smooth.decode(images + step).sum() - smooth.decode(images - step).sum()
    torch.testing.assert_close((images.grad * 2 * step).sum(), change, rtol=1e-3, atol=1e-12)


def test_an_image_without_a_cell_is_named_and_costs_only_itself():
    cells, codec = random_lattices(4), CellImageCodec()
    images = codec.encode(matrices(cells))
    images[1] = 0
    images[3] = torch.nan
    with pytest.raises(DecodeError, match=r"2 of 4 cell images hold no cell: 1, 3"):
        codec.decode(images)
    read, ok = codec.try_decode(images)
    assert ok.tolist() == [True, False, True, False]
    assert read[~ok].isnan().all()
    np.testing.assert_allclose(read[ok].numpy(), parameters(cells)[[0, 2]], atol=1e-3)


def test_a_batch_is_its_images_one_by_one():
    codec = CellImageCodec()
    images = codec.encode(matrices(random_lattices(70)))  # more than one chunk
    together = codec.decode(images)
    one_by_one = torch.cat([codec.decode(image[None]) for image in images])
    torch.testing.assert_close(together, one_by_one)
    assert codec.decode(images[:0]).shape == (0, 6)


def test_an_odd_grid_has_no_middle_voxel():
    with pytest.raises(ValueError, match="even grid"):
        CellImageCodec(grid=31)


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_no_image_stops_a_batch(seed):
    generator = torch.Generator().manual_seed(seed)
    images = (
        torch.rand((6, 32, 32, 32), generator=generator)
        ** torch.tensor([0.5, 4, 16, 64, 256, 1024])[:, None, None, None]
    )
    codec = CellImageCodec()
    read, ok = codec.try_decode(images)
    assert (read.isfinite().all(dim=1) == ok).all()
    metrics, _ = codec.try_metric_tensors(images)
    assert (standard_lattices(metrics).isfinite().all(dim=(1, 2)) == ok).all()
