"""The process that chooses what is relaxed: against an independent computation, and at its limits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from imatgen_flows.candidates.selection import FEWEST, fit_process, lower_confidence_bound


def data(n=40, d=3, noise=0.01, seed=0):
    random = np.random.default_rng(seed)
    points = random.uniform(-2, 2, (n, d)) * [1, 10, 100][:d]
    return points, np.sin(points[:, 0]) + 0.05 * points[:, 1] + noise * random.normal(size=n)


def test_the_prediction_is_that_of_the_textbook_formula():
    points, values = data()
    process = fit_process(points, values)
    here = points[:5] + 0.1
    standard = lambda x: (x - process.center) / process.scale  # noqa: E731

    def kernel(a, b):
        distance = ((standard(a)[:, None] - standard(b)[None]) ** 2).sum(-1)
        return process.signal**2 * np.exp(-distance / 2 / process.length**2)

    inverse = np.linalg.inv(
        kernel(points, points) + (process.noise**2 + 1e-8 * process.signal**2) * np.eye(len(points))
    )
    mean, deviation = process.predict(here)
    assert_allclose(mean, values.mean() + kernel(here, points) @ inverse @ (values - values.mean()), rtol=1e-6)
    variance = np.diag(kernel(here, here) - kernel(here, points) @ inverse @ kernel(points, here))
    assert_allclose(deviation**2, variance, atol=1e-7)


def test_it_learns_what_can_be_learnt():
    points, values = data(80)
    process = fit_process(points[:60], values[:60])
    mean, _ = process.predict(points[60:])
    assert np.sqrt(((mean - values[60:]) ** 2).mean()) < 0.5 * values.std()


def test_it_is_surest_where_it_has_data():
    points, values = data()
    _, near = fit_process(points, values).predict(points)
    _, far = fit_process(points, values).predict(points + 1000)
    assert near.max() < 0.5 * far.min()


def test_the_scale_of_a_feature_does_not_matter():
    points, values = data()
    plain, scaled = (fit_process(points * factor, values).predict(points * factor)[0] for factor in (1, [1, 7, 0.01]))
    assert_allclose(plain, scaled, atol=1e-4)  # the kernel's parameters are found by iteration


def test_caution_favours_what_is_unknown():
    points, values = data()
    process = fit_process(points, values)
    both = np.vstack([points[:1], points[:1] + 1000])
    trusting, curious = lower_confidence_bound(process, both, 0), lower_confidence_bound(process, both, 5)
    assert_allclose(trusting, process.predict(both)[0])
    assert curious[1] < curious[0]


def test_too_few_points_and_equal_ones_are_handled():
    points, values = data(FEWEST - 1)
    with pytest.raises(ValueError, match="too few"):
        fit_process(points, values)
    same = fit_process(np.ones((FEWEST, 2)), np.full(FEWEST, 0.3))
    assert_allclose(same.predict(np.ones((1, 2)))[0], 0.3, atol=1e-6)
