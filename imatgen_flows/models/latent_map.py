"""A two-dimensional map of latent vectors: their first two principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PrincipalComponents:
    """The two directions of largest variance.

    Attributes
    ----------
    mean : (latent,)
    axes : (2, latent), orthonormal
    explained : shares of the variance along the axes
    """

    mean: Array
    axes: Array
    explained: list[float]

    def transform(self, latent: ArrayLike) -> Array:
        """Map vectors (n, latent) to (n, 2)."""
        return (np.asarray(latent, dtype=float) - self.mean) @ self.axes.T


def principal_components(latent: ArrayLike) -> PrincipalComponents:
    """Find the first two principal components of vectors (n, latent); where all are equal they explain nothing."""
    from sklearn.decomposition import PCA

    data = np.asarray(latent, dtype=float)
    with np.errstate(invalid="ignore"):  # equal vectors have no variance to divide by
        found = PCA(n_components=min(2, *data.shape), svd_solver="full").fit(data)
    explained = np.nan_to_num(found.explained_variance_ratio_)
    return PrincipalComponents(found.mean_, found.components_, explained.tolist())
