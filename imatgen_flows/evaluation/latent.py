"""Principal components of latent vectors, for the map of the latent space (paper, Figures 5 and 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class PrincipalComponents:
    """The two directions of largest variance.

    Attributes
    ----------
    mean : (latent,)
    axes : (2, latent), orthonormal
    explained : shares of the variance along the axes
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    explained: list[float]

    def transform(self, latent: ArrayLike) -> NDArray[np.float64]:
        """Map vectors (n, latent) to (n, 2)."""
        return (np.asarray(latent, dtype=float) - self.mean) @ self.axes.T


def principal_components(latent: ArrayLike) -> PrincipalComponents:
    """Find the first two principal components of vectors (n, latent)."""
    data = np.asarray(latent, dtype=float)
    mean = data.mean(axis=0)
    _, values, axes = np.linalg.svd(data - mean, full_matrices=False)
    variance = values**2
    total = variance.sum() or 1.0
    return PrincipalComponents(mean, axes[:2], [float(share) for share in variance[:2] / total])
