"""Views of one crystal: at another volume, from another origin of its cell, inverted, or slightly strained.

What an image shows depends on all of these; what the crystal is depends, but for the strain, on none.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from imatgen_flows.representation.crystal import PackedCrystals


def volumes_per_atom(crystals: PackedCrystals) -> Tensor:
    """Compute the volumes per atom (B,) in A^3; NaN where there is no cell, infinite where there is no atom."""
    return torch.linalg.det(crystals.lattices).abs() / crystals.mask.sum(dim=(1, 2))


def scaled(crystals: PackedCrystals, factors: Tensor) -> PackedCrystals:
    """Multiply the lengths of crystals by factors (B,); their centroids stay in the middle of the box."""
    middle = crystals.box / 2
    positions = (crystals.positions - middle) * factors[:, None, None, None] + middle
    return _with_places(crystals, crystals.lattices * factors[:, None, None], positions)


def at_volume(crystals: PackedCrystals, volume: float) -> PackedCrystals:
    """Scale crystals to a volume per atom, A^3; those without a cell or an atom stay as they are."""
    factors = (volume / volumes_per_atom(crystals)) ** (1 / 3)
    return scaled(crystals, torch.where(factors.isfinite() & (factors > 0), factors, 1.0))


def fits(crystals: PackedCrystals) -> Tensor:
    """Test which crystals (B,) have room in the box of their images."""
    reach = (crystals.positions - crystals.box / 2).abs().amax(dim=3)
    return torch.where(crystals.mask, reach, 0.0).amax(dim=(1, 2)) < crystals.box / 2


def random_views(crystals: PackedCrystals, generator: torch.Generator, strain: float = 0.0) -> PackedCrystals:
    """Show each crystal from a random origin of its cell, every second one inverted, strained at constant volume.

    A view that has no room in the box of the images is replaced by the crystal as it is given.

    Parameters
    ----------
    crystals : in standard orientation, so that lattices are lower triangular; their centroids in the middle of the box
    generator : on the CPU
    strain : standard deviation of the components of the strain

    Notes
    -----
    The strain is a lower triangular matrix near one, which multiplies rows from the right. So a lattice in standard
    orientation stays in it.
    """
    n, device = len(crystals), crystals.lattices.device
    middle = crystals.box / 2
    mirror = (torch.randint(2, (n, 1, 1, 1), generator=generator) * 2.0 - 1).to(device)
    shift = torch.rand(n, 1, 1, 3, generator=generator).to(device)
    deformation = torch.eye(3) + strain * torch.randn(n, 3, 3, generator=generator).tril()
    deformation = (deformation / torch.linalg.det(deformation).abs()[:, None, None] ** (1 / 3)).to(device)

    places = ((crystals.positions - middle) * mirror).flatten(1, 2)
    fractional = torch.linalg.solve(crystals.lattices, places, left=False).unflatten(1, crystals.mask.shape[1:])
    lattices = crystals.lattices @ deformation
    wrapped = ((fractional + shift) % 1).flatten(1, 2) @ lattices
    weights = crystals.mask.flatten(1)[..., None].to(wrapped.dtype)
    centroid = (wrapped * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
    positions = (wrapped - centroid).unflatten(1, crystals.mask.shape[1:]) + middle
    views = _with_places(crystals, lattices, positions)
    room = fits(views)
    return replace(
        views,
        lattices=torch.where(room[:, None, None], views.lattices, crystals.lattices),
        positions=torch.where(room[:, None, None, None], views.positions, crystals.positions),
    )


def _with_places(crystals: PackedCrystals, lattices: Tensor, positions: Tensor) -> PackedCrystals:
    """Replace lattices and the positions of atoms; what is no atom stays as it is."""
    return replace(
        crystals, lattices=lattices, positions=torch.where(crystals.mask[..., None], positions, crystals.positions)
    )
