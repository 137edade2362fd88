from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imatgen_flows.metrics.statistics import mean_interval, rate_interval

Z = 1.959963984540054  # 97.5th percentile of the normal distribution


@settings(deadline=None)  # the first call imports scipy
@given(st.integers(1, 500).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_the_interval_of_a_rate_is_wilsons(pair):
    count, total = pair
    rate = count / total
    half = Z * math.sqrt(rate * (1 - rate) / total + Z**2 / (4 * total**2))
    bounds = [(rate + Z**2 / (2 * total) + sign * half) / (1 + Z**2 / total) for sign in (-1, 1)]
    assert rate_interval(count, total) == pytest.approx(bounds, abs=1e-9)


def test_no_trials_say_nothing_about_a_rate():
    assert rate_interval(0, 0) == (0.0, 1.0)


def test_the_interval_of_a_mean_is_students():
    low, high = mean_interval([0.4, 0.5, 0.6])
    assert (low + high) / 2 == pytest.approx(0.5)
    assert high - 0.5 == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)
    with pytest.raises(ValueError, match="two values"):
        mean_interval([0.5])
