"""The prior learns which latent vectors belong to which atom counts and energy."""

import pytest
import torch

from imatgen_flows.models.presets import DEFAULT, PAPER, PriorSettings
from imatgen_flows.models.prior import LatentPrior

SETTINGS = PriorSettings(width=64, blocks=2, steps=20, learning_rate=3e-3, batch_size=256, epochs=1)
CENTRES = torch.tensor([[3.0, 0.0], [-3.0, 0.0]])  # of crystals of two and of four atoms


def crystals(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Latent vectors around a centre for each number of atoms, shifted along the second axis by the energy."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(2, (n,), generator=generator)
    energy = torch.randn(n, generator=generator)
    latent = CENTRES[kind] + 0.2 * torch.randn(n, 2, generator=generator)
    latent[:, 1] += energy
    return latent, torch.stack([2.0 + 2 * kind, torch.zeros(n), energy], dim=1)


def trained(steps: int = 1500) -> LatentPrior:
    torch.manual_seed(0)
    prior = LatentPrior(SETTINGS, latent=2, channels=2)
    latent, conditions = crystals(4000)
    prior.fit_scale(latent, conditions)
    optimiser = torch.optim.Adam(prior.parameters(), SETTINGS.learning_rate)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        items = torch.randint(len(latent), (256,), generator=generator)
        given = conditions[items].clone()
        given[:50, -1] = torch.nan
        noise, time = torch.randn(256, 2, generator=generator), torch.rand(256, generator=generator)
        loss = prior.loss(latent[items], given, noise, time)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return prior.eval()


def test_samples_have_the_atom_counts_and_the_energy_of_their_condition():
    prior = trained()
    for atoms, centre in ((2.0, CENTRES[0]), (4.0, CENTRES[1])):
        for energy in (-1.0, 1.0):
            drawn = prior.sample(torch.tensor([[atoms, 0.0, energy]]).repeat(400, 1), seed=3)
            torch.testing.assert_close(drawn.mean(0), centre + torch.tensor([0.0, energy]), atol=0.2, rtol=0)
            assert drawn.std(0).max() < 0.5


def test_without_an_energy_samples_are_spread_over_all_energies():
    drawn = trained().sample(torch.tensor([[2.0, 0.0, torch.nan]]).repeat(1000, 1), seed=3)
    assert 0.8 < drawn[:, 1].std() < 1.25
    assert drawn[:, 0].std() < 0.5


def test_a_seed_decides_and_each_sample_is_its_own():
    torch.manual_seed(0)
    prior = LatentPrior(SETTINGS, latent=8, channels=5)
    prior.fit_scale(torch.randn(50, 8), torch.ones(50, 6))
    conditions = torch.ones(20, 6)
    assert torch.equal(prior.sample(conditions, seed=1), prior.sample(conditions, seed=1))
    assert not torch.equal(prior.sample(conditions, seed=1), prior.sample(conditions, seed=2))
    assert len(torch.unique(prior.sample(conditions, seed=1), dim=0)) == 20
    assert prior.sample(conditions[:0], seed=1).shape == (0, 8)


def test_a_prior_that_was_not_trained_draws_nothing():
    prior = LatentPrior(SETTINGS, latent=2, channels=2)
    conditions = torch.ones(3, 3)
    assert not prior.trained
    with pytest.raises(ValueError, match="not trained"):
        prior.sample(conditions, seed=0)
    prior.fit_scale(*crystals(100))
    assert prior.trained
    assert prior.sample(conditions, seed=0).isfinite().all()


def test_before_its_first_step_a_prior_is_the_gaussian_of_the_data():
    """The last layer begins at zero: nothing is moved."""
    prior = LatentPrior(SETTINGS, latent=2, channels=2)
    latent, conditions = crystals(4000)
    prior.fit_scale(latent, conditions)
    drawn = prior.sample(conditions, seed=0)
    torch.testing.assert_close(drawn.mean(0), latent.mean(0), atol=0.15, rtol=0)
    torch.testing.assert_close(drawn.std(0), latent.std(0), atol=0.15, rtol=0)


def test_the_published_preset_has_no_prior_and_ours_has_one():
    assert PAPER.prior is None
    assert DEFAULT.prior is not None
