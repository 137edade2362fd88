"""Selection of candidates for relaxation: a Gaussian process over what earlier rounds relaxed, and a lower confidence bound.

Unrelaxed energies hardly rank relaxed ones, and latent vectors explain little of them; a process also states its
uncertainty, so that candidates of uncertain energy can be tried.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imatgen_flows.candidates.candidate import decode_order
from imatgen_flows.candidates.schema import Row

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.preprocessing import StandardScaler

SELECTION_COLUMNS = ("formula", "residual", "count_matches", "repaired", "latent_row")  # that a selection reads
FEWEST = 8  # relaxed structures below which no process is fitted
JITTER = 1e-10  # added to the diagonal of the kernel matrix, in units of the targets' variance, against rounding
# eV/atom by which each candidate of a composition raises the score of the next one of it; a choice, small beside the
# thresholds of E_hull (0.05 to 0.15 eV/atom), so that a composition of much lower scores still comes first
COMPOSITION_PENALTY = 0.02


@dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process that was fitted to standardised features.

    Attributes
    ----------
    scaler : standardises the features
    regressor : of targets less `mean`, in units of `unit`; its kernel is signal variance * RBF(length) + noise variance
    mean, unit : mean and standard deviation of the targets
    """

    scaler: StandardScaler
    regressor: GaussianProcessRegressor
    mean: float
    unit: float

    def predict(self, features: NDArray) -> tuple[NDArray, NDArray]:
        """Return mean and standard deviation (n,), without noise, at features (n, D)."""
        mean, deviation = self.regressor.predict(self.scaler.transform(features), return_std=True)
        variance = deviation**2 - self.regressor.kernel_.k2.noise_level
        return self.mean + self.unit * mean, self.unit * np.sqrt(np.maximum(variance, 0.0))


def fit_process(features: NDArray, targets: NDArray) -> GaussianProcess:
    """Fit a Gaussian process by maximum marginal likelihood.

    The kernel is a squared exponential with white noise (Rasmussen and Williams, Gaussian Processes for Machine Learning,
    Sections 4.2.1 and 5.4.1). The optimiser starts at the median distance between two points as the length, and at a
    signal of 1 and a noise of 0.3 standard deviations of the targets.

    Parameters
    ----------
    features : (N, D)
    targets : (N,)

    Raises
    ------
    ValueError
        Where there are fewer than `FEWEST` points.
    """
    from scipy.spatial.distance import pdist
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
    from sklearn.preprocessing import StandardScaler

    targets = np.asarray(targets, float)
    if len(targets) < FEWEST:
        raise ValueError(f"{len(targets)} points are too few for a process; it takes {FEWEST}")
    scaler = StandardScaler()
    points = scaler.fit_transform(np.asarray(features, float))
    mean, unit = float(targets.mean()), float(targets.std()) or 1.0
    distances = pdist(points)
    length = float(np.median(distances[distances > 0])) if (distances > 0).any() else 1.0
    kernel = ConstantKernel(1.0, (0.05**2, 20**2)) * RBF(length, (0.05 * length, 20 * length))
    kernel += WhiteKernel(0.3**2, (1e-3**2, 3**2))
    regressor = GaussianProcessRegressor(kernel, alpha=JITTER, optimizer=_maximise_likelihood)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an optimum at a bound, as for targets without noise
        regressor.fit(points, (targets - mean) / unit)
    return GaussianProcess(scaler, regressor, mean, unit)


def _maximise_likelihood(
    objective: Callable[[NDArray], tuple[float, NDArray]], start: NDArray, bounds: NDArray
) -> tuple[NDArray, float]:
    """Minimise scikit-learn's objective by L-BFGS over logarithms of standard deviations, where its own are of variances.

    With few points the likelihood is nearly flat, and the optimum that is reached depends on the scale of the steps.
    """
    from scipy.optimize import minimize

    power = np.array([2.0, 1.0, 2.0])  # of the signal's deviation, the length, and the noise's deviation

    def scaled(logs: NDArray) -> tuple[float, NDArray]:
        cost, gradient = objective(logs * power)
        return cost, gradient * power

    found = minimize(scaled, start / power, jac=True, method="L-BFGS-B", bounds=bounds / power[:, None])
    return found.x * power, float(found.fun)


def lower_confidence_bound(process: GaussianProcess, features: NDArray, kappa: float) -> NDArray:
    """Score candidates, lowest first: the predicted target less `kappa` times its uncertainty.

    Parameters
    ----------
    process : fitted to energies above the hull, eV/atom
    features : (n, D), of the candidates
    kappa : standard deviations that count in a candidate's favour; 0 trusts the prediction
    """
    mean, deviation = process.predict(features)
    return mean - kappa * deviation


def select_candidates(
    candidates: Sequence[Row],
    at_most: int,
    scores: Mapping[str, float] | None = None,
    composition_penalty: float = COMPOSITION_PENALTY,
) -> list[Row]:
    """Select candidates for relaxation by their scores, with a penalty for each further one of a composition.

    Without scores the compositions take turns, and in each turn clean decodes come first.

    Parameters
    ----------
    candidates : rows with `sample` and `SELECTION_COLUMNS`
    at_most : how many are selected
    scores : by sample, eV/atom, the lowest first; None where nothing has been learnt
    composition_penalty : eV/atom that each candidate of a composition adds to the score of the next one of it

    Returns
    -------
    the selected candidates, best first
    """
    score = scores or {}
    before: Counter[str] = Counter()  # candidates of each composition with a better score
    ranks: dict[str, tuple[float, tuple[bool, float], str]] = {}

    def by_score(row: Row) -> tuple[float, tuple[bool, float], str]:
        sample = str(row["sample"])
        return score.get(sample, 0.0), decode_order(row), sample

    for row in sorted(candidates, key=by_score):
        value, quality, sample = by_score(row)
        formula = str(row["formula"])
        ranks[sample] = value + composition_penalty * before[formula], quality, sample
        before[formula] += 1
    return sorted(candidates, key=lambda row: ranks[str(row["sample"])])[:at_most]
