from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imatgen_flows.models.presets import PriorSettings
from imatgen_flows.models.prior import LatentPrior
from imatgen_flows.models.sampling import (
    sample_between_neighbours,
    sample_gaussian,
    sample_perturbed,
    sample_prior,
    sample_slerp,
    slerp,
)


def vectors(seed, n=1, latent=16):
    return torch.randn(n, latent, generator=torch.Generator().manual_seed(seed)) * (1 + seed % 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 20))
def test_slerp_runs_along_the_great_circle_with_norms_between_those_of_its_ends(seed, k):
    a, b = vectors(2 * seed), vectors(2 * seed + 1)
    t = torch.tensor([k / 20])
    c = slerp(a, b, t)
    assert c.norm().item() == pytest.approx(((1 - t) * a.norm() + t * b.norm()).item(), abs=1e-4)

    def angle(x, y):
        return torch.arccos((x * y).sum().double() / (x.norm() * y.norm())).nan_to_num(0.0).item()

    assert angle(a, c) == pytest.approx(k / 20 * angle(a, b), abs=2e-3)
    torch.testing.assert_close(slerp(b, a, 1 - t), c, atol=1e-4, rtol=1e-4)
    if k == 0:
        torch.testing.assert_close(c, a)
    if k == 20:
        torch.testing.assert_close(c, b)


def test_slerp_between_parallel_vectors_is_the_straight_line():
    a = vectors(0)
    torch.testing.assert_close(slerp(a, 3 * a, torch.tensor([0.25])), 1.5 * a)
    torch.testing.assert_close(slerp(a, a, torch.tensor([0.7])), a)
    nearly = a + 1e-4 * vectors(1)
    torch.testing.assert_close(slerp(a, nearly, torch.tensor([0.5])), (a + nearly) / 2, atol=1e-4, rtol=0)


def test_slerp_draws_each_pair_and_step_once_before_one_is_drawn_again():
    anchors = vectors(3, 5)
    everything = 10 * 19
    samples = sample_slerp(anchors, 2 * everything + 7, seed=1)
    steps = torch.arange(1, 20) / 20
    path = {
        (i, j): slerp(anchors[i].expand(19, -1), anchors[j].expand(19, -1), steps)
        for i in range(5)
        for j in range(i + 1, 5)
    }

    def drawn(rows):
        found = []
        for row in rows:
            distances = (path[samples.parents[row]] - samples.latent[row]).norm(dim=1)
            assert distances.min() < 1e-5  # t = k/20 between its own parents
            found.append((samples.parents[row], distances.argmin().item()))
        return found

    for start in (0, everything):
        assert len(set(drawn(range(start, start + everything)))) == everything
    assert len(set(drawn(range(2 * everything, len(samples.parents))))) == 7


def test_slerp_of_the_papers_knowns_makes_the_papers_number_of_samples():
    assert len(set(map(tuple, sample_slerp(vectors(0, 31, 8), 8835, seed=0).latent.tolist()))) == 8835


def test_one_known_cannot_be_interpolated():
    with pytest.raises(ValueError, match="at least two"):
        sample_slerp(vectors(0), 5, seed=0)


def test_perturbed_samples_lie_at_the_distance_and_take_each_anchor_in_turn():
    anchors = vectors(1, 4)
    samples = sample_perturbed(anchors, 10, seed=0, distance=0.001)
    assert samples.parents == [(i % 4,) for i in range(10)]
    offsets = samples.latent - anchors[[i % 4 for i in range(10)]]
    torch.testing.assert_close(offsets.norm(dim=1), torch.full((10,), 0.001), atol=1e-5, rtol=0)


def test_perturbed_samples_have_the_width_asked_for():
    width = torch.tensor([0.0, 0.1, 2.0])
    anchor = torch.tensor([[1.0, 2.0, 3.0]])
    samples = sample_perturbed(anchor, 20_000, seed=0, width=width)
    torch.testing.assert_close(samples.latent.mean(0), anchor[0], atol=0.05, rtol=0)
    torch.testing.assert_close(samples.latent.std(0), width, atol=0.02, rtol=0.02)


@pytest.fixture(scope="module")
def data():
    """Correlated data whose mean is not zero."""
    mixing = vectors(5, 4, 4)
    return vectors(6, 500, 4) @ mixing + torch.tensor([3.0, -1.0, 0.0, 10.0])


