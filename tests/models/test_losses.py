from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl

from imatgen_flows.models.losses import code_loss, image_loss, kl_divergence, stability_loss
from imatgen_flows.representation import BasisImageCodec


@pytest.fixture(scope="module")
def image():
    """Two atoms in a box of 7.5 A."""
    positions = torch.tensor([[[2.5, 2.5, 3.0], [4.5, 5.0, 3.5]]])
    return BasisImageCodec(grid=16, box=7.5, sigma=0.35).encode(positions, torch.ones(1, 2, dtype=torch.bool))


def test_balanced_loss_holds_the_true_image_far_from_the_empty_one_where_mse_hardly_does(image):
    empty = torch.zeros_like(image)
    for kind in ("balanced", "mse"):
        assert image_loss(image, image, kind) == 0
    assert image_loss(empty, image, "mse") < 0.003
    assert image_loss(empty, image, "balanced") > 0.05
    assert image_loss(empty, image, "balanced") > 15 * image_loss(empty, image, "mse")


def test_balanced_loss_of_atoms_does_not_depend_on_the_emptiness_around_them(image):
    padded = torch.nn.functional.pad(image, (8,) * 6)
    empty = image_loss(torch.zeros_like(image), image, "balanced")
    assert image_loss(torch.zeros_like(padded), padded, "balanced") == pytest.approx(empty.item(), rel=1e-5)
    assert image_loss(torch.zeros_like(padded), padded, "mse") < 0.2 * image_loss(torch.zeros_like(image), image, "mse")


def test_balanced_loss_forgives_what_will_be_clipped_in_empty_voxels_alone(image):
    below, above = (torch.where(image > 0, image, step) for step in (-0.05, 0.05))
    assert image_loss(below, image, "balanced") == 0
    assert image_loss(above, image, "balanced") > 0
    assert image_loss(torch.where(image > 0, -0.05, image), image, "balanced") > image_loss(
        torch.zeros_like(image), image, "balanced"
    )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_balanced_loss_is_finite_for_images_that_are_all_empty_or_all_full(value):
    target = torch.full((2, 4, 4, 4), value)
    assert image_loss(torch.full_like(target, 0.5), target, "balanced").isfinite()
    assert image_loss(target, target, "balanced") == 0


def test_kl_divergence_agrees_with_torch():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 50, 8, generator=generator)
    expected = reference_kl(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).mean()
    assert kl_divergence(mean, log_variance).item() == pytest.approx(expected.item(), rel=1e-5)
    assert kl_divergence(torch.zeros(3, 4), torch.zeros(3, 4)) == 0


def test_code_loss_ignores_what_has_no_weight():
    output, target = torch.zeros(2, 3, 4), torch.ones(2, 3, 4)
    weights = torch.ones(2, 3, 4)
    weights[:, 1] = 0
    target[:, 1] = 1e6
    assert code_loss(output, target, weights) == 1
    assert code_loss(output, target, torch.zeros_like(weights)) == 0


def test_stability_loss_counts_labelled_structures_only():
    logits = torch.tensor([3.0, -2.0, 100.0], requires_grad=True)
    some = stability_loss(logits, torch.tensor([1.0, 0.0, torch.nan]))
    assert some.item() == pytest.approx(stability_loss(logits[:2], torch.tensor([1.0, 0.0])).item())
    some.backward()
    assert logits.grad[2] == 0
    none = stability_loss(logits, torch.full((3,), torch.nan))
    none.backward()  # a batch without labels still has a gradient, of zero
    assert none == 0
