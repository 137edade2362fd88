"""The bound that torch differentiates: against scikit-learn's prediction and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from imatgen_flows.candidates.acquisition import differentiable_bound
from imatgen_flows.candidates.selection import fit_process, lower_confidence_bound


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).normal(size=(30, 5)) * [1, 10, 0.1, 1, 1]


@pytest.fixture(scope="module")
def process(points):
    noise = np.random.default_rng(1).normal(size=30)
    return fit_process(points, np.sin(points[:, 0]) + 0.02 * points[:, 1] + 0.1 * noise)


@pytest.fixture(scope="module")
def here(points):
    """Training points, points between and beside them, and one far from all."""
    moved = points[:8] + 0.3 * np.random.default_rng(2).normal(size=(8, 5)) * points.std(0)
    return np.vstack([points[:4], moved, points[:1] + 1000])


@pytest.mark.parametrize("kappa", [0.0, 1.0, 2.5])
def test_it_is_the_bound_of_scikit_learn(process, here, kappa):
    bound = differentiable_bound(process, kappa)(torch.from_numpy(here))
    assert_allclose(bound.numpy(), lower_confidence_bound(process, here, kappa), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_its_gradient_is_that_of_finite_differences(process, here, points, kappa):
    features = torch.from_numpy(here).requires_grad_()
    (gradient,) = torch.autograd.grad(differentiable_bound(process, kappa)(features).sum(), features)
    for column, step in enumerate(1e-5 * points.std(0)):
        aside = step * np.eye(5)[column]
        rise = lower_confidence_bound(process, here + aside, kappa) - lower_confidence_bound(
            process, here - aside, kappa
        )
        assert_allclose(gradient[:, column].numpy() * points.std(0)[column], rise / 2e-5, atol=2e-5)


def test_single_precision_vectors_are_as_good(process, here):
    bound = differentiable_bound(process, 1.0)
    assert_allclose(bound(torch.from_numpy(here).float()).numpy(), bound(torch.from_numpy(here)).numpy(), atol=1e-5)