def test_the_gaussian_has_the_mean_and_covariance_of_the_data(data):
    samples = sample_gaussian(data, 40_000, seed=0).latent
    scale = data.var(0).max().item()
    torch.testing.assert_close(samples.mean(0), data.mean(0), atol=0.03 * scale**0.5, rtol=0)
    torch.testing.assert_close(samples.T.cov(), data.T.cov(), atol=0.03 * scale, rtol=0)


def test_the_published_gaussian_has_the_data_s_widths_but_not_its_correlations(data):
    samples = sample_gaussian(data, 40_000, seed=0, full_covariance=False).latent
    torch.testing.assert_close(samples.std(0), data.std(0), atol=0, rtol=0.03)
    correlations = samples.T.corrcoef() - torch.eye(4)
    assert correlations.abs().max() < 0.03 < (data.T.corrcoef() - torch.eye(4)).abs().max()


def test_a_gaussian_of_few_vectors_stays_in_their_span():
    data = vectors(7, 3, 16)
    samples = sample_gaussian(data, 50, seed=0).latent
    assert samples.isfinite().all()
    assert torch.linalg.matrix_rank(samples - data.mean(0), atol=1e-3) == 2


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed, n: sample_perturbed(vectors(0, 6), n, seed, distance=0.1),
        lambda seed, n: sample_slerp(vectors(0, 6), n, seed),
        lambda seed, n: sample_gaussian(vectors(0, 6), n, seed),
        lambda seed, n: sample_between_neighbours(
            vectors(0, 6), torch.zeros(6, dtype=torch.long), torch.ones(6), n, seed
        ),
    ],
    ids=["perturb", "slerp", "gaussian", "neighbours"],
)
def test_the_same_seed_draws_the_same_samples(draw):
    one, two, other = draw(11, 40), draw(11, 40), draw(12, 40)
    assert torch.equal(one.latent, two.latent) and one.parents == two.parents
    assert not torch.equal(one.latent, other.latent)
    assert len(one.latent) == len(one.parents) == 40
    assert len(draw(11, 0).latent) == 0


def test_samples_say_which_prior_they_were_drawn_from():
    torch.manual_seed(0)
    prior = LatentPrior(PriorSettings(8, 1, 2, learning_rate=1e-3, batch_size=4, epochs=1), latent=16, channels=2)
    prior.fit_scale(vectors(0, 6), torch.ones(6, 3))
    assert sample_prior(prior, torch.ones(5, 3), seed=0).prior == "flow"
    assert {sample_gaussian(vectors(0, 6), 5, 0, full).prior for full in (True, False)} == {"gaussian"}
    assert sample_slerp(vectors(0, 6), 5, 0).prior == sample_perturbed(vectors(0, 6), 5, 0).prior == ""


def test_neighbours_share_their_group_and_are_the_nearest_of_it():
    latent = torch.tensor([[0.0, 1.0], [0.0, 1.2], [0.0, 5.0], [3.0, 0.1], [3.0, 0.3], [9.0, 9.0]])
    groups = torch.tensor([0, 0, 0, 1, 1, 2])  # the last has no one beside it
    samples = sample_between_neighbours(latent, groups, torch.ones(6), 500, seed=1, neighbours=1)
    assert set(samples.parents) == {(0, 1), (1, 0), (2, 1), (3, 4), (4, 3)}
    for place, (first, second) in zip(samples.latent, samples.parents, strict=True):
        assert place.norm() <= max(latent[first].norm(), latent[second].norm()) + 1e-4


def test_crystals_start_samples_as_often_as_their_weights_say():
    latent, groups = vectors(3, 4), torch.zeros(4, dtype=torch.long)
    samples = sample_between_neighbours(latent, groups, torch.tensor([6.0, 3.0, 1.0, 0.0]), 5000, seed=1)
    starts = torch.tensor([first for first, _ in samples.parents]).bincount(minlength=4) / 5000
    torch.testing.assert_close(starts, torch.tensor([0.6, 0.3, 0.1, 0.0]), atol=0.03, rtol=0)
    assert all(first != second and second != 3 for first, second in samples.parents)


def test_without_two_crystals_of_the_same_atoms_nothing_lies_between():
    with pytest.raises(ValueError, match="two known structures of the same atoms"):
        sample_between_neighbours(vectors(1, 3), torch.arange(3), torch.ones(3), 5, seed=0)
