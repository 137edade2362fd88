"""Which candidates are worth an energy: a Gaussian process over what earlier rounds have relaxed.

Unrelaxed energies hardly rank relaxed ones, and the generator's codes explain little of them; a process says at least how
unsure it is, and what it is unsure of may be tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

FEWEST = 8  # relaxed structures below which there is nothing to learn from
JITTER = 1e-8


@dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process with a squared exponential kernel, on standardised features.

    Attributes
    ----------
    points : (N, D), standardised
    center, scale : (D,), of the features
    mean : of the targets, their unit
    length, signal, noise : of the kernel; length in standardised features, the others in the unit of the targets
    factor : Cholesky factor of the kernel matrix
    weights : (N,)
    """

    points: NDArray
    center: NDArray
    scale: NDArray
    mean: float
    length: float
    signal: float
    noise: float
    factor: tuple
    weights: NDArray

    def predict(self, features: NDArray) -> tuple[NDArray, NDArray]:
        """Return mean and standard deviation (n,), without noise, at features (n, D)."""
        here = (np.asarray(features, float) - self.center) / self.scale
        cross = self.signal**2 * np.exp(-0.5 * cdist(here, self.points, "sqeuclidean") / self.length**2)
        explained = np.einsum("ij,ji->i", cross, cho_solve(self.factor, cross.T))
        return self.mean + cross @ self.weights, np.sqrt(np.maximum(self.signal**2 - explained, 0.0))


def fit_process(features: NDArray, targets: NDArray) -> GaussianProcess:
    """Fit a process by its marginal likelihood (Rasmussen and Williams, Gaussian Processes for Machine Learning, Eq. 5.8).

    Parameters
    ----------
    features : (N, D)
    targets : (N,)

    Raises
    ------
    ValueError
        Where there are fewer than `FEWEST` points.
    """
    features, targets = np.asarray(features, float), np.asarray(targets, float)
    if len(targets) < FEWEST:
        raise ValueError(f"{len(targets)} points are too few for a process; it takes {FEWEST}")
    center, scale = features.mean(0), features.std(0)
    scale[scale < 1e-12] = 1.0  # a feature that is the same everywhere tells nothing
    points, mean = (features - center) / scale, float(targets.mean())
    residual, distance = targets - mean, cdist(points, points, "sqeuclidean")
    spread = float(residual.std()) or 1.0

    def kernel(logs: NDArray) -> NDArray:
        length, signal, noise = np.exp(logs)
        return signal**2 * np.exp(-0.5 * distance / length**2) + (noise**2 + JITTER * signal**2) * np.eye(len(points))

    def cost(logs: NDArray) -> float:
        factor = cho_factor(kernel(logs), lower=True)
        return 0.5 * residual @ cho_solve(factor, residual) + np.log(np.diag(factor[0])).sum()

    typical = float(np.sqrt(np.median(distance[distance > 0]))) if (distance > 0).any() else 1.0
    start = np.log([typical, spread, 0.3 * spread])
    bounds = [(np.log(0.05 * typical), np.log(20 * typical)), (np.log(0.05 * spread), np.log(20 * spread))]
    bounds.append((np.log(1e-3 * spread), np.log(3 * spread)))
    best = minimize(cost, start, method="L-BFGS-B", bounds=bounds).x
    factor = cho_factor(kernel(best), lower=True)
    length, signal, noise = np.exp(best)
    return GaussianProcess(
        points, center, scale, mean, float(length), float(signal), float(noise), factor, cho_solve(factor, residual)
    )


def lower_confidence_bound(process: GaussianProcess, features: NDArray, kappa: float) -> NDArray:
    """Score candidates, lowest first: the predicted target less `kappa` times its uncertainty (a lower bound).

    Parameters
    ----------
    process : fitted to distances from the hull, eV/atom
    features : (n, D), of the candidates
    kappa : standard deviations that count in a candidate's favour; 0 trusts the prediction
    """
    mean, deviation = process.predict(features)
    return mean - kappa * deviation
