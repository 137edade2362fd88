"""The job that draws samples with the trained networks and decodes them into candidates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.registry import REJECT_UNBALANCED
from imatgen_flows.candidates.schema import Row
from imatgen_flows.config import Limits, Model, Search, Validity
from imatgen_flows.io.artifacts import ArtifactRef, ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_table import count_states, extend_table
from imatgen_flows.jobs.dataset_rows import TRAINED_ON, load_crystals, relaxed_finds, structure_of, training_rows
from imatgen_flows.jobs.documents import (
    CampaignData,
    CandidateChecks,
    CandidatesDocument,
    CandidateTable,
    ModelDocument,
    NetworkDocuments,
)
from imatgen_flows.jobs.hulls import load_hull
from imatgen_flows.jobs.networks import load_model
from imatgen_flows.jobs.search_space import space_of
from imatgen_flows.models.registry import ASCENT
from imatgen_flows.profiles import Profile
from imatgen_flows.settings import get_settings
from imatgen_flows.sources.registry import GENERATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from imatgen_flows.crystals.arrays import CrystalArrays
    from imatgen_flows.models.ascent import Objective
    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.drawing import StartingPoints
    from imatgen_flows.models.latent_map import PrincipalComponents
    from imatgen_flows.sources.search import SearchSpace

SEED_STEP = 1000  # between the seeds of two rounds; each sampler takes one of its own
# standard deviations that the bound of latent optimisation lies below the mean: the default of `rounds.kappa`, by which the
# candidates for relaxation are chosen. A choice, not a measurement
KAPPA = 1.0


@cached_job(CandidatesDocument, profile=Profile.GPU_TRAIN, label="sample candidates")
def sample_candidates(
    store: ArtifactStore,
    scratch: Path,
    *,
    data: CampaignData,
    networks: NetworkDocuments,
    model: dict[str, Any],
    sampling: dict[str, int],
    checks: CandidateChecks,
    round_number: int,
) -> dict[str, Any]:
    """Draw samples by each sampler and decode them; a sample that gives no valid crystal is rejected with its reason.

    Of `data` it takes the dataset, the labels and the references.
    """
    import numpy as np
    import torch

    from imatgen_flows.candidates.decode_samples import decode_samples
    from imatgen_flows.models.drawing import draw_samples
    from imatgen_flows.models.latent_map import principal_components

    settings, bounds = Model.model_validate(model), Limits.model_validate(checks["limits"])
    validity, workers = Validity.model_validate(checks["validity"]), get_settings().n_workers
    charge, elements = validity.charge, data["dataset"].elements
    searched = space_of(elements, bounds, validity, Search(**checks["search"])) if "search" in checks else None
    trained = load_model(data["dataset"], networks, settings)
    start = starting_points(trained, data, settings, balanced_only=charge == REJECT_UNBALANCED, searched=searched)
    if searched is None:
        start = replace(start, trained_contents=trained_contents(networks["vae"], elements, charge))
    ids = [row["id"] for row in read_lines(data["dataset"].crystals)]
    components = principal_components(start.latent)
    seed = settings.seed + SEED_STEP * round_number
    check = searched.fault if searched else None
    rows: list[Row] = []
    crystals: list[tuple[str, CrystalArrays]] = []
    latents: list[Tensor] = []
    objective = ascent_objective(start.latent, data) if sampling.get(ASCENT) else None
    for sampler, samples in draw_samples(trained, start, sampling, seed, objective).items():
        latent, decoded = decode_samples(trained, samples, bounds.max_sites, bounds.max_edge, workers, charge, check)
        latents.append(latent)
        places, stability = components.transform(latent), trained.stability(latent)
        for index, item in enumerate(decoded):
            drawn: Row = {
                "sample": f"r{round_number}-{sampler}-{index:06d}",
                "round": round_number,
                "source": GENERATOR,
                "sampler": sampler,
                "prior": samples.prior,
                "seed": samples.seed,
                "latent_row": len(rows),
                "parents": [ids[parent] for parent in samples.parents[index]],
                "latent_x": float(places[index, 0]),
                "latent_y": float(places[index, 1]),
                "stability": round(float(stability[index]), 4),
            }
            rows.append(drawn | item.row)
            if item.crystal is not None:
                crystals.append((str(drawn["sample"]), item.crystal))
    with store.new("latents", ".npz") as pending:
        np.savez(pending.path, samples=torch.cat(latents).numpy(), training=start.latent.numpy())
    latent_map = _put_latent_map(store, components, start.latent, data)
    table = extend_table(store, CandidateTable(), rows, crystals)
    return {
        "candidates": table,
        "counts": count_states(table),
        "seed": seed,
        "extra": {"latents": pending.ref, "latent_map": latent_map},
    }


def trained_contents(network: ModelDocument, elements: Sequence[str], charge: str) -> Tensor | None:
    """Return the contents (L, elements) that imported networks of prototypes learnt and this system can have; else None."""
    from imatgen_flows.sources.trained_model import TrainingSummary

    if TRAINED_ON not in network.extra:
        return None
    return TrainingSummary.read(read_json(network.extra[TRAINED_ON])).of_system(elements, charge).atom_counts


def ascent_objective(latent: Tensor, data: CampaignData) -> Objective | None:
    """Build what latent optimisation raises: how far E_hull lies below zero, by a process over what earlier rounds relaxed.

    Parameters
    ----------
    latent : (B, latent), of the dataset
    data : its labels

    Returns
    -------
    the objective, eV/atom; None where earlier rounds relaxed too little
    """
    import numpy as np

    from imatgen_flows.candidates.acquisition import differentiable_bound
    from imatgen_flows.candidates.selection import FEWEST, fit_process

    finds = relaxed_finds(data["labels"])
    if len(finds) < FEWEST:
        return None
    process = fit_process(latent[list(finds)].numpy(), np.array(list(finds.values())))
    bound = differentiable_bound(process, KAPPA)
    return lambda vectors: -bound(vectors)


def starting_points(
    trained: CrystalModel,
    data: CampaignData,
    model: Model,
    balanced_only: bool = False,
    searched: SearchSpace | None = None,
) -> StartingPoints:
    """Collect the training structures that samples can start from, with their latent vectors and energies.

    `searched` says which of them are of what the campaign looks for; all are, where it is None.
    """
    import torch
    from pymatgen.core import Composition

    from imatgen_flows.models.drawing import StartingPoints

    crystals, rows = load_crystals(data["dataset"]), read_lines(data["dataset"].crystals)
    labels, hull = read_lines(data["labels"].labels), load_hull(data["references"])
    contents = [
        [round(one[symbol]) for symbol in crystals.elements] for one in (searched.targets() if searched else ())
    ]
    return StartingPoints(
        crystals=crystals,
        latent=trained.encode(crystals),
        seen=training_rows(data["dataset"], model),
        formulas=[row["formula"] for row in rows],
        known=[row["known"] for row in rows],
        formation_energy=[label["formation_energy"] for label in labels],
        e_above_hull=[
            None
            if label["energy_per_atom"] is None
            else hull.e_above_hull(Composition(row["formula"]), label["energy_per_atom"])
            for row, label in zip(rows, labels, strict=True)
        ],
        has_finds=any(row.get("round_find") for row in rows),
        balanced_only=balanced_only,
        searched=None if searched is None else [not searched.admit(structure_of(row)) for row in rows],
        contents=torch.tensor(contents) if contents else None,
    )


def _put_latent_map(
    store: ArtifactStore, components: PrincipalComponents, latent: Tensor, data: CampaignData
) -> ArtifactRef:
    """Store where the training structures lie on the first two principal components."""
    rows, labels = read_lines(data["dataset"].crystals), read_lines(data["labels"].labels)
    training = [
        {
            "id": row["id"],
            "x": float(place[0]),
            "y": float(place[1]),
            "stable": label["stable"],
            "formation_energy": label["formation_energy"],
            "formula": row["formula"],
            "known": row["known"],
        }
        for row, label, place in zip(rows, labels, components.transform(latent), strict=True)
    ]
    return store.put_json("latent-map", {"explained": components.explained, "training": training})
