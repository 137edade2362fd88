from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from imatgen_flows.studies.latent_classifier import (
    auc_lead,
    classify,
    cross_validate,
    measure_separation,
)


@pytest.fixture
def clouds():
    """Two clouds of 60 points, three to a group, that overlap a little; and which is which."""
    rng = np.random.default_rng(2)
    positive = np.arange(120) % 2 == 0
    points = rng.normal(size=(120, 6)) + 1.2 * positive[:, None] * [1, 0, 0, 0, 0, 0]
    return points, positive, [f"mp-{number // 3}" for number in range(120)]


def test_the_numbers_are_those_of_their_definitions(clouds):
    points, positive, groups = clouds
    found = measure_separation(points, positive.tolist(), groups, range(120), 0)
    pairs = found.logits[positive][:, None] - found.logits[~positive]
    assert found.auc == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    right = (found.logits > 0) == positive
    assert found.balanced_accuracy == pytest.approx((right[positive].mean() + right[~positive].mean()) / 2)
    apart = np.linalg.norm(points[:, None] - points, axis=-1)
    values = []
    for row in range(len(points)):
        own = positive == positive[row]
        a, b = apart[row, own].sum() / (own.sum() - 1), apart[row, ~own].mean()
        values.append((b - a) / max(a, b))
    assert found.silhouette == pytest.approx(np.mean(values))


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
    before = measure_separation(points, positive.tolist(), groups, range(120), 0)
    after = measure_separation(change(points), positive.tolist(), groups, range(120), 0)
    assert after.to_dict() == pytest.approx(before.to_dict(), abs=0.01)


def test_classes_that_mix_cannot_be_told_and_shifted_ones_can(clouds):
    points, positive, groups = clouds
    mixed = measure_separation(points[:, 1:], positive.tolist(), groups, range(120), 0)
    parted = measure_separation(points, positive.tolist(), groups, range(120), 0)
    assert abs(mixed.auc - 0.5) < 0.15 and abs(mixed.silhouette) < 0.03
    assert parted.auc > 0.7 and parted.silhouette > 0.03


def test_a_point_is_scored_without_its_group():
    """A group's members are equal, and their label is a coin's: who has seen the group would know it."""
    rng = np.random.default_rng(5)
    coin = np.repeat(rng.random(100) < 0.5, 4)
    points = np.repeat(rng.normal(size=(100, 60)), 4, axis=0)
    apart = cross_validate(points, coin, np.repeat(np.arange(100), 4).astype(str).tolist(), 0)
    leaking = cross_validate(points, coin, [str(number) for number in range(400)], 0)
    assert abs(roc_auc_score(coin, apart) - 0.5) < 0.15 < roc_auc_score(coin, leaking) - 0.5


def test_two_groups_of_a_class_are_enough_for_every_fold():
    positive = np.arange(40) < 2
    points = np.linspace(0, 1, 80).reshape(40, 2)
    for seed in range(20):
        assert np.isfinite(cross_validate(points, positive, [str(number) for number in range(40)], seed)).all()
    with pytest.raises(ValueError, match="both classes"):
        cross_validate(points[1:], positive[1:], [str(number) for number in range(1, 40)], 0)


def test_structures_that_the_networks_did_not_see_are_scored_apart_and_unlabelled_ones_not_at_all(clouds):
    points, positive, groups = clouds
    labels = [None if number >= 110 else bool(label) for number, label in enumerate(positive)]
    found = measure_separation(points, labels, groups, range(90), 0)
    assert len(found.logits) == 90
    assert found.unseen.structures == 20
    expected = roc_auc_score(positive[90:110], classify(points[:90], positive[:90], points[90:110]))
    assert found.unseen.auc == pytest.approx(expected)
    assert measure_separation(points, labels, groups, range(110), 0).unseen is None


def test_a_lead_over_oneself_is_none_and_over_chance_is_one(clouds):
    points, positive, groups = clouds
    assert auc_lead(points[:, 0], points[:, 0], positive, groups, 0) == (0, 0)
    low, high = auc_lead(points[:, 0] + 3 * positive, points[:, 1], positive, groups, 0)
    assert 0 < low < high <= 1
