from __future__ import annotations

import numpy as np
import pytest

from imatgen_flows.studies.latent_classifier import (
    area_under_curve,
    auc_lead,
    classify,
    cross_validate,
    measure_separation,
    principal_components,
    silhouette,
)


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


@pytest.fixture
def clouds():
    """Two clouds of 60 points, three to a group, that overlap a little; and which is which."""
    rng = np.random.default_rng(2)
    positive = np.arange(120) % 2 == 0
    points = rng.normal(size=(120, 6)) + 1.2 * positive[:, None] * [1, 0, 0, 0, 0, 0]
    return points, positive, [f"mp-{number // 3}" for number in range(120)]


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(3)
    scores, positive = rng.integers(0, 9, 40), rng.random(40) < 0.3
    pairs = scores[positive][:, None] - scores[~positive]
    assert area_under_curve(scores, positive) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert area_under_curve(-scores, positive) == pytest.approx(1 - area_under_curve(scores, positive))


def test_the_silhouette_is_that_of_its_definition(clouds):
    points, positive, _ = clouds
    apart = np.linalg.norm(points[:, None] - points, axis=-1)
    values = []
    for row in range(len(points)):
        own = positive == positive[row]
        a, b = apart[row, own].sum() / (own.sum() - 1), apart[row, ~own].mean()
        values.append((b - a) / max(a, b))
    assert silhouette(points, positive) == pytest.approx(np.mean(values))
    assert silhouette(points + 50 * positive[:, None], positive) > 0.9


def test_a_point_that_is_alone_in_its_class_has_no_silhouette():
    assert silhouette([[0.0], [1.0], [9.0]], [True, True, False]) == pytest.approx((8 / 9 + 7 / 8) / 3)


def test_the_classifier_finds_the_direction_that_tells_and_weighs_both_classes_alike():
    rng = np.random.default_rng(4)
    positive = np.arange(4000) % 8 == 0
    points = rng.normal(size=(4000, 2)) + np.outer(positive, [2.0, 0.0])
    logits = classify(points, positive, [[1.0, 0.0], [2.0, 0.0], [1.0, 5.0]])
    # of two normal clouds of width 1, equally heavy, the logit is 2 (x - 1)
    np.testing.assert_allclose(logits, [0, 2, 0], atol=0.45)


@pytest.mark.parametrize("change", [lambda points: 1e-4 * points, lambda points: points + 7])
def test_neither_scale_nor_origin_of_the_latent_space_counts(clouds, change):
    points, positive, groups = clouds
    before, _ = measure_separation(points, positive.tolist(), groups, range(120), 0)
    after, _ = measure_separation(change(points), positive.tolist(), groups, range(120), 0)
    assert after == pytest.approx(before, abs=0.01)


def test_classes_that_mix_cannot_be_told_and_shifted_ones_can(clouds):
    points, positive, groups = clouds
    mixed, _ = measure_separation(points[:, 1:], positive.tolist(), groups, range(120), 0)
    parted, _ = measure_separation(points, positive.tolist(), groups, range(120), 0)
    assert abs(mixed["auc"] - 0.5) < 0.15 and abs(mixed["silhouette"]) < 0.03
    assert parted["auc"] > 0.7 and parted["silhouette"] > 0.03


def test_a_point_is_scored_without_its_group():
    """A group's members are equal, and their label is a coin's: who has seen the group would know it."""
    rng = np.random.default_rng(5)
    coin = np.repeat(rng.random(100) < 0.5, 4)
    points = np.repeat(rng.normal(size=(100, 60)), 4, axis=0)
    apart = cross_validate(points, coin, np.repeat(np.arange(100), 4).astype(str).tolist(), 0)
    leaking = cross_validate(points, coin, [str(number) for number in range(400)], 0)
    assert abs(area_under_curve(apart, coin) - 0.5) < 0.15 < area_under_curve(leaking, coin) - 0.5


def test_two_groups_of_a_class_are_enough_for_every_fold():
    positive = np.arange(40) < 2
    points = np.linspace(0, 1, 80).reshape(40, 2)
    for seed in range(20):
        assert np.isfinite(cross_validate(points, positive, [str(number) for number in range(40)], seed)).all()
    with pytest.raises(ValueError, match="both classes"):
        cross_validate(points[1:], positive[1:], [str(number) for number in range(1, 40)], 0)


def test_structures_that_the_networks_did_not_see_are_judged_apart_and_unlabelled_ones_not_at_all(clouds):
    points, positive, groups = clouds
    labels = [None if number >= 110 else bool(label) for number, label in enumerate(positive)]
    numbers, scores = measure_separation(points, labels, groups, range(90), 0)
    assert len(scores) == 90
    assert numbers["unseen"]["structures"] == 20
    expected = area_under_curve(classify(points[:90], positive[:90], points[90:110]), positive[90:110])
    assert numbers["unseen"]["auc"] == pytest.approx(expected)
    assert measure_separation(points, labels, groups, range(110), 0)[0]["unseen"] is None


def test_a_lead_over_oneself_is_none_and_over_chance_is_one(clouds):
    points, positive, groups = clouds
    assert auc_lead(points[:, 0], points[:, 0], positive, groups, 0) == [0, 0]
    low, high = auc_lead(points[:, 0] + 3 * positive, points[:, 1], positive, groups, 0)
    assert 0 < low < high <= 1
