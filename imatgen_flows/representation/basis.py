"""Images of the atoms of one element: one Gaussian for each atom, in a cubic box."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imatgen_flows.crystals.box import BOX

MAX_STEPS = 12  # of Gauss-Newton; isolated atoms need one
CONVERGED = 1e-6  # A
CHUNK = 32  # images decoded at once
MAX_PEAKS = 256  # of an image that are read; more are the noise of an untrained network


class BasisImageCodec:
    """Encoder and decoder of basis images.

    Each atom adds p = exp(-r^2 / 2 sigma^2) to the voxels around it, on a periodic grid. Voxel (i, j, k) lies at
    (i, j, k) box / grid.

    Parameters
    ----------
    grid : voxels along each axis
    box : edge of the box in A
    sigma : width of the Gaussians in A
    cutoff : smaller values of an atom's p are zero, before the atoms are summed
    threshold : an atom is read where its highest voxel, and the Gaussian through it, exceed this
    dtype : of the images

    References
    ----------
    Noh et al., Matter 1, 1370 (2019), Eq. 3.
    """

    def __init__(
        self,
        grid: int = 64,
        box: float = BOX,
        sigma: float = 0.26,
        *,
        cutoff: float = 0.02,
        threshold: float = 0.25,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.grid, self.box, self.sigma = grid, box, sigma
        self.cutoff, self.threshold, self.dtype = cutoff, threshold, dtype
        self.voxel = box / grid
        self.radius = sigma * math.sqrt(-2 * math.log(cutoff))
        self._width = math.floor(2 * self.radius / self.voxel) + 1  # voxels within the radius, along an axis
        if self._width > grid:
            raise ValueError(f"an atom of radius {self.radius:.2f} A does not fit in a box of {box} A")
        steps = torch.arange(-1, 2)
        self._cube = torch.cartesian_prod(steps, steps, steps)  # a voxel and its 26 neighbours, itself in the middle

    def encode(
        self, positions: Tensor | NDArray[np.floating], mask: Tensor | NDArray[np.bool_] | None = None
    ) -> Tensor:
        """Render atoms as images.

        Parameters
        ----------
        positions : (B, A, 3), A, in the frame of the box
        mask : (B, A) bool, which of the positions are atoms; all of them if None

        Returns
        -------
        (B, grid, grid, grid) tensor, differentiable in the positions
        """
        places = torch.as_tensor(positions, dtype=self.dtype)
        real = torch.ones(places.shape[:2], dtype=torch.bool) if mask is None else torch.as_tensor(mask)
        image, atom = real.to(places.device).nonzero(as_tuple=True)
        return self._render(places[image, atom], image, len(places))

    def decode(self, images: Tensor) -> list[NDArray[np.float64]]:
        """Find the positions of the atoms in images.

        An atom is a voxel above the threshold that none of its 26 neighbours exceeds. Around it, ln p is a parabola of
        known width, fitted to the 27 voxels weighted by p. Further passes subtract the other atoms, and atoms are looked
        for again in what is left over, so that clean images are exact down to 3.2 sigma between two atoms. Of two fits
        closer than sigma the higher one stays.

        Parameters
        ----------
        images : (B, grid, grid, grid), values in [0, 1]

        Returns
        -------
        for each image an (n, 3) array: positions in A in the frame of the box, in [0, box)
        """
        return [places.numpy() for places, _ in self.peaks(images)]

    def peaks(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Find the atoms as `decode` does; return positions (n, 3) and heights (n,), 1 for a whole atom, of each image."""
        found: list[tuple[Tensor, Tensor]] = []
        for chunk in images.detach().split(CHUNK):
            owner, places, heights = self._read(chunk)
            counts = torch.bincount(owner, minlength=len(chunk)).tolist()
            found += zip(places.cpu().split(counts), heights.cpu().split(counts), strict=True)
        return found

    def atom_mass(self, level: float | None = None) -> float:
        """Compute the mean sum of an atom's voxels above a level, the cutoff unless given."""
        x = math.sqrt(-math.log(level or self.cutoff))  # radius of that level over sqrt(2) sigma
        within = math.erf(x) - 2 / math.sqrt(math.pi) * x * math.exp(-x * x)
        return (2 * math.pi) ** 1.5 * (self.sigma / self.voxel) ** 3 * within

    def published_read_out(self, image: Tensor) -> NDArray[np.float64]:
        """Find atoms (n, 3) as the paper did, for comparison: at voxels, by an 18-connected maximum filter."""
        from scipy.ndimage import generate_binary_structure, maximum_filter

        p = image.detach().cpu().numpy()
        highest = maximum_filter(p, footprint=generate_binary_structure(3, 2), mode="wrap")
        peaks = np.argwhere((p == highest) & (p >= self.cutoff))
        return peaks.astype(np.float64) * self.voxel

    def _render(self, places: Tensor, image: Tensor, n_images: int, height: Tensor | None = None) -> Tensor:
        """Sum atoms (n, 3) into their images, times their heights (n,)."""
        p, at = self._gaussians(places, image)
        p = torch.where(p < self.cutoff, 0.0, p)
        return self._sum(p if height is None else p * height[:, None, None, None], at, n_images)

    def _gaussians(self, places: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the values of atoms on the voxels around each, without a cutoff, and the indices of these voxels.

        Only these (n, width, width, width) are computed: width spans the radius, and the rest of an image is zero.
        """
        n, width = self.grid, self._width
        first = ((places.detach() - self.radius) / self.voxel).ceil()
        steps = torch.arange(width, device=places.device)
        offsets = (first * self.voxel - places)[..., None] + steps * self.voxel  # (n, 3, width)
        p = (-(offsets**2) / (2 * self.sigma**2)).exp()
        p = p[:, 0, :, None, None] * p[:, 1, None, :, None] * p[:, 2, None, None, :]
        x, y, z = ((first.long()[..., None] + steps) % n).unbind(dim=1)
        rows = (image[:, None, None] * n + x[:, :, None]) * n + y[:, None, :]
        return p, rows[..., None] * n + z[:, None, None, :]

    def _sum(self, p: Tensor, at: Tensor, n_images: int) -> Tensor:
        images = torch.zeros(n_images * self.grid**3, dtype=p.dtype, device=p.device)
        return images.index_add_(0, at.reshape(-1), p.reshape(-1)).reshape(n_images, *[self.grid] * 3)

    def _read(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decode a chunk: the image of each atom (n,), in order, its position (n, 3), A, float64, and its height (n,)."""
        atoms = self._fit_atoms(images, self._peaks(images))
        hidden = self._peaks(images - self._render_atoms(atoms, images))
        if len(hidden.image):
            atoms = self._fit_atoms(images, atoms.join(hidden))
        atoms = atoms.select((atoms.height > self.threshold) & ~self._doubled(atoms))
        return atoms.image, (atoms.corner + atoms.shift) % self.box, atoms.height

    def _peaks(self, images: Tensor) -> _Atoms:
        """Find the peaks of images, and the Gaussian through the voxels around each."""
        candidates = (images > self.threshold).nonzero()
        around = self._around(images, candidates)
        middle = around[:, 13:14]
        # strict on one side, so that of equal neighbours one is the peak
        peak = (around[:, :13] < middle).all(dim=1) & (around[:, 14:] <= middle).all(dim=1)
        peak[peak.clone()] = _highest(candidates[peak, 0], middle[peak, 0], MAX_PEAKS)
        voxels, around = candidates[peak], around[peak].double()
        inside = around > self.cutoff
        shift, height = self._fit(torch.where(inside, around, 1.0).log(), torch.where(inside, around, 0.0) ** 2)
        return _Atoms(voxels, voxels[:, 1:].double() * self.voxel, shift, height)

    def _fit_atoms(self, images: Tensor, atoms: _Atoms) -> _Atoms:
        """Refine atoms by Gauss-Newton steps on the voxels of each, the other atoms subtracted, until none moves."""
        around = self._around(images, atoms.voxels).double()
        offsets = self._cube.to(images.device).double() * self.voxel  # (27, 3), A, from the voxel of the peak
        for _ in range(MAX_STEPS):
            exponents = -((offsets - atoms.shift[:, None]) ** 2).sum(dim=-1) / (2 * self.sigma**2)
            shape = exponents.exp()
            own = atoms.height[:, None] * torch.where(shape < self.cutoff, 0.0, shape)
            misfit = around - self._around(self._render_atoms(atoms, images), atoms.voxels).double()
            logs = atoms.height.log()[:, None] + exponents + misfit / own.clamp(min=1e-3)
            known = (shape > 2 * self.cutoff) & (self._around(self._edges(atoms, images), atoms.voxels) == 0)
            shift, height = self._fit(logs, torch.where(known, own, 0.0) ** 2)
            moved = (shift - atoms.shift).abs().max() if len(shift) else 0.0
            atoms = _Atoms(atoms.voxels, atoms.corner, shift, height)
            if moved < CONVERGED:
                break
        return atoms

    def _render_atoms(self, atoms: _Atoms, images: Tensor) -> Tensor:
        places, height = (atoms.corner + atoms.shift).to(images.dtype), atoms.height.to(images.dtype)
        return self._render(places, atoms.image, len(images), height)

    def _edges(self, atoms: _Atoms, images: Tensor) -> Tensor:
        """Mark the voxels at the cutoff of an atom, which a shift of 0.01 A adds or removes: above zero there."""
        p, at = self._gaussians((atoms.corner + atoms.shift).to(images.dtype), atoms.image)
        edge = (p > 0.9 * self.cutoff) & (p < 1.1 * self.cutoff)
        return self._sum(edge.to(images.dtype), at, len(images))

    def _doubled(self, atoms: _Atoms) -> Tensor:
        """Find the atoms (n,) within sigma of a higher one in the same image, which are one atom found twice."""
        counts = torch.bincount(atoms.image).tolist()
        parts = zip((atoms.corner + atoms.shift).split(counts), atoms.height.split(counts), strict=True)
        return torch.cat([self._doubled_in_image(*part) for part in parts]) if counts else atoms.image > 0

    def _doubled_in_image(self, places: Tensor, height: Tensor) -> Tensor:
        apart = places[:, None] - places
        distances = (apart - self.box * (apart / self.box).round()).norm(dim=-1)
        order = torch.arange(len(height), device=height.device)
        ahead = (height > height[:, None]) | ((height == height[:, None]) & (order < order[:, None]))
        return ((distances < self.sigma) & ahead).any(dim=1)

    def _around(self, images: Tensor, voxels: Tensor) -> Tensor:
        """Return the values (n, 27) at voxels (n, 4: image, i, j, k) and their neighbours."""
        i, j, k = ((voxels[:, 1:, None] + self._cube.T.to(images.device)) % self.grid).unbind(dim=1)
        return images[voxels[:, :1], i, j, k]

    def _fit(self, logs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Fit Gaussians to the logarithms (n, 27) of values around peaks, by weighted least squares.

        Returns
        -------
        shift (n, 3) from the peak's voxel in A, at most a voxel along each axis, and height (n,)
        """
        offsets = self._cube.to(logs.device).double() * self.voxel
        variance = self.sigma**2
        design = torch.cat([offsets / variance, torch.ones_like(offsets[:, :1])], dim=1)  # (27, 4)
        weighted = weights[..., None] * design
        normal = weighted.transpose(1, 2) @ design + 1e-12 * torch.eye(4).to(design)
        values = logs + (offsets**2).sum(dim=1) / (2 * variance)
        solution = torch.linalg.solve(normal, (weighted * values[..., None]).sum(dim=1))
        log_height = solution[:, 3] + (solution[:, :3] ** 2).sum(dim=1) / (2 * variance)
        return solution[:, :3].clamp(-self.voxel, self.voxel), log_height.clamp(math.log(0.1), 0.0).exp()


def _highest(image: Tensor, value: Tensor, most: int) -> Tensor:
    """Select the peaks (n,) that are among the `most` highest of their image."""
    order = value.argsort(descending=True)
    order = order[image[order].argsort(stable=True)]
    first = torch.bincount(image).cumsum(0).roll(1)
    first[:1] = 0
    kept = torch.empty_like(image, dtype=torch.bool)
    kept[order] = torch.arange(len(image), device=image.device) - first[image[order]] < most
    return kept


@dataclass
class _Atoms:
    """Atoms during decoding: the voxels of their peaks (n, 4: image, i, j, k) in order, and the Gaussians there."""

    voxels: Tensor
    corner: Tensor  # (n, 3), the voxel's place, A
    shift: Tensor  # (n, 3), from there, A
    height: Tensor  # (n,), 1 for a whole atom

    @property
    def image(self) -> Tensor:
        return self.voxels[:, 0]

    def select(self, index: Tensor) -> _Atoms:
        return _Atoms(self.voxels[index], self.corner[index], self.shift[index], self.height[index])

    def join(self, other: _Atoms) -> _Atoms:
        parts = zip(vars(self).values(), vars(other).values(), strict=True)
        both = _Atoms(*(torch.cat(pair) for pair in parts))
        return both.select(both.image.argsort(stable=True))
