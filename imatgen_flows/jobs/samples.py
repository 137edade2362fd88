"""Where new latent vectors come from: which training structures they start from, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs.documents import LabelDocument, ReferenceDocument
from imatgen_flows.jobs.models import conditions

if TYPE_CHECKING:
    from torch import Tensor

    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.sampling import Samples
    from imatgen_flows.representation import PackedCrystals

ANCHORS = 31  # the paper interpolates between this many known structures
TEMPERATURE = 0.2  # eV/atom; a structure this much higher above the hull starts e times fewer samples
ENERGIES = ("formation_energy", "e_above_hull")  # how structures are ranked: as published, and ours


@dataclass(frozen=True)
class StartingPoints:
    """The dataset, as samples start from it.

    Attributes
    ----------
    crystals, latent, rows : packed, their latent vectors (B, latent), and what is known of each
    energies : unrelaxed, by name in `ENERGIES`, eV/atom; None where unknown
    seen : rows that the networks were trained on
    """

    crystals: PackedCrystals
    latent: Tensor
    rows: list[dict[str, Any]]
    energies: dict[str, list[float | None]]
    seen: Tensor


def draw_samples(model: CrystalModel, start: StartingPoints, sampling: dict[str, int], seed: int) -> dict[str, Samples]:
    """Draw samples by each method, as the model's preset does it; their parents are rows of the dataset.

    Parameters
    ----------
    model : the trained networks
    start : the dataset
    sampling : samples of each method
    seed : of the first method; each other has its own

    Raises
    ------
    InputError
        Where fewer than two training structures have an energy.
    """
    # of some hundred structures a prior learns each by heart: 39 of 900 samples were new, where the other way gives 240
    prior = model.vae.prior
    enough = prior is not None and prior.trained and len(start.seen) >= prior.settings.enough
    drawn = (draw_ours if enough else draw_from_anchors)(model, start, sampling, seed)
    return {method: samples for method, samples in drawn.items() if sampling[method]}


def energies_of(
    rows: list[dict[str, Any]], labels: LabelDocument, references: ReferenceDocument
) -> dict[str, list[float | None]]:
    """Gather the energies by which structures are ranked (`ENERGIES`), eV/atom.

    The distance from the hull favours what is near it, of whatever composition; the energy of formation favours
    compositions in the middle of the diagram.
    """
    from pymatgen.core import Composition

    from imatgen_flows.jobs.energies import load_hull

    known, hull = read_lines(labels.labels), load_hull(references)
    above = [
        None
        if label["energy_per_atom"] is None
        else hull.e_above_hull(Composition(row["formula"]), label["energy_per_atom"])
        for row, label in zip(rows, known, strict=True)
    ]
    return dict(zip(ENERGIES, ([label["formation_energy"] for label in known], above), strict=True))


def draw_from_anchors(
    model: CrystalModel, start: StartingPoints, sampling: dict[str, int], seed: int
) -> dict[str, Samples]:
    """Draw around anchors, between all pairs of them, and from a Gaussian (paper, Section S3.1).

    As published, around at a distance and with one width a dimension; ours by noise, and with the data's correlations.
    """
    from imatgen_flows.models.sampling import sample_around, sample_gaussian, sample_slerp

    settings = model.vae.settings
    published = settings.style == "published"
    learnt = any(row.get("learnt") for row in start.rows)  # then what earlier rounds found near the hull comes first
    anchors = _anchors(start.rows, start.energies[ENERGIES[learnt]], start.seen.tolist())
    ends, data = start.latent[anchors], start.latent[start.seen]
    spread: dict[str, Any] = {"distance": settings.around} if published else {"width": settings.around * data.std(0)}
    return {
        "perturb": _named(sample_around(ends, sampling["perturb"], seed, **spread), anchors),
        "slerp": _named(sample_slerp(ends, sampling["slerp"], seed + 1), anchors),
        "random": sample_gaussian(data, sampling["random"], seed + 2, full_covariance=not published),
    }


def draw_ours(model: CrystalModel, start: StartingPoints, sampling: dict[str, int], seed: int) -> dict[str, Samples]:
    """Near anchors, between near structures of the same atoms, and from the prior, asked for what lies near the hull."""
    import torch

    from imatgen_flows.models.sampling import (
        sample_around,
        sample_between_neighbours,
        sample_prior,
        sample_slerp,
    )

    above, formation = start.energies["e_above_hull"], start.energies["formation_energy"]
    latent, seen, atoms = start.latent, start.seen.tolist(), start.crystals.counts()
    anchors, starts = _anchors(start.rows, above, seen), _starts(start.rows, above, seen)
    width = model.vae.settings.around * latent[seen].std(0)
    asked = conditions(start.crystals[starts], torch.tensor([formation[row] for row in starts]), model.vae.shape[0] - 1)
    group = asked[:, :-1].unique(dim=0, return_inverse=True)[1]
    weights = torch.softmax(-torch.tensor([above[row] for row in starts]) / TEMPERATURE, dim=0)
    around = _named(sample_around(latent[anchors], sampling["perturb"], seed, width=width), anchors)
    if (group.bincount() > 1).any():
        between = sample_between_neighbours(latent[starts], group, weights, sampling["slerp"], seed + 1)
        slerp = _of_parents(_named(between, starts), atoms)
    else:  # no two structures of the same atoms, as in a very small dataset
        slerp = _named(sample_slerp(latent[anchors], sampling["slerp"], seed + 1), anchors)
    random = torch.Generator().manual_seed(seed + 2)
    chosen = torch.multinomial(weights, max(sampling["random"], 1), replacement=True, generator=random)
    chosen = chosen[: sampling["random"]]
    assert model.vae.prior is not None
    drawn = sample_prior(model.vae.prior, asked[chosen], seed + 2)
    return {
        "perturb": _of_parents(around, atoms),
        "slerp": slerp,
        "random": replace(drawn, contents=atoms[torch.tensor(starts)[chosen]]),
    }


def _anchors(rows: list[dict[str, Any]], energies: list[float | None], seen: list[int]) -> list[int]:
    """Rows that samples start from: the known phases, then the most stable training structures."""
    known = [row for row in seen if rows[row]["known"]]
    rest = [(energy, row) for row in seen if not rows[row]["known"] and (energy := energies[row]) is not None]
    anchors = known + [row for _, row in sorted(rest)[: max(0, ANCHORS - len(known))]]
    if len(anchors) < 2:
        raise InputError("fewer than two training structures have an energy; samples have nothing to start from.")
    return anchors


def _starts(rows: list[dict[str, Any]], energies: list[float | None], seen: list[int]) -> list[int]:
    """Rows of known energy whose composition may be neutral; all of known energy where none may."""
    from pymatgen.core import Composition

    from imatgen_flows.crystals.chemistry import has_valid_oxidation

    priced = [row for row in seen if energies[row] is not None]
    valid = {formula: has_valid_oxidation(Composition(formula)) for formula in {rows[row]["formula"] for row in priced}}
    return [row for row in priced if valid[rows[row]["formula"]]] or priced


def _named(samples: Samples, rows: list[int]) -> Samples:
    """Name parents by their rows in the dataset."""
    return replace(samples, parents=[tuple(rows[index] for index in parents) for parents in samples.parents])


def _of_parents(samples: Samples, atoms: Tensor) -> Samples:
    """Ask of each sample the atoms that its parents hold."""
    return replace(samples, contents=atoms[[parents[0] for parents in samples.parents]])
