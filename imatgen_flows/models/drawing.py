"""Drawing of new latent vectors by each sampler: which training structures they start from, and how they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from imatgen_flows.errors import InputError
from imatgen_flows.models.ascent import Objective, sample_ascent
from imatgen_flows.models.registry import ASCENT, PERTURB, PRIOR, SLERP
from imatgen_flows.models.sampling import (
    Samples,
    sample_between_neighbours,
    sample_gaussian,
    sample_perturbed,
    sample_prior,
    sample_slerp,
)

if TYPE_CHECKING:
    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.presets import VAESettings
    from imatgen_flows.models.prior import LatentPrior
    from imatgen_flows.representation import PackedCrystals

ANCHORS = 31  # the paper interpolates between this many known structures
FEWEST = 2  # training structures that samples can start from
# eV/atom; a structure this much higher above the hull starts e times fewer samples. A choice, not a measurement: of the
# size of the threshold of E_hull up to which candidates are shortlisted
TEMPERATURE = 0.2

Energies = Sequence[float | None]  # eV/atom; None where unknown


@dataclass(frozen=True)
class StartingPoints:
    """The training structures that samples can start from.

    Attributes
    ----------
    crystals, latent : packed, and their latent vectors (B, latent)
    seen : (n,), rows that the networks were trained on
    formulas, known : reduced formula of each row, and whether it is a published phase
    formation_energy, e_above_hull : unrelaxed, of each row
    has_finds : whether earlier rounds of the campaign added structures
    balanced_only : whether the prior starts from charge-balanced compositions alone, as where others are rejected
    searched : whether each row is of what the campaign looks for; None where all are
    contents : (C, elements), atoms of the cells that the campaign looks for, where it names any
    trained_contents : (L, elements), atoms of the cells that pretrained networks learnt; None of others
    """

    crystals: PackedCrystals
    latent: Tensor
    seen: Tensor
    formulas: Sequence[str]
    known: Sequence[bool]
    formation_energy: Energies
    e_above_hull: Energies
    has_finds: bool = False
    balanced_only: bool = True
    searched: Sequence[bool] | None = None
    contents: Tensor | None = None
    trained_contents: Tensor | None = None

    def rows(self) -> list[int]:
        """List the rows that samples start from: of those that the networks were trained on, what is looked for.

        All of them, where fewer than two of what is looked for have an energy.
        """
        found = self._found()
        return found if len(found) >= FEWEST else [int(row) for row in self.seen.tolist()]

    def missing_contents(self) -> Tensor | None:
        """Return the contents that are looked for, where samples cannot start from them; None where they can."""
        return None if self.searched is None or len(self._found()) >= FEWEST else self.contents

    def _found(self) -> list[int]:
        seen = [int(row) for row in self.seen.tolist()]
        if self.searched is None:
            return seen
        return [row for row in seen if self.searched[row] and self.e_above_hull[row] is not None]


def draw_samples(
    model: CrystalModel,
    start: StartingPoints,
    numbers: Mapping[str, int],
    seed: int,
    objective: Objective | None = None,
) -> dict[str, Samples]:
    """Draw samples by each sampler, as the model's preset does it; their parents are rows of the starting points.

    Where no prior is trained, samples start from anchors. With few training structures it would overfit: of 900 samples of
    some hundred structures 39 were new by the prior, and 240 by anchors.

    Parameters
    ----------
    model : the trained networks
    start : the training structures
    numbers : of samples, by sampler; `ascent` may be left out
    seed : of the first sampler; each further one has the next
    objective : what `ascent` raises; None for the logit of the VAE's classifier

    Raises
    ------
    InputError
        Where fewer than two training structures have an energy.
    """
    prior = model.vae.prior
    has_prior = prior is not None and prior.trained
    drawn = (draw_with_prior if has_prior else draw_from_anchors)(model, start, numbers, seed)
    drawn = {sampler: samples for sampler, samples in drawn.items() if numbers[sampler]}
    if number := numbers.get(ASCENT, 0):
        samples = draw_by_ascent(model, start, number, seed + 3, objective or model.vae.stability)
        drawn[ASCENT] = _ask_for_atoms_of_parents(samples, start.crystals.counts()) if has_prior else samples
    return drawn


def draw_from_anchors(
    model: CrystalModel, start: StartingPoints, numbers: Mapping[str, int], seed: int
) -> dict[str, Samples]:
    """Draw samples near anchors, between all pairs of them, and from a Gaussian (paper, Section S3.1).

    The published preset perturbs by a fixed distance, and its Gaussian has one width a dimension; the others perturb by
    noise, and keep the correlations of the data.
    """
    settings = model.vae.settings
    published = settings.style == "published"
    # the formation energy favours compositions in the middle of the diagram, where the paper looks; E_hull favours what
    # lies near the hull, as do the finds of earlier rounds, of whatever composition
    energies = start.e_above_hull if start.has_finds else start.formation_energy
    anchors = choose_anchors(start.known, energies, start.rows())
    ends, data = start.latent[anchors], start.latent[start.seen]
    if published:
        perturbed = sample_perturbed(ends, numbers[PERTURB], seed, distance=settings.perturbation)
    else:
        perturbed = sample_perturbed(ends, numbers[PERTURB], seed, width=settings.perturbation * data.std(0))
    return {
        PERTURB: _name_parents(perturbed, anchors),
        SLERP: _name_parents(sample_slerp(ends, numbers[SLERP], seed + 1), anchors),
        PRIOR: sample_gaussian(data, numbers[PRIOR], seed + 2, full_covariance=not published),
    }


def draw_with_prior(
    model: CrystalModel, start: StartingPoints, numbers: Mapping[str, int], seed: int
) -> dict[str, Samples]:
    """Draw samples near anchors, between neighbours of the same atoms, and from the conditional prior.

    The prior is conditioned on the atoms and the formation energy of training structures, those near the hull more often;
    that of pretrained networks every second time on the atoms of any cell that they learnt. Where no training structures are
    of what is looked for, it is conditioned on the atoms that are, and a low energy.
    """
    latent, rows, atoms = start.latent, start.rows(), start.crystals.counts()
    anchors = choose_anchors(start.known, start.e_above_hull, rows)
    starts = choose_starts(start.formulas, start.e_above_hull, rows, start.balanced_only)
    width = model.vae.settings.perturbation * latent[start.seen].std(0)
    energies = torch.tensor([start.formation_energy[row] for row in starts])
    conditions = prior_conditions(start.crystals[starts], energies, model.vae.shape[0] - 1)
    group = conditions[:, :-1].unique(dim=0, return_inverse=True)[1]
    weights = hull_weights(start, starts)
    perturbed = _name_parents(sample_perturbed(latent[anchors], numbers[PERTURB], seed, width=width), anchors)
    if (group.bincount() > 1).any():
        between = sample_between_neighbours(latent[starts], group, weights, numbers[SLERP], seed + 1)
        interpolated = _ask_for_atoms_of_parents(_name_parents(between, starts), atoms)
    else:  # no two structures of the same atoms, as in a very small dataset
        interpolated = _name_parents(sample_slerp(latent[anchors], numbers[SLERP], seed + 1), anchors)
    assert model.vae.prior is not None
    asked, targets = _ask_prior(model.vae.prior, start, starts, conditions, numbers[PRIOR], seed + 2)
    of_prior = sample_prior(model.vae.prior, asked, seed + 2)
    return {
        PERTURB: _ask_for_atoms_of_parents(perturbed, atoms),
        SLERP: interpolated,
        PRIOR: replace(of_prior, atom_counts=targets),
    }


def _ask_prior(
    prior: LatentPrior, start: StartingPoints, starts: Sequence[int], conditions: Tensor, number: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Choose what the prior is asked for: conditions (n, channels + 1) and target contents (n, elements)."""
    random = torch.Generator().manual_seed(seed)
    weights = hull_weights(start, starts)
    chosen = torch.multinomial(weights, max(number, 1), replacement=True, generator=random)[:number]
    asked, targets = conditions[chosen], start.crystals.counts()[torch.tensor(starts)[chosen]]
    contents, every = start.missing_contents(), 1
    if contents is None and start.trained_contents is not None:
        contents, every = start.trained_contents, 2
    if contents is not None:
        others = slice(every - 1, None, every)
        targets[others] = contents[torch.randint(len(contents), (len(targets[others]),), generator=random)]
        asked[others] = 0.0
        asked[others, : targets.shape[1]] = targets[others].float()
        asked[others, -1] = prior.energy[0] - prior.energy[1]  # eV/atom: lower than most structures
    return asked, targets


