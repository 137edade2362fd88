"""Confidence intervals of measured rates and means, by formula and by bootstrap."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95  # confidence level of all intervals, the usual one
RESAMPLES = 10_000  # draws of a bootstrap: percentiles of 95 % then vary by about 1 % of the interval's width

Interval = tuple[float, float]


def rate_interval(count: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the Wilson score interval of a rate (Wilson, J. Am. Stat. Assoc. 22, 209, 1927).

    Parameters
    ----------
    count, total : successes, and trials; without a trial the rate can be anything from 0 to 1
    level : of confidence
    """
    if not total:
        return 0.0, 1.0
    from scipy.stats import binomtest

    found = binomtest(count, total).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def rate_per_1000(count: int, trials: int, evaluations: int) -> tuple[float, float, float] | None:
    """Return the finds in 1,000 evaluations and their interval; None where nothing was tried or nothing was spent.

    The interval is that of the share of trials that are finds, by Wilson; what a trial costs is taken as it was.

    Examples
    --------
    >>> rate, low, high = rate_per_1000(3, 10, 600)
    >>> round(rate, 2), low < rate < high
    (5.0, True)
    """
    if not trials or not evaluations:
        return None
    each = 1000 * trials / evaluations
    low, high = rate_interval(count, trials)
    return each * count / trials, each * low, each * high


def resample(number: int, seed: int) -> NDArray[np.float64]:
    """Draw how often each of some things counts in each draw of a bootstrap.

    Returns
    -------
    (1 + `RESAMPLES`, number) weights; the first row is all ones: what was measured
    """
    import numpy as np

    drawn = np.random.default_rng(seed).multinomial(number, [1 / number] * number, RESAMPLES)
    return np.vstack([np.ones(number), drawn])


def percentiles(values: NDArray[np.float64]) -> Interval:
    """Return the interval between the percentiles of the draws of a bootstrap."""
    import numpy as np

    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def mean_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Return the confidence interval of a mean by Student's t distribution, for normally distributed values.

    Parameters
    ----------
    values : independent, two at least
    level : of confidence

    Raises
    ------
    ValueError
        Where there are fewer than two values: one has no standard deviation.
    """
    from scipy.stats import t

    if len(values) < 2:
        raise ValueError("the interval of a mean needs two values at least")
    middle = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * error
    return middle - half, middle + half
