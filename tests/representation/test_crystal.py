from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.standard import standardise
from imatgen_flows.representation import CrystalCodec, CrystalImages, PackedCrystals, PackError, pack

ELEMENTS = ("O", "V")


@pytest.fixture(scope="module")
def crystals():
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]]
    )
    rocksalt = Structure(Lattice(2.1 * (np.ones((3, 3)) - np.eye(3))), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    corundum = Structure.from_spacegroup(
        "R-3c", Lattice.hexagonal(4.95, 14.0), ["V", "O"], [[0, 0, 0.346], [0.312, 0, 0.25]]
    ).get_primitive_structure()
    metal = Structure(Lattice.cubic(3.0), ["V", "V"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return [standardise(crystal) for crystal in (rutile, rocksalt, corundum, metal)]


@pytest.fixture(scope="module")
def small():
    return CrystalCodec(ELEMENTS, grid=32, sigma=0.35)


@pytest.mark.parametrize("settings_", [{}, {"grid": 32, "sigma": 0.35}], ids=["paper", "default"])
def test_crystals_survive_their_images(crystals, settings_):
    codec = CrystalCodec(ELEMENTS, **settings_)
    decoded, qualities = codec.decode(codec.encode(crystals))
    for crystal, again, quality in zip(crystals, decoded, qualities, strict=True):
        np.testing.assert_allclose(again.lattice.parameters, crystal.lattice.parameters, atol=1e-4)
        assert again.composition == crystal.composition
        for element in again.elements:
            places, places_again = (
                structure.cart_coords[[site.specie == element for site in structure]]
                - structure.cart_coords.mean(axis=0)
                for structure in (crystal, again)
            )
            apart = np.linalg.norm(places[:, None] - places_again, axis=-1)
            assert apart.min(axis=0).max() < 1e-4
            assert apart.min(axis=1).max() < 1e-4
        assert quality.residual < 1e-4
        assert quality.cell_residual < 1e-4
        assert quality.count_matches
        assert sum(quality.peaks.values()) == len(crystal)


def test_a_packed_crystal_lies_in_the_middle_of_its_box(crystals):
    packed = pack(crystals, ELEMENTS)
    for positions, mask, crystal in zip(packed.positions, packed.mask, crystals, strict=True):
        np.testing.assert_allclose(positions[mask].mean(dim=0), 7.5, atol=1e-5)
        assert mask.sum() == len(crystal)
    assert packed.counts().tolist() == [[crystal.composition[e] for e in ELEMENTS] for crystal in crystals]


def test_packing_and_unpacking_gives_the_same_crystals(crystals):
    packed = pack(crystals, ELEMENTS)
    again = pack(packed.structures(), ELEMENTS)
    torch.testing.assert_close(again.positions, packed.positions)
    torch.testing.assert_close(again.lattices, packed.lattices)
    assert (again.mask == packed.mask).all()


def test_an_empty_list_packs_and_renders(small):
    packed = pack([], ELEMENTS)
    assert len(packed) == 0
    assert small.decode(small.encode(packed)) == ([], [])


def test_what_does_not_go_into_images_is_named(crystals):
    good = crystals[0]
    long = Structure(Lattice.orthorhombic(3, 3, 40), ["V", "O"], [[0, 0, 0], [0, 0, 0.5]])
    with pytest.raises(PackError, match=r"structure 1 \(VO\) needs a box of 20.00 A and does not fit in 15 A"):
        pack([good, long], ELEMENTS)
    with pytest.raises(PackError, match=r"structure 0 \(VO2\) has V, but the images have O, Ti"):
        pack([good], ("O", "Ti"))
    with pytest.raises(PackError, match="disordered"):
        pack([Structure(Lattice.cubic(3), [{"V": 0.5, "O": 0.5}], [[0, 0, 0]])], ELEMENTS)
    with pytest.raises(PackError, match="not finite"):
        pack([Structure(Lattice.cubic(3), ["V", "O"], [[0, 0, 0], [0, np.nan, 0]])], ELEMENTS)


def test_files_give_back_what_was_saved(crystals, tmp_path):
    packed = pack(crystals, ELEMENTS, box=14.0)
    packed.save(tmp_path / "crystals.npz")
    again = PackedCrystals.load(tmp_path / "crystals.npz")
    assert (again.elements, again.box) == (ELEMENTS, 14.0)
    for name in ("lattices", "positions", "mask"):
        assert torch.equal(getattr(again, name), getattr(packed, name))


def test_a_failed_save_leaves_the_old_file(crystals, tmp_path, monkeypatch):
    path = tmp_path / "crystals.npz"
    pack(crystals, ELEMENTS).save(path)

    def disk_full(file, **arrays):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", disk_full)
    with pytest.raises(OSError, match="No space"):
        pack(crystals[:1], ELEMENTS).save(path)
    assert len(PackedCrystals.load(path)) == len(crystals)
    assert [file.name for file in tmp_path.iterdir()] == ["crystals.npz"]


def test_an_index_takes_crystals_in_its_order(crystals):
    packed = pack(crystals, ELEMENTS)
    assert torch.equal(packed[torch.tensor([2, 0])].lattices, packed.lattices[[2, 0]])
    assert len(packed[packed.counts()[:, 0] > 0].to("cpu")) == 3


def test_crystals_of_another_box_or_system_are_not_rendered(crystals, small):
    with pytest.raises(PackError, match="cannot be rendered"):
        small.encode(pack(crystals, ELEMENTS, box=14.0))
    with pytest.raises(PackError, match="cannot be rendered"):
        small.encode(pack(crystals, ("V", "O")))


def test_the_decode_quality_counts_atoms_that_no_peak_shows(crystals, small):
    images = small.encode(crystals[:1])
    double = pack(crystals[:1], ELEMENTS)
    double.positions[0, 1, 1] = double.positions[0, 1, 0] + 0.1  # two V in one place
    faint = CrystalImages(images.cell, images.basis.clone())
    faint.basis[:, 0] *= 0.2  # O under the threshold
    for image, element, atoms in ((small.encode(double), "V", 2), (faint, "O", 4 * 0.2)):
        _, (quality,) = small.decode(image)
        assert not quality.count_matches
        assert quality.peaks[element] < atoms
        assert quality.atoms_by_mass[element] == pytest.approx(atoms, abs=0.15)
        assert quality.residual > 0.1


def test_the_residual_is_the_part_of_the_image_left_unexplained(crystals, small):
    images = small.encode(crystals[:1])
    noise = torch.randn(images.basis.shape, generator=torch.Generator().manual_seed(0))
    noise *= 0.1 * images.basis.norm() / noise.norm()
    _, (quality,) = small.decode(CrystalImages(images.cell, images.basis + noise))
    assert quality.residual == pytest.approx(0.1, rel=0.1)
    assert quality.cell_residual < 1e-4


def test_images_that_hold_nothing_cost_only_themselves(crystals, small):
    images = small.encode(crystals)
    images.cell[0], images.basis[1], images.cell[2] = 0, 0, 0.5
    decoded, qualities = small.decode(images)
    assert decoded[:2] == [None, None]
    assert qualities[0].cell_residual == 1
    assert qualities[1].residual == 1
    assert np.isnan([qualities[0].min_distance, qualities[1].min_distance]).all()
    assert qualities[2].cell_residual > 0.3  # a cell fits a constant image, but does not explain it
    assert decoded[3].composition == crystals[3].composition


def test_the_decode_quality_counts_the_atoms(crystals, small):
    _, qualities = small.decode(small.encode(crystals))
    assert qualities[0].peaks == {"O": 4, "V": 2}
    assert qualities[0].count_matches is True


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 4))
def test_the_shortest_distance_is_that_of_a_periodic_search(seed, n):
    rng = np.random.default_rng(seed)
    lattice = np.tril(rng.uniform(-4, 4, (3, 3)), -1) + np.diag(rng.uniform(2, 6, 3))  # often far from reduced
    crystal = Structure(lattice, ["V"] * n, rng.uniform(3, 12, (n, 3)), coords_are_cartesian=True)
    packed = PackedCrystals(
        torch.tensor(lattice[None]), torch.tensor(crystal.cart_coords)[None, None], torch.ones(1, 1, n) > 0, ("V",)
    )
    codec = CrystalCodec(("V",), grid=32, sigma=0.35)
    images = CrystalImages(torch.zeros(1, 32, 32, 32), torch.zeros(1, 1, 32, 32, 32))
    (quality,) = codec._qualities(images, packed, torch.tensor([False]))
    expected = min(near.nn_distance for neighbours in crystal.get_all_neighbors(13) for near in neighbours)
    assert quality.min_distance == pytest.approx(expected, abs=1e-5)


def test_importing_the_images_needs_numpy_and_torch_alone():
    code = (
        "import sys, imatgen_flows.representation; "
        "sys.exit(', '.join({'pymatgen', 'scipy', 'ase', 'pydantic', 'jobflow'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