def draw_by_ascent(model: CrystalModel, start: StartingPoints, number: int, seed: int, objective: Objective) -> Samples:
    """Draw samples by gradient ascent around training structures, those near the hull more often.

    The objective is taken of what the vector decodes to, that is of the latent vector of its codes. Of the vector itself it
    rises in directions that the decoder ignores: then a predicted stability rose, and no decoded crystal changed
    (notebook/2026-11-29-latent-optimisation.md).
    """
    starts = choose_starts(start.formulas, start.e_above_hull, start.rows(), start.balanced_only)
    random = torch.Generator().manual_seed(seed)
    chosen = torch.multinomial(hull_weights(start, starts), number, replacement=True, generator=random)
    rows = [starts[index] for index in chosen.tolist()]
    vae, width = model.vae, perturbation_width(model.vae.settings, start)
    drawn = sample_ascent(start.latent[rows], seed, lambda latent: objective(vae.encode(vae.decode(latent))), width)
    return _name_parents(drawn, rows)


def hull_weights(start: StartingPoints, rows: Sequence[int]) -> Tensor:
    """Weight rows of known energy (n,) by their distance from the hull."""
    return torch.softmax(-torch.tensor([start.e_above_hull[row] for row in rows]) / TEMPERATURE, dim=0)


def perturbation_width(settings: VAESettings, start: StartingPoints) -> Tensor:
    """Return the standard deviations (latent,) of perturbations; of a fixed distance, its root mean square over them."""
    if settings.style == "published":
        return torch.full(start.latent.shape[1:], settings.perturbation / start.latent.shape[1] ** 0.5)
    return settings.perturbation * start.latent[start.seen].std(0)


