"""Gradient ascent in a trust region: the objective rises, the region holds, the gradient is that of finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imatgen_flows.models.ascent import RADIUS, STEP, ascend, sample_ascent
from imatgen_flows.models.materials_vae import MaterialsVAE
from imatgen_flows.models.presets import DEFAULT, PAPER

LATENT = 8
WIDTH = torch.linspace(0.1, 2, LATENT)


def starts(n=6, seed=1):
    return torch.randn(n, LATENT, generator=torch.Generator().manual_seed(seed))


def vae(preset=DEFAULT, seed=0):
    torch.manual_seed(seed)
    return MaterialsVAE(preset.vae, 3, 32).eval()


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(LATENT, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1), torch.nn.Flatten(0)
    )


def distance(samples, centres):
    """Root mean square over the dimensions, in units of the width."""
    return (((samples.latent - centres) / WIDTH) ** 2).mean(1).sqrt()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 5), st.floats(0, 5))
def test_the_objective_rises_step_by_step_and_never_outside_the_region(seed, radius, noise):
    torch.manual_seed(seed)
    wavy = torch.randn(LATENT)  # an objective with many maxima, where full steps often lead down

    def objective(latent):
        return torch.sin(3 * latent @ wavy) - 0.1 * latent.square().sum(1)

    before = None
    for steps in range(8):
        samples = sample_ascent(starts(), seed, objective, WIDTH, radius=radius, noise=noise, steps=steps)
        values = objective(samples.latent)
        assert (distance(samples, starts()) <= radius * (1 + 1e-5)).all()
        assert before is None or (values >= before - 1e-6).all()
        before = values


def test_a_sample_of_its_own_rises_as_among_others(classifier):
    offsets = torch.zeros(6, LATENT)
    together = ascend(classifier, starts(), WIDTH, offsets, 1.0, 5)
    alone = torch.cat([ascend(classifier, one[None], WIDTH, offsets[:1], 1.0, 5) for one in starts()])
    torch.testing.assert_close(together, alone)


def test_a_step_is_the_gradient_of_finite_differences(classifier):
    double, centres = classifier.double(), starts().double()
    reached = ascend(double, centres, WIDTH.double(), torch.zeros(6, LATENT).double(), RADIUS, 1)
    small, axes = 1e-6, torch.eye(LATENT).double() * WIDTH
    with torch.no_grad():
        slopes = torch.stack(
            [(double(centres + small * a) - double(centres - small * a)) / (2 * small) for a in axes], dim=1
        )
    expected = STEP * RADIUS * math.sqrt(LATENT) * slopes / slopes.norm(dim=1, keepdim=True)
    torch.testing.assert_close(reached, expected, rtol=1e-5, atol=1e-7)


def test_of_a_linear_objective_it_reaches_the_highest_point_of_the_region():
    slope = torch.linspace(-1, 1, LATENT)
    samples = sample_ascent(starts(), 0, lambda z: z @ slope, WIDTH, radius=2.0, noise=1.0, steps=200)
    uphill = slope * WIDTH / (slope * WIDTH).norm()
    expected = starts() + 2.0 * math.sqrt(LATENT) * WIDTH * uphill
    torch.testing.assert_close(samples.latent, expected, atol=1e-2, rtol=0)


def test_without_steps_a_sample_is_its_perturbed_start(classifier):
    samples = sample_ascent(starts(), 5, classifier, WIDTH, noise=0.1, steps=0)
    noise = 0.1 * torch.randn(6, LATENT, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(samples.latent, starts() + WIDTH * noise)


def test_the_seed_is_the_draw_and_equal_starts_give_different_samples(classifier):
    same = starts(1).expand(4, -1)
    first, again, other = (sample_ascent(same, seed, classifier, WIDTH) for seed in (1, 1, 2))
    assert torch.equal(first.latent, again.latent) and not torch.equal(first.latent, other.latent)
    assert len({tuple(row) for row in first.latent.tolist()}) == 4
    assert first.seed == 1 and first.parents == [(0,), (1,), (2,), (3,)]


def test_no_starts_give_no_samples(classifier):
    samples = sample_ascent(starts(0), 1, classifier, WIDTH)
    assert samples.latent.shape == (0, LATENT) and samples.parents == []


def test_a_flat_objective_moves_nothing():
    samples = sample_ascent(starts(), 3, lambda z: 0 * z.sum(1), WIDTH, noise=0.0)
    torch.testing.assert_close(samples.latent, starts())


@pytest.mark.parametrize("preset", [DEFAULT, PAPER], ids=["default", "paper"])
def test_the_networks_are_differentiable_from_vector_to_classifier_and_stay_as_they_were(preset):
    network = vae(preset)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    latent = network.settings.latent_scale * torch.randn(3, network.settings.latent)
    width = torch.full((network.settings.latent,), 0.3 * network.settings.latent_scale)

    def objective(vectors):
        return network.stability(network.encode(network.decode(vectors)))

    samples = sample_ascent(latent, 0, objective, width, noise=0.0)
    # before training, the published decoder hardly depends on a latent vector of size 1e-4
    assert (objective(samples.latent) >= objective(latent) + (1e-3 if preset is DEFAULT else 0)).all()
    assert not samples.latent.requires_grad
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
