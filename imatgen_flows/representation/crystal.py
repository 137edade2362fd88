"""Whole crystals: packed as tensors, rendered as images, and decoded with a measure of quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imatgen_flows.crystals.box import BOX
from imatgen_flows.crystals.distances import closest_approach
from imatgen_flows.io.files import writing
from imatgen_flows.representation.basis import BasisImageCodec
from imatgen_flows.representation.cell import CellImageCodec, standard_lattices
from imatgen_flows.representation.errors import PackError

if TYPE_CHECKING:
    from pymatgen.core import Structure


@dataclass
class PackedCrystals:
    """Crystals as tensors, from which images are rendered.

    Attributes
    ----------
    lattices : (B, 3, 3), A, rows; NaN where a cell could not be read
    positions : (B, E, A, 3), A, in the frame of the box
    mask : (B, E, A) bool, which of the positions are atoms
    elements : symbols of the E channels
    box : edge of the box in A
    """

    lattices: Tensor
    positions: Tensor
    mask: Tensor
    elements: tuple[str, ...]
    box: float = BOX

    def __len__(self) -> int:
        return len(self.lattices)

    def __getitem__(self, index: Tensor | slice | list[int]) -> PackedCrystals:
        """Select crystals by an index tensor, a mask or a slice."""
        return PackedCrystals(self.lattices[index], self.positions[index], self.mask[index], self.elements, self.box)

    def to(self, device: torch.device | str) -> PackedCrystals:
        """Copy to another device."""
        return PackedCrystals(
            self.lattices.to(device), self.positions.to(device), self.mask.to(device), self.elements, self.box
        )

    def first_elements(self, number: int) -> PackedCrystals:
        """Leave out the channels beyond a number, which the crystals have no atoms in."""
        return PackedCrystals(
            self.lattices, self.positions[:, :number], self.mask[:, :number], self.elements[:number], self.box
        )

    def counts(self) -> Tensor:
        """Count the atoms of each element, (B, E)."""
        return self.mask.sum(dim=2)

    def structures(self) -> list[Structure | None]:
        """Build structures, the atoms' centroid in the middle of the cell and unwrapped; None without a cell or atoms."""
        from pymatgen.core import Lattice, Structure

        crystals: list[Structure | None] = []
        for lattice, positions, mask in zip(self.lattices.cpu(), self.positions.cpu(), self.mask.cpu(), strict=True):
            if not mask.any() or not lattice.isfinite().all():
                crystals.append(None)
                continue
            channel = mask.nonzero()[:, 0].tolist()
            cell = lattice.double().numpy()
            places = positions[mask].double().numpy() - self.box / 2 + cell.sum(axis=0) / 2
            species = [self.elements[i] for i in channel]
            crystals.append(Structure(Lattice(cell), species, places, coords_are_cartesian=True))
        return crystals

    def save(self, path: str | Path) -> None:
        """Write an .npz file, whole or not at all."""
        arrays = {name: getattr(self, name).cpu().numpy() for name in ("lattices", "positions", "mask")}
        with writing(Path(path)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays, elements=np.array(self.elements), box=self.box)

    @classmethod
    def load(cls, path: str | Path) -> PackedCrystals:
        """Read a file that `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            lattices, positions, mask = (torch.from_numpy(file[name]) for name in ("lattices", "positions", "mask"))
            return cls(lattices, positions, mask, elements=tuple(file["elements"].tolist()), box=float(file["box"]))


def pack(structures: Sequence[Structure], elements: Sequence[str], box: float = BOX) -> PackedCrystals:
    """Convert crystals to tensors, the centroid of all atoms of each in the middle of the box.

    Parameters
    ----------
    structures : pymatgen structures, standardised (images see one frame); atoms are taken where the structure has them
    elements : symbols, in the order of the image channels; a crystal need not have them all
    box : edge of the box in A

    Returns
    -------
    The crystals in the same order, float32

    Raises
    ------
    PackError
        Where a crystal does not fit in the box, has another element or a disordered site, or numbers that are not
        finite; it names the crystal.
    """
    return _pack(structures, tuple(elements), lambda _: tuple(elements), box)


def pack_roles(structures: Sequence[Structure], number: int, box: float = BOX) -> PackedCrystals:
    """Convert crystals of different chemical systems to tensors: a channel is a role, not an element.

    The roles of a crystal are its elements in the order of `chemical_system`, the most electropositive first. So rutile is
    the same prototype in TiO2 and in VO2.

    Parameters
    ----------
    structures : as for `pack`
    number : of roles, which is the largest number of elements of a crystal
    box : edge of the box in A

    Raises
    ------
    PackError
        As `pack`; also where a crystal has more elements than there are roles.
    """
    from imatgen_flows.crystals.system import chemical_system

    def channels(crystal: Structure) -> list[str]:
        return chemical_system({site.specie.symbol for site in crystal})

    return _pack(structures, role_names(number), channels, box)


def role_names(number: int) -> tuple[str, ...]:
    """Name the channels of crystals whose elements are left open, the most electropositive first."""
    return tuple(f"role {place}" for place in range(1, number + 1))


def _pack(
    structures: Sequence[Structure],
    names: tuple[str, ...],
    channels: Callable[[Structure], Sequence[str]],
    box: float,
) -> PackedCrystals:
    """Pack crystals; `channels` gives the elements of a crystal in the order of the image channels."""
    atoms: list[list[NDArray[np.float64]]] = []
    for index, structure in enumerate(structures):
        name = f"structure {index} ({structure.composition.reduced_formula})"
        if not structure.is_ordered:
            raise PackError(f"{name} has disordered sites, which images cannot show.")
        symbols, elements = np.array([site.specie.symbol for site in structure]), channels(structure)
        if foreign := set(symbols) - set(elements):
            raise PackError(f"{name} has {', '.join(sorted(foreign))}, but the images have {', '.join(elements)}.")
        if len(elements) > len(names):
            raise PackError(f"{name} has {len(elements)} elements, but the images have {len(names)} channels.")
        places = structure.cart_coords - structure.cart_coords.mean(axis=0)
        if not (np.isfinite(places).all() and np.isfinite(structure.lattice.matrix).all()):
            raise PackError(f"{name} has coordinates or cell vectors that are not finite.")
        if (extent := 2 * np.abs(places).max()) >= box:
            raise PackError(
                f"{name} needs a box of {extent:.2f} A and does not fit in {box:g} A. Standardise it first."
            )
        atoms.append([places[symbols == symbol] + box / 2 for symbol in elements])
    most = max((len(places) for crystal in atoms for places in crystal), default=1)
    positions = np.zeros((len(atoms), len(names), most, 3), dtype=np.float32)
    mask = np.zeros(positions.shape[:3], dtype=bool)
    for b, crystal in enumerate(atoms):
        for e, places in enumerate(crystal):
            positions[b, e, : len(places)] = places
            mask[b, e, : len(places)] = True
    lattices = np.array([structure.lattice.matrix for structure in structures], dtype=np.float32).reshape(-1, 3, 3)
    return PackedCrystals(torch.from_numpy(lattices), torch.from_numpy(positions), torch.from_numpy(mask), names, box)


@dataclass
class CrystalImages:
    """Images of crystals: of the cell (B, M, M, M), and of the atoms of each element (B, E, N, N, N)."""

    cell: Tensor
    basis: Tensor

    def __len__(self) -> int:
        return len(self.cell)

    def __getitem__(self, index: Tensor | slice | list[int]) -> CrystalImages:
        """Select images by an index tensor, a mask or a slice."""
        return CrystalImages(self.cell[index], self.basis[index])


@dataclass(frozen=True)
class DecodeQuality:
    """Measures of how well a decoded crystal explains its images.

    Attributes
    ----------
    residual : |image - image of the decoded atoms| / |image|, over all elements together; 1 for an empty image
    cell_residual : the same for the cell image
    atoms_by_mass : atoms of each element by the image's sum
    peaks : atoms of each element that were found
    min_distance : between two atoms in A, periodic, an atom's own images included; NaN if there is no crystal
    """

    residual: float
    cell_residual: float
    atoms_by_mass: dict[str, float]
    peaks: dict[str, int]
    min_distance: float

    @property
    def count_matches(self) -> bool:
        """Whether the summed image and the peaks give the same number of atoms of each element."""
        return all(abs(mass - self.peaks[element]) < 0.5 for element, mass in self.atoms_by_mass.items())


class CrystalCodec:
    """Encoder of crystals to images, and decoder back.

    Parameters
    ----------
    elements : symbols, in the order of the image channels
    cell_grid, cell_sigma : of `CellImageCodec`
    grid, box, sigma : of `BasisImageCodec`
    """

    def __init__(
        self,
        elements: Sequence[str],
        *,
        cell_grid: int = 32,
        cell_sigma: float = 0.26,
        grid: int = 64,
        box: float = BOX,
        sigma: float = 0.26,
    ) -> None:
        self.elements = tuple(elements)
        self.cell = CellImageCodec(grid=cell_grid, sigma=cell_sigma)
        self.basis = BasisImageCodec(grid=grid, box=box, sigma=sigma)

    def encode(self, crystals: PackedCrystals | Sequence[Structure]) -> CrystalImages:
        """Render crystals; structures are packed first, and PackError is raised as `pack` does."""
        if not isinstance(crystals, PackedCrystals):
            crystals = pack(crystals, self.elements, self.basis.box)
        if crystals.elements != self.elements or crystals.box != self.basis.box:
            raise PackError(
                f"crystals packed for {crystals.elements} in {crystals.box:g} A cannot be rendered as {self.elements} "
                f"in {self.basis.box:g} A."
            )
        return CrystalImages(cell=self.cell.encode(crystals.lattices), basis=self._render(crystals))

    def decode(self, images: CrystalImages) -> tuple[list[Structure | None], list[DecodeQuality]]:
        """Decode images to structures.

        Returns
        -------
        structures : in standard orientation, atoms unwrapped as the image shows them; None where there is no cell or no
            atom
        qualities : how far each crystal explains its image
        """
        crystals, qualities = self.read(images)
        return crystals.structures(), qualities

    def read(self, images: CrystalImages) -> tuple[PackedCrystals, list[DecodeQuality]]:
        """Decode images to tensors on the CPU, without pymatgen; otherwise as `decode`."""
        crystals, _, ok = self._crystals(images)
        return crystals, self._qualities(images, crystals, ok)

    def read_unchecked(self, images: CrystalImages) -> tuple[PackedCrystals, Tensor]:
        """Decode images to tensors and the heights (B, E, A) of their atoms, without the quality, which takes longer."""
        crystals, heights, _ = self._crystals(images)
        return crystals, heights

    def _crystals(self, images: CrystalImages) -> tuple[PackedCrystals, Tensor, Tensor]:
        """Decode crystals, the heights of their atoms, and which of them (B,) have a cell, all on the CPU."""
        metrics, ok = self.cell.try_metric_tensors(images.cell.detach())
        lattices = standard_lattices(metrics)
        atoms = self.basis.peaks(images.basis.flatten(0, 1))
        most = max((len(found) for _, found in atoms), default=0)
        positions = torch.zeros(len(atoms), max(most, 1), 3)
        heights = torch.zeros(len(atoms), max(most, 1))
        for i, (places, found) in enumerate(atoms):
            positions[i, : len(places)], heights[i, : len(places)] = places, found
        channels = (len(images), len(self.elements))
        positions, heights = positions.unflatten(0, channels), heights.unflatten(0, channels)
        return (
            PackedCrystals(lattices.cpu(), positions, heights > 0, self.elements, self.basis.box), heights, ok.cpu()
        )  # fmt: skip

    def _qualities(self, images: CrystalImages, crystals: PackedCrystals, ok: Tensor) -> list[DecodeQuality]:
        cell_again = torch.zeros_like(images.cell)
        cell_again[ok] = self.cell.encode(crystals.lattices[ok].to(images.cell.device))
        cell_residuals = _residuals(images.cell, cell_again)
        peaks = crystals.counts().tolist()
        residuals, masses = [], []
        for start in range(0, len(images), 16):
            here = slice(start, start + 16)
            image, again = images.basis[here], self._render(crystals[here].to(images.basis.device))
            residuals += _residuals(image, again)
            occupied = torch.where(image < self.basis.cutoff, 0.0, image)
            excess = (occupied - again).sum(dim=(2, 3, 4)).double() / self.basis.atom_mass()
            masses += (excess.cpu() + crystals[here].counts()).tolist()
        return [
            DecodeQuality(
                residual=residuals[i],
                cell_residual=cell_residuals[i],
                atoms_by_mass=dict(zip(self.elements, masses[i], strict=True)),
                peaks=dict(zip(self.elements, peaks[i], strict=True)),
                min_distance=closest_approach(
                    crystals.lattices[i].double().numpy(), crystals.positions[i][crystals.mask[i]].double().numpy()
                ),
            )
            for i in range(len(images))
        ]

    def _render(self, crystals: PackedCrystals) -> Tensor:
        images = self.basis.encode(crystals.positions.flatten(0, 1), crystals.mask.flatten(0, 1))
        return images.unflatten(0, (len(crystals), len(self.elements)))


def _residuals(images: Tensor, again: Tensor) -> list[float]:
    """Compute relative L2 distances, over everything but the first axis; 1 where the image is empty."""
    norms = images.flatten(1).norm(dim=1).double()
    distances = (images - again).flatten(1).norm(dim=1).double()
    return torch.where(norms > 0, distances / norms.clamp(min=1e-30), 1.0).tolist()