def prior_conditions(crystals: PackedCrystals, energies: Tensor, channels: int) -> Tensor:
    """Build the conditions of `LatentPrior` (B, channels + 1): atoms of each element, and the energy (B,) in eV/atom."""
    conditions = torch.zeros(len(crystals), channels + 1)
    conditions[:, : len(crystals.elements)] = crystals.counts().float()
    conditions[:, -1] = energies
    return conditions


def choose_anchors(known: Sequence[bool], energies: Energies, seen: Sequence[int]) -> list[int]:
    """Choose the rows that samples are drawn near to: the known phases, then the training structures of lowest energy.

    Raises
    ------
    InputError
        Where there are fewer than two.
    """
    published = [row for row in seen if known[row]]
    rest = [(energy, row) for row in seen if not known[row] and (energy := energies[row]) is not None]
    anchors = published + [row for _, row in sorted(rest)[: max(0, ANCHORS - len(published))]]
    if len(anchors) < FEWEST:
        raise InputError("fewer than two training structures have an energy; samples have nothing to start from.")
    return anchors


def choose_starts(
    formulas: Sequence[str], energies: Energies, seen: Sequence[int], balanced_only: bool = True
) -> list[int]:
    """Choose the rows of known energy, if asked for those that are charge balanced; all where none is.

    Raises
    ------
    InputError
        Where no row has an energy.
    """
    from pymatgen.core import Composition

    from imatgen_flows.crystals import is_charge_balanced

    evaluated = [row for row in seen if energies[row] is not None]
    if not evaluated:
        raise InputError("no training structure has an energy; samples have nothing to start from.")
    if not balanced_only:
        return evaluated
    return [row for row in evaluated if is_charge_balanced(Composition(formulas[row]))] or evaluated


def _name_parents(samples: Samples, rows: Sequence[int]) -> Samples:
    """Name the parents of samples by their rows in the dataset."""
    return replace(samples, parents=[tuple(rows[index] for index in parents) for parents in samples.parents])


def _ask_for_atoms_of_parents(samples: Samples, atoms: Tensor) -> Samples:
    """Ask of each sample for the atoms of its first parent."""
    return replace(samples, atom_counts=atoms[[parents[0] for parents in samples.parents]])
