"""The process that chooses what is relaxed: against an independent computation, and at its limits."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from imatgen_flows.candidates.selection import (
    COMPOSITION_PENALTY,
    FEWEST,
    SELECTION_COLUMNS,
    fit_process,
    lower_confidence_bound,
    select_candidates,
)


def data(n=40, d=3, noise=0.01, seed=0):
    random = np.random.default_rng(seed)
    points = random.uniform(-2, 2, (n, d)) * [1, 10, 100][:d]
    return points, np.sin(points[:, 0]) + 0.05 * points[:, 1] + noise * random.normal(size=n)


def parameters(process):
    """Length in standardised features; signal and noise in the unit of the targets."""
    kernel = process.regressor.kernel_
    signal, noise = (process.unit * np.sqrt(v) for v in (kernel.k1.k1.constant_value, kernel.k2.noise_level))
    return kernel.k1.k2.length_scale, signal, noise


def test_the_prediction_is_that_of_the_textbook_formula():
    points, values = data()
    process = fit_process(points, values)
    length, signal, noise = parameters(process)
    here = points[:5] + 0.1
    standard = lambda x: (x - points.mean(0)) / points.std(0)  # noqa: E731

    def kernel(a, b):
        distance = ((standard(a)[:, None] - standard(b)[None]) ** 2).sum(-1)
        return signal**2 * np.exp(-distance / 2 / length**2)

    diagonal = noise**2 + process.regressor.alpha * process.unit**2  # scikit-learn's jitter
    inverse = np.linalg.inv(kernel(points, points) + diagonal * np.eye(len(points)))
    mean, deviation = process.predict(here)
    assert_allclose(mean, values.mean() + kernel(here, points) @ inverse @ (values - values.mean()), rtol=1e-6)
    variance = np.diag(kernel(here, here) - kernel(here, points) @ inverse @ kernel(points, here))
    assert_allclose(deviation**2, variance, atol=1e-7)


def test_no_kernel_nearby_is_more_likely():
    points, values = data()
    process = fit_process(points, values)
    best = process.regressor.kernel_.theta
    likelihood = process.regressor.log_marginal_likelihood
    for step in 0.05 * np.vstack([np.eye(3), -np.eye(3)]):
        assert likelihood(best + step) < likelihood(best)


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


def test_kappa_favours_what_is_unknown():
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


def test_an_optimum_at_a_bound_is_no_warning():
    points, _ = data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_process(points, points[:, 0])  # without noise


# The selection


def candidate(sample, formula, residual=0.1, **cells):
    row = {"formula": formula, "residual": residual, "count_matches": True, "repaired": 0, "latent_row": 0}
    assert set(row) == set(SELECTION_COLUMNS)
    return {"sample": sample} | row | cells


def names(rows):
    return [row["sample"] for row in rows]


def test_compositions_take_turns_and_clean_decodes_come_first_where_nothing_is_known():
    rows = [candidate(f"VO-{i}", "VO", residual=0.01 * i) for i in range(4)] + [candidate("V2O3-0", "V2O3", 0.2)]
    assert names(select_candidates(rows, 3)) == ["VO-0", "V2O3-0", "VO-1"]


def test_of_one_composition_decodes_with_matching_counts_and_without_repair_come_first():
    rows = [
        candidate("unread", "VO", None, count_matches=None),
        candidate("repaired", "VO", 0.0, repaired=2),
        candidate("mismatched", "VO", 0.01, count_matches=False),
        candidate("poor", "VO", 0.9),
        candidate("good", "VO", 0.2),
    ]
    assert names(select_candidates(rows, 5)) == ["good", "poor", "repaired", "mismatched", "unread"]


def test_the_lowest_scores_come_first_and_a_crowded_composition_makes_room_for_others():
    rows = [candidate(f"VO-{i}", "VO") for i in range(4)] + [candidate("V2O3-0", "V2O3"), candidate("VO2-0", "VO2")]
    scores = {f"VO-{i}": 0.0 for i in range(4)} | {"V2O3-0": 1.5 * COMPOSITION_PENALTY, "VO2-0": 1.0}
    assert names(select_candidates(rows, 6, scores)) == ["VO-0", "VO-1", "V2O3-0", "VO-2", "VO-3", "VO2-0"]
    plain = select_candidates(rows, 6, scores, composition_penalty=0)
    assert names(plain) == ["VO-0", "VO-1", "VO-2", "VO-3", "V2O3-0", "VO2-0"]


def test_no_more_are_selected_than_asked_for_and_none_twice():
    rows = [candidate(f"s{i}", formula) for i, formula in enumerate(["VO", "VO2", "V2O3"] * 5)]
    selected = names(select_candidates(rows, 7))
    assert len(selected) == len(set(selected)) == 7 and len(select_candidates(rows, 100)) == 15
