"""Confidence intervals of measured rates and means."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

LEVEL = 0.95  # confidence level of all intervals, the usual one


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
