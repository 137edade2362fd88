from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.standard import standardise
from imatgen_flows.models.crystal_model import CrystalModel, ImageCompressor
from imatgen_flows.models.fitting import fit_basis_autoencoder, fit_cell_autoencoder, fit_vae
from imatgen_flows.models.presets import DEFAULT
from imatgen_flows.representation import PackedCrystals, pack

ELEMENTS = ("O", "V")


def crystal(group, lattice, sites):
    primitive = Structure.from_spacegroup(group, lattice, list(sites), list(sites.values())).get_primitive_structure()
    return standardise(primitive)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small networks lose by more threads, and sums in another order differ in the last bit."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def crystals() -> PackedCrystals:
    """Six small vanadium oxides and vanadium itself, which has no oxygen."""
    origin, half = [0, 0, 0], [0.5, 0.5, 0.5]
    structures = [
        crystal("Fm-3m", Lattice.cubic(4.1), {"V": origin, "O": half}),
        crystal("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), {"V": origin, "O": [0.305, 0.305, 0]}),
        crystal("Pm-3m", Lattice.cubic(2.6), {"V": origin, "O": half}),
        crystal("F-43m", Lattice.cubic(4.6), {"V": origin, "O": [0.25] * 3}),
        crystal("Fm-3m", Lattice.cubic(4.8), {"V": origin, "O": [0.25] * 3}),
        crystal("P6_3/mmc", Lattice.hexagonal(2.9, 4.4), {"V": origin, "O": [1 / 3, 2 / 3, 0.25]}),
        crystal("Im-3m", Lattice.cubic(3.0), {"V": origin}),
    ]
    return pack(structures, ELEMENTS, box=BOX)


BOX = 7.5
# the default preset in an eighth of its box: the same voxels
PRESET = replace(
    DEFAULT,
    box=BOX,
    basis=replace(DEFAULT.basis, grid=16, channels=(64,), code=24, batch_size=13, epochs=1, min_steps=250, shift=0.05),
    vae=replace(
        DEFAULT.vae,
        channels=64,
        latent=16,
        batch_size=7,
        epochs=1,
        min_steps=400,
        code_noise=0.02,
        classifier_weight=0.5,
    ),
)
STABLE = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, torch.nan])


@pytest.fixture(scope="session")
def preset():
    return PRESET


@pytest.fixture(scope="session")
def compressor(crystals, tmp_path_factory) -> ImageCompressor:
    """Both autoencoders, trained for a few seconds."""
    cell, _ = fit_cell_autoencoder(crystals, PRESET.cell, 7, tmp_path_factory.mktemp("cell"))
    basis, _ = fit_basis_autoencoder(crystals, PRESET.basis, 7, tmp_path_factory.mktemp("basis"), box=BOX)
    return ImageCompressor(PRESET, ELEMENTS, cell, basis)


@pytest.fixture(scope="session")
def model(crystals, compressor, tmp_path_factory) -> CrystalModel:
    """All three networks."""
    codes, present = compressor.encode(crystals)
    vae, _ = fit_vae(codes, present, STABLE, PRESET, 7, tmp_path_factory.mktemp("vae"))
    return CrystalModel(compressor, vae)


@pytest.fixture(scope="session")
def lattices() -> torch.Tensor:
    """Cells (120, 3, 3) of the sizes and angles that crystals in the dataset have."""
    rng = np.random.default_rng(0)
    shapes = [Lattice.from_parameters(*rng.uniform(3, 10, 3), *rng.uniform(60, 115, 3)) for _ in range(120)]
    return torch.tensor(np.array([shape.matrix for shape in shapes]), dtype=torch.float32)
