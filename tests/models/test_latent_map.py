from __future__ import annotations

import numpy as np
import pytest

from imatgen_flows.models.latent_map import principal_components


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 8)) @ rng.normal(size=(8, 8)) + rng.normal(size=8)


def test_axes_are_those_of_the_covariance(data):
    found = principal_components(data)
    values, vectors = np.linalg.eigh(np.cov(data.T))
    np.testing.assert_allclose(np.abs(found.axes @ vectors[:, [-1, -2]]), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(found.explained, values[[-1, -2]] / values.sum())
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(2), atol=1e-12)


def test_the_map_is_centred_uncorrelated_and_never_stretches(data):
    found = principal_components(data)
    points = found.transform(data)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-9)
    assert abs(np.corrcoef(points.T)[0, 1]) < 1e-9
    assert points[:, 0].std() >= points[:, 1].std()
    far = np.linalg.norm(data[:50, None] - data[None, :50], axis=-1)
    near = np.linalg.norm(points[:50, None] - points[None, :50], axis=-1)
    assert (near <= far + 1e-9).all()


def test_the_map_does_not_depend_on_where_the_data_lie(data):
    moved = principal_components(data + 100)
    np.testing.assert_allclose(moved.transform(data + 100), principal_components(data).transform(data), atol=1e-8)


def test_data_in_a_plane_are_shown_as_they_are():
    rng = np.random.default_rng(1)
    plane = np.linalg.qr(rng.normal(size=(8, 2)))[0]
    flat = rng.normal(size=(40, 2))
    found = principal_components(flat @ plane.T)
    assert sum(found.explained) == pytest.approx(1)
    points = found.transform(flat @ plane.T)
    np.testing.assert_allclose(
        np.linalg.norm(points[:, None] - points, axis=-1), np.linalg.norm(flat[:, None] - flat, axis=-1), atol=1e-9
    )


def test_vectors_that_are_all_alike_explain_nothing():
    found = principal_components(np.ones((5, 4)))
    assert found.explained == [0, 0]
    assert not found.transform(np.ones((5, 4))).any()


def test_two_vectors_lie_on_the_first_axis():
    points = principal_components([[0, 0, 0], [3, 4, 0]]).transform([[0, 0, 0], [3, 4, 0]])
    np.testing.assert_allclose(np.abs(points), [[2.5, 0], [2.5, 0]], atol=1e-12)


def test_a_single_vector_lies_at_the_origin():
    found = principal_components([[1.0, 2.0, 3.0]])
    assert found.explained == [0] and not found.transform([[1.0, 2.0, 3.0]]).any()
