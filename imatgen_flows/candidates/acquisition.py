"""The lower confidence bound of a fitted Gaussian process as a function that torch can differentiate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from imatgen_flows.candidates.selection import GaussianProcess

SMALLEST_VARIANCE = 1e-12  # of targets of variance one; the square root has no derivative at zero


def differentiable_bound(process: GaussianProcess, kappa: float) -> Callable[[Tensor], Tensor]:
    """Build the function that maps features (n, D) to their lower confidence bounds (n,), in the unit of the targets.

    It is `lower_confidence_bound` from the same fitted parameters, in double precision: with the kernel vector k of a point
    to the N training points, the mean is k·alpha, and the variance is the signal's less |L⁻¹k|², L being the Cholesky
    factor of the kernel matrix (Rasmussen and Williams, Gaussian Processes for Machine Learning, Algorithm 2.1).

    Parameters
    ----------
    process : fitted to features (N, D)
    kappa : standard deviations below the mean
    """
    regressor = process.regressor
    signal, length = regressor.kernel_.k1.k1.constant_value, regressor.kernel_.k1.k2.length_scale
    points, alpha, factor, shift, scale = (
        _double(values)
        for values in (regressor.X_train_, regressor.alpha_, regressor.L_, process.scaler.mean_, process.scaler.scale_)
    )

    def bound(features: Tensor) -> Tensor:
        standard = (features.double() - shift) / scale
        squares = ((standard[:, None] - points) ** 2).sum(2)
        kernel = signal * torch.exp(-squares / (2 * length**2))
        explained = torch.linalg.solve_triangular(factor, kernel.T, upper=False).square().sum(0)
        deviation = (signal - explained).clamp(min=SMALLEST_VARIANCE).sqrt()
        return process.mean + process.unit * (kernel @ alpha - kappa * deviation)

    return bound


def _double(values: Any) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)
