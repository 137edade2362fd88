"""Which training structures new samples start from."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from imatgen_flows.errors import InputError
from imatgen_flows.models.drawing import StartingPoints, choose_anchors, choose_starts, draw_samples
from imatgen_flows.models.materials_vae import MaterialsVAE
from imatgen_flows.models.presets import DEFAULT
from imatgen_flows.representation import PackedCrystals


def test_anchors_are_known_phases_then_the_lowest_and_never_what_the_networks_did_not_see():
    known = [False, False, False, True, False]
    assert choose_anchors(known, [0.3, 0.1, 0.2, 0.9, -1.0], seen=[0, 1, 2, 3]) == [3, 1, 2, 0]


def test_structures_without_an_energy_or_a_neutral_composition_start_nothing():
    formulas = ["VO", "VO4", "V2O3", "VO2"]
    assert choose_starts(formulas, [0.1, 0.0, None, 0.5], seen=[0, 1, 2, 3]) == [0, 3]
    assert choose_starts(formulas, [0.1, 0.0, None, 0.5], seen=[0, 1, 2, 3], balanced_only=False) == [0, 1, 3]


def test_where_no_composition_may_be_neutral_all_start_samples():
    assert choose_starts(["VO4", "VO3"], [0.1, 0.2], seen=[0, 1]) == [0, 1]


def test_one_structure_is_nothing_to_start_from():
    with pytest.raises(InputError, match="fewer than two"):
        choose_anchors([False, False], [0.1, None], seen=[0, 1])


@pytest.fixture
def start():
    """Forty oxides of two kinds, their latent vectors, and a generator whose prior has seen them."""
    torch.manual_seed(0)
    cell = torch.tensor([4.0, 4.0, 4.0]).diag().repeat(40, 1, 1)
    mask = torch.zeros(40, 2, 4, dtype=torch.bool)
    mask[:20, 0, :2], mask[20:, 0, :3], mask[:, 1, :1] = True, True, True
    crystals = PackedCrystals(cell, torch.rand(40, 2, 4, 3) * 4, mask, ("O", "V"))
    formulas = ["VO2"] * 20 + ["VO3"] * 20
    energies = torch.linspace(0, 1, 40).tolist()
    latent, seen = torch.randn(40, 8), torch.arange(2, 40)
    return StartingPoints(crystals, latent, seen, formulas, [False] * 40, energies, energies)


@pytest.fixture
def model(start):
    """Networks that are not trained: what is drawn from does not ask what it is decoded to."""
    preset = replace(DEFAULT, prior=replace(DEFAULT.prior, min_train_size=30, width=16, steps=5))
    vae = MaterialsVAE(replace(preset.vae, latent=8, channels=16), 6, 8, preset.prior)
    vae.prior.fit_scale(start.latent, torch.ones(40, 6))
    return SimpleNamespace(vae=vae)


SAMPLING = {"perturb": 40, "slerp": 60, "prior": 50}


def test_samples_ask_for_the_atoms_of_what_they_start_from(model, start):
    drawn, atoms = draw_samples(model, start, SAMPLING, seed=3), start.crystals.counts()
    assert {method: len(samples.latent) for method, samples in drawn.items()} == SAMPLING
    for method in ("perturb", "slerp"):
        for parents, asked in zip(drawn[method].parents, drawn[method].atom_counts, strict=True):
            assert min(parents) >= 2  # never a structure that the networks did not see
            assert all(torch.equal(atoms[parent], asked) for parent in parents)
    assert {tuple(asked) for asked in drawn["prior"].atom_counts.tolist()} <= {(2, 1), (3, 1)}
    # those near the hull more often: VO2 is, by half an eV
    assert (drawn["prior"].atom_counts[:, 0] == 2).float().mean() > 0.7


def test_a_trained_prior_is_drawn_from_and_one_that_was_not_trained_leaves_samples_to_the_anchors(model, start):
    few = replace(start, seen=torch.arange(2, 20))  # as where a pretrained model meets a small dataset
    assert all(draw_samples(model, of, SAMPLING, 3)["prior"].prior == "flow" for of in (start, few))
    model.vae.prior.mean.fill_(torch.nan)
    for of in (start, few):
        drawn = draw_samples(model, of, SAMPLING, 3)
        assert all(samples.atom_counts is None for samples in drawn.values()) and drawn["prior"].prior == "gaussian"


@pytest.mark.parametrize("with_prior", [True, False])
def test_samples_start_from_what_is_searched_for(start, model, with_prior):
    if not with_prior:
        model.vae.prior.mean.fill_(torch.nan)
    searched = replace(start, searched=[formula == "VO3" for formula in start.formulas])
    for samples in draw_samples(model, searched, SAMPLING, seed=3).values():
        assert all(start.formulas[row] == "VO3" for parents in samples.parents for row in parents)
        if samples.prior == "flow":
            assert set(samples.atom_counts.tolist()[0]) == {1, 3} and len(samples.atom_counts.unique(dim=0)) == 1


def test_the_prior_is_asked_for_what_no_training_structure_is_of(start, model):
    contents = torch.tensor([[2, 2], [3, 2]])
    missing = replace(start, searched=[False] * 40, contents=contents)
    drawn = draw_samples(model, missing, SAMPLING, seed=3)
    assert {tuple(row) for row in drawn["prior"].atom_counts.tolist()} == {(2, 2), (3, 2)}
    plain = draw_samples(model, start, SAMPLING, seed=3)
    assert drawn["perturb"].latent.equal(plain["perturb"].latent) and drawn["slerp"].latent.equal(plain["slerp"].latent)
    assert missing.missing_contents() is contents and replace(missing, searched=[True] * 40).missing_contents() is None


def test_the_prior_of_pretrained_networks_is_asked_every_second_time_for_a_cell_that_they_learnt(start, model):
    cells = torch.tensor([[4, 2], [5, 2], [7, 3]])
    drawn = draw_samples(model, replace(start, trained_contents=cells), SAMPLING, seed=3)
    plain = draw_samples(model, start, SAMPLING, seed=3)
    asked, before = drawn["prior"].atom_counts, plain["prior"].atom_counts
    assert torch.equal(asked[::2], before[::2])
    assert {tuple(row) for row in asked[1::2].tolist()} == {(4, 2), (5, 2), (7, 3)}
    assert drawn["perturb"].latent.equal(plain["perturb"].latent)
    searched = replace(start, trained_contents=cells, searched=[False] * 40, contents=torch.tensor([[3, 2]]))
    assert set(map(tuple, draw_samples(model, searched, SAMPLING, 3)["prior"].atom_counts.tolist())) == {(3, 2)}


def test_samples_start_from_everything_where_too_little_is_searched_for(start):
    assert replace(start, searched=[False] * 39 + [True]).rows() == start.seen.tolist()
    assert replace(start, searched=[True] * 3 + [False] * 37).rows() == start.seen.tolist()  # two of them were not seen
    assert replace(start, searched=[True] * 4 + [False] * 36).rows() == [2, 3]
    assert start.rows() == start.seen.tolist()


def equal(one, other):
    same_atoms = one.atom_counts is other.atom_counts or torch.equal(one.atom_counts, other.atom_counts)
    return (
        torch.equal(one.latent, other.latent) and (one.seed, one.parents) == (other.seed, other.parents) and same_atoms
    )


@pytest.mark.parametrize("with_prior", [True, False], ids=["with a prior", "from anchors"])
def test_latent_optimisation_leaves_the_other_samplers_as_they_were(model, start, with_prior):
    if not with_prior:
        model.vae.prior.mean.fill_(torch.nan)
    without = draw_samples(model, start, SAMPLING, 3)
    assert [samples.seed for samples in without.values()] == [3, 4, 5]
    for number in (0, 12):
        drawn = draw_samples(model, start, {**SAMPLING, "ascent": number}, 3)
        assert list(drawn) == [*SAMPLING, *(["ascent"] if number else [])]
        assert all(equal(drawn[sampler], samples) for sampler, samples in without.items())
    assert drawn["ascent"].seed == 6 and len(drawn["ascent"].latent) == 12


@pytest.mark.parametrize("with_prior", [True, False], ids=["with a prior", "from anchors"])
def test_latent_optimisation_starts_from_what_the_networks_saw_and_raises_the_objective_of_what_is_decoded(
    model, start, with_prior
):
    if not with_prior:
        model.vae.prior.mean.fill_(torch.nan)
    drawn = draw_samples(model, start, {**SAMPLING, "ascent": 40}, 3)["ascent"]
    rows = [row for (row,) in drawn.parents]
    assert set(rows) <= set(start.seen.tolist()) and len(set(rows)) > 5
    vae, latent = model.vae, start.latent[rows]
    with torch.no_grad():
        before, after = (vae.stability(vae.encode(vae.decode(vectors))) for vectors in (latent, drawn.latent))
    assert (after > before).float().mean() > 0.9
    counts = start.crystals.counts()[rows]
    assert torch.equal(drawn.atom_counts, counts) if with_prior else drawn.atom_counts is None
    assert equal(drawn, draw_samples(model, start, {**SAMPLING, "ascent": 40}, 3)["ascent"])


@pytest.mark.parametrize("with_prior", [True, False])
def test_prior_and_latent_optimisation_start_from_structures_of_known_energy(model, start, with_prior):
    if not with_prior:
        model.vae.prior.mean.fill_(torch.nan)
    unknown = replace(start, known=[True] * 40, e_above_hull=[None] * 40)
    with pytest.raises(InputError, match="nothing to start from"):
        draw_samples(model, unknown, {**SAMPLING, "ascent": 3}, 3)


def test_another_objective_takes_the_place_of_the_classifier(model, start):
    def low(latent):
        return -latent.square().sum(1)

    numbers = {**SAMPLING, "ascent": 40}
    ours, classifier = (
        draw_samples(model, start, numbers, 3, low)["ascent"],
        draw_samples(model, start, numbers, 3)["ascent"],
    )
    assert ours.parents == classifier.parents

    def value(samples):
        return low(model.vae.encode(model.vae.decode(samples.latent))).detach()

    assert (value(ours) > value(classifier)).float().mean() > 0.9
