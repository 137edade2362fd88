"""Images of unit cells: one Gaussian in the middle of a grid of fractional coordinates."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imatgen_flows.representation.errors import DecodeError

STEPS = 5  # of Gauss-Newton, after the fit to the logarithms
OUTLIER = 0.05  # residual, in units of the peak, from which a voxel counts less
MIN_EIGENVALUE_RATIO = 1e-5  # of the metric tensor; a cell below it has no volume
CHUNK = 64  # images fitted at once


class CellImageCodec:
    """Encoder and decoder of cell images.

    An image is p = exp(-f^T G f / 2 sigma^2), with f = (i, j, k) / grid - 1/2 and G the metric tensor.

    Parameters
    ----------
    grid : voxels along each axis, even
    sigma : width of the Gaussian in A
    cutoff : smaller values of p are zero
    dtype : of the images

    References
    ----------
    Noh et al., Matter 1, 1370 (2019), Eqs. 1 and 2.
    """

    def __init__(
        self, grid: int = 32, sigma: float = 0.26, cutoff: float = 0.02, dtype: torch.dtype = torch.float32
    ) -> None:
        if grid < 4 or grid % 2:
            raise ValueError(f"a cell image needs an even grid of at least 4 voxels, not {grid}")
        self.grid, self.sigma, self.cutoff, self.dtype = grid, sigma, cutoff, dtype
        back = -np.arange(grid) % grid
        opposite = ((back[:, None, None] * grid + back[:, None]) * grid + back).flatten()
        self._opposite = torch.from_numpy(opposite)  # the voxel at -f
        axis = np.arange(grid) / grid - 0.5
        x, y, z = (part.reshape(-1) for part in np.meshgrid(axis, axis, axis, indexing="ij"))
        # f^T G f as a product with (G11, G22, G33, G23, G13, G12)
        self._features = torch.from_numpy(np.stack([x * x, y * y, z * z, 2 * y * z, 2 * x * z, 2 * x * y], axis=1))

    def encode(self, lattices: Tensor | NDArray[np.floating]) -> Tensor:
        """Render unit cells as images.

        Parameters
        ----------
        lattices : (B, 3, 3), A, rows are the cell vectors; only their lengths and angles matter

        Returns
        -------
        (B, grid, grid, grid) tensor, differentiable in the lattices
        """
        rows = torch.as_tensor(lattices, dtype=self.dtype)
        return self._render(rows @ rows.transpose(-1, -2))

    def decode(self, images: Tensor) -> Tensor:
        """Decode images to cell parameters.

        Parameters
        ----------
        images : (B, grid, grid, grid), values in [0, 1]

        Returns
        -------
        (B, 6) tensor: a, b, c in A, alpha, beta, gamma in degrees

        Raises
        ------
        DecodeError
            As `metric_tensors`.
        """
        return _parameters(self.metric_tensors(images))

    def try_decode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Decode images to cell parameters (B, 6), NaN where there is no cell; also return which images (B,) hold one."""
        metrics, ok = self.try_metric_tensors(images)
        return _parameters(metrics), ok

    def lattices(self, images: Tensor) -> Tensor:
        """Decode images to cell vectors (B, 3, 3), A, rows, a along x and b in the xy plane; raises as `metric_tensors`."""
        return standard_lattices(self.metric_tensors(images))

    def metric_tensors(self, images: Tensor) -> Tensor:
        """Recover the metric tensor of each cell from its Gaussian image.

        Every occupied voxel obeys -2 sigma^2 ln p = f^T G f, which is linear in the six numbers of G; they are fitted
        to all voxels at once, weighted, because the noise of ln p grows as 1/p. The first fit takes the lower of
        p(f) and p(-f) and a high power of p as weight, so that stray voxels far from the middle do not mislead it.
        Gauss-Newton steps on p itself follow: their weights come from the fitted cell, not from the noise, and voxels
        far off count less.

        Parameters
        ----------
        images : (B, grid, grid, grid), values in [0, 1]

        Returns
        -------
        (B, 3, 3) tensor, metric tensors in A^2, positive definite; differentiable in the images

        Raises
        ------
        DecodeError
            Where fewer than six voxels are occupied or the fit is not positive definite; it names the images.
        """
        metrics, ok = self.try_metric_tensors(images)
        if not ok.all():
            bad = (~ok).nonzero().flatten().tolist()
            names = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
            raise DecodeError(f"{len(bad)} of {len(images)} cell images hold no cell: {names}")
        return metrics

    def try_metric_tensors(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Recover metric tensors as `metric_tensors`, NaN where there is no cell; also return which images (B,) hold one."""
        parts = [self._fit(chunk) for chunk in images.to(torch.float64).split(CHUNK)]
        metrics, ok = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        return metrics.to(images.dtype), ok

    def published_read_out(self, image: Tensor) -> NDArray[np.float64]:
        """Decode one cell (6,) as the paper did, for comparison: from one voxel on each axis and face diagonal.

        It is NaN where an axis or a diagonal has no second occupied voxel.
        """
        p, n, middle = image.detach().cpu().numpy().astype(float), self.grid, self.grid // 2
        i = np.arange(n)

        def length(line: NDArray[np.float64]) -> float:
            occupied = np.flatnonzero(line > 0)
            if not len(occupied):
                return math.nan
            smallest = occupied[np.argmin(line[occupied])]
            steps = abs(middle - smallest)
            return math.sqrt(-2 * self.sigma**2 * math.log(line[smallest])) * n / steps if steps else math.nan

        def angle(u: float, v: float, diagonal: float) -> float:
            return math.degrees(math.acos(np.clip((diagonal**2 - u**2 - v**2) / (2 * u * v), -1, 1)))

        a, b, c = length(p[:, middle, middle]), length(p[middle, :, middle]), length(p[middle, middle, :])
        ab, bc, ca = length(p[i, i, middle]), length(p[middle, i, i]), length(p[i, middle, i])
        return np.array([a, b, c, angle(b, c, bc), angle(c, a, ca), angle(a, b, ab)])

    def _fit(self, images: Tensor) -> tuple[Tensor, Tensor]:
        image, voxel = (images.flatten(1) > self.cutoff).nonzero(as_tuple=True)
        values = images.flatten(1)[image, voxel].clamp(max=1.0)
        features = self._features.to(images.device)[voxel]
        opposite = images.flatten(1)[image, self._opposite.to(images.device)[voxel]]
        inside = (values < 0.999) & (opposite > self.cutoff)
        lower = torch.where(inside, torch.minimum(values, opposite), 1.0)
        squares = -2 * self.sigma**2 * lower.log()  # f^T G f, A^2
        numbers = _solve(features, torch.where(inside, lower, 0.0) ** 8, squares, image, len(images))
        for _ in range(STEPS):
            squares = (numbers[image] * features).sum(dim=1)
            model = (-squares / (2 * self.sigma**2)).clamp(max=0.0).exp()
            misfit = model - values
            weights = torch.where(model > 2 * self.cutoff, model**2 / (1 + (misfit / OUTLIER) ** 2), 0.0)
            squares = squares + 2 * self.sigma**2 * misfit / model.clamp(min=self.cutoff)
            numbers = _solve(features, weights, squares, image, len(images))
        metrics = _symmetric(numbers)
        ok = (torch.bincount(image[inside], minlength=len(images)) >= 6) & _positive_definite(metrics)
        return torch.where(ok[:, None, None], metrics, torch.nan), ok

    def _render(self, metrics: Tensor) -> Tensor:
        pairs = metrics[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        squares = pairs @ self._features.to(metrics).T
        p = (-squares / (2 * self.sigma**2)).exp()
        return torch.where(p < self.cutoff, 0.0, p).reshape(-1, self.grid, self.grid, self.grid)


def standard_lattices(metrics: Tensor) -> Tensor:
    """Convert metric tensors to cell vectors (B, 3, 3) in standard orientation; NaN where they are NaN."""
    safe = torch.where(metrics.isfinite(), metrics, torch.eye(3).to(metrics))
    return torch.where(metrics.isfinite(), torch.linalg.cholesky(safe), torch.nan)


def cell_parameters(lattices: Tensor) -> Tensor:
    """Compute lengths in A and angles in degrees (B, 6) of cell vectors (B, 3, 3)."""
    return _parameters(lattices @ lattices.transpose(-1, -2))


def _parameters(metrics: Tensor) -> Tensor:
    lengths = metrics.diagonal(dim1=-2, dim2=-1).sqrt()
    cosines = metrics[:, [1, 0, 0], [2, 2, 1]] / (lengths[:, [1, 0, 0]] * lengths[:, [2, 2, 1]])
    return torch.cat([lengths, cosines.clamp(-1, 1).acos().rad2deg()], dim=1)


def _solve(features: Tensor, weights: Tensor, values: Tensor, image: Tensor, n_images: int) -> Tensor:
    """Solve weighted least squares for each image: features (n, 6), weights, values, image numbers (n,) to (n_images, 6)."""
    rows, columns = torch.triu_indices(6, 6)
    weighted = weights[:, None] * features
    terms = torch.cat([weighted[:, rows] * features[:, columns], weighted * values[:, None]], dim=1)  # (n, 21 + 6)
    sums = torch.zeros(n_images, terms.shape[1]).to(terms).index_add(0, image, terms)
    normal = torch.zeros(n_images, 6, 6).to(terms)
    normal[:, rows, columns] = sums[:, :-6]
    normal[:, columns, rows] = sums[:, :-6]
    scale = normal.diagonal(dim1=-2, dim2=-1).amax(dim=1).clamp(min=1e-12)
    ridge = 1e-12 * scale[:, None, None] * torch.eye(6).to(normal)  # keeps the matrix of an empty image invertible
    return torch.linalg.solve(normal + ridge, sums[:, -6:])


def _symmetric(numbers: Tensor) -> Tensor:
    return numbers[:, [0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(-1, 3, 3)


def _positive_definite(metrics: Tensor) -> Tensor:
    """Test whether cells have a volume, with a margin that survives rounding to float32."""
    eigenvalues = torch.linalg.eigvalsh(torch.where(metrics.isfinite(), metrics.detach(), 0.0))
    return eigenvalues[:, 0] > MIN_EIGENVALUE_RATIO * eigenvalues[:, -1].clamp(min=1e-12)
