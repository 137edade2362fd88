"""How far a measured rate can be trusted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def rate_interval(count: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a rate (Wilson, J. Am. Stat. Assoc. 22, 209, 1927); 95 % at z = 1.96."""
    if not total:
        return 0.0, 1.0
    rate = count / total
    middle = rate + z * z / (2 * total)
    half = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a mean by Student's t: where the mean of more such values lies, if they are normal.

    Parameters
    ----------
    values : independent, two at least
    level : of confidence

    Raises
    ------
    ValueError
        Where there are fewer than two values: one has no spread.
    """
    from scipy.stats import t

    if len(values) < 2:
        raise ValueError("the interval of a mean needs two values at least")
    middle = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    half = float(t.ppf((1 + level) / 2, len(values) - 1)) * error
    return middle - half, middle + half
