"""The job that selects the candidates to relax, and makes one job for each batch of them."""

from __future__ import annotations

from typing import Any

from jobflow import Flow, OnMissing, Response

from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import State
from imatgen_flows.config import Screen
from imatgen_flows.io.artifacts import ArtifactRef, ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import dynamic_job
from imatgen_flows.jobs.campaign_inputs import relax_inputs
from imatgen_flows.jobs.candidate_table import candidate_rows, samples_in
from imatgen_flows.jobs.documents import CampaignData, CandidatesDocument, LabelDocument
from imatgen_flows.jobs.rank_candidates import rank_candidates
from imatgen_flows.jobs.relax_batch import relax_batch
from imatgen_flows.profiles import Profile

# evaluations of one relaxation to 0.05 eV/A: the mean over CHGNet relaxations of 80 generated V-O candidates
# (notebook/2026-11-29-relaxations.md); in batches on a GPU, with torch-sim's FIRE, it takes about twice as many
EVALUATIONS_OF_A_RELAXATION = 50
SHARE_OF_WALLTIME = 0.5  # that a batch is planned to take, so that a slow structure does not meet the walltime
LARGEST_BATCH = 500  # structures; more would make the loss of a batch expensive, and save no time of dispatch


@dynamic_job(profile=Profile.LIGHT, label="screen")
def screen_batches(
    root: str,
    *,
    candidates: CandidatesDocument,
    data: CampaignData,
    screen: dict[str, Any],
    walltime: float | None,
    kappa: float = 1.0,
) -> Response:
    """Select what is relaxed, and replace this job by one job for each batch and one that ranks them all.

    Of `data` it takes the dataset, the labels, those that were evaluated, and the references.
    """
    settings = Screen.model_validate(screen)
    chosen = choose_samples(ArtifactStore(root), candidates, data, settings.at_most, kappa)
    size = settings.batch_size or batch_size(data["evaluated"], walltime)
    relax = relax_inputs(settings)
    batches = [
        relax_batch(root, candidates=candidates, chosen=chosen, start=start, stop=start + size, relax=relax)
        for start in range(0, len(read_json(chosen)), size)
    ]
    for number, batch in enumerate(batches):
        batch.name += f" {number + 1} of {len(batches)}"
    ranked = rank_candidates(
        root,
        candidates=candidates,
        dataset=data["dataset"],
        references=data["references"],
        chosen=chosen,
        batches=[batch.output for batch in batches],
        threshold=settings.threshold,
    )
    ranked.config.on_missing_references = OnMissing.NONE  # a batch that is lost costs that batch
    return Response(replace=Flow([*batches, ranked], output=ranked.output, name="relax and rank"))


def choose_samples(
    store: ArtifactStore, candidates: CandidatesDocument, data: CampaignData, at_most: int, kappa: float
) -> ArtifactRef:
    """Select the samples that are relaxed; their names are an artifact, so that no document grows with them."""
    from imatgen_flows.candidates.selection import SELECTION_COLUMNS, select_candidates

    table = candidates.candidates
    unique = candidate_rows(table, SELECTION_COLUMNS, samples_in(table, State.UNIQUE))
    scores = _scores(unique, candidates, data, kappa)
    return store.put_json("chosen", [row["sample"] for row in select_candidates(unique, at_most, scores)])


def _scores(
    unique: list[Row], candidates: CandidatesDocument, data: CampaignData, kappa: float
) -> dict[str, float] | None:
    """Predict a lower confidence bound of E_hull (eV/atom) for each sample; None where too little was relaxed.

    Earlier rounds teach by composition and latent vector. The first round has the reference phases alone, which teach by
    composition: in the latent space they are too few.
    """
    import numpy as np
    from pymatgen.core import Composition

    from imatgen_flows.candidates.selection import FEWEST, fit_process, lower_confidence_bound

    elements, formulas = data["dataset"].elements, [str(row["formula"]) for row in unique]

    def shares(compositions: list[str]) -> Any:
        return np.array(
            [[Composition(one).get_atomic_fraction(element) for element in elements] for one in compositions]
        )

    if not unique:
        return None
    finds = _finds(data)
    if len(finds) >= FEWEST:
        rows = read_lines(data["dataset"].crystals)
        with np.load(candidates.extra["latents"].path()) as latents:
            known = np.hstack([latents["training"][list(finds)], shares([rows[row]["formula"] for row in finds])])
            here = np.hstack([latents["samples"][[row["latent_row"] for row in unique]], shares(formulas)])
        targets = list(finds.values())
    elif len(phases := _phases(data)) >= FEWEST:
        known, here = shares([formula for formula, _ in phases]), shares(formulas)
        targets = [distance for _, distance in phases]
    else:
        return None
    scores = lower_confidence_bound(fit_process(known, np.array(targets)), here, kappa)
    return {str(row["sample"]): float(score) for row, score in zip(unique, scores, strict=True)}


def _finds(data: CampaignData) -> dict[int, float]:
    """Return E_hull (eV/atom) of what earlier rounds relaxed, by its row in the dataset."""
    labels = enumerate(read_lines(data["labels"].labels))
    return {row: label["e_above_hull"] for row, label in labels if label.get("e_above_hull") is not None}


def _phases(data: CampaignData) -> list[tuple[str, float]]:
    """Return formula and E_hull (eV/atom) of the reference phases that hold all elements, as candidates do."""
    from imatgen_flows.energetics.hull import Hull

    table = Hull.from_dict(read_json(data["references"].hull)).table()
    return [
        (row["formula"], row["e_above_hull"]) for row in table if len(row["fractions"]) == len(data["dataset"].elements)
    ]


def batch_size(labels: LabelDocument, walltime: float | None) -> int:
    """Choose the number of structures that one job relaxes: as many as fit well into its walltime.

    Parameters
    ----------
    labels : their time for an evaluation, on the same kind of node, with its loading and all its processes
    walltime : of a job, s; None where there is no limit
    """
    evaluations = labels.evaluations.get("labels", 0)
    if not walltime or not labels.seconds or not evaluations:
        return LARGEST_BATCH
    relaxation = EVALUATIONS_OF_A_RELAXATION * labels.seconds / evaluations
    return max(1, min(LARGEST_BATCH, int(SHARE_OF_WALLTIME * walltime / relaxation)))
