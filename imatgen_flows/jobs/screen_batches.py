"""The job that makes one job for each part of the candidates that are to be relaxed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobflow import Flow, OnMissing, Response

from imatgen_flows.config import Screen
from imatgen_flows.jobs.cached_job import dynamic_job
from imatgen_flows.jobs.documents import CampaignData, CandidatesDocument, LabelDocument, ReferenceDocument
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.jobs.rank_candidates import rank_candidates
from imatgen_flows.jobs.relax_batch import relax_batch
from imatgen_flows.jobs.search_space import relax_inputs
from imatgen_flows.profiles import Profile

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
    pressure: float = 0.0,
) -> Response:
    """Replace this job by one job for each part of what was chosen, and one that ranks all of it.

    Of `data` it takes the dataset, the labels that were evaluated, and the references.
    """
    settings = Screen.model_validate(screen)
    evaluations = installed_potential(settings.potential).evaluations
    size = settings.batch_size or batch_size([data["evaluated"], data["references"]], evaluations, walltime)
    known = {name: data[name] for name in ("dataset", "references")} if settings.distinct else {}
    common = {"candidates": candidates, "relax": relax_inputs(settings, pressure)}
    batches = [
        relax_batch(root, start=start, stop=start + size, **common, **known)
        for start in range(0, candidates.to_relax, size)
    ]
    for number, batch in enumerate(batches):
        batch.name += f" {number + 1} of {len(batches)}"
    ranked = rank_candidates(
        root,
        candidates=candidates,
        dataset=data["dataset"],
        references=data["references"],
        batches=[batch.output for batch in batches],
        threshold=settings.threshold,
    )
    ranked.config.on_missing_references = OnMissing.NONE  # a batch that is lost costs that batch
    return Response(replace=Flow([*batches, ranked], output=ranked.output, name="relax and rank"))


def batch_size(measured: Sequence[LabelDocument | ReferenceDocument], evaluations: int, walltime: float | None) -> int:
    """Choose the number of structures that one job relaxes: as many as fit well into its walltime.

    Parameters
    ----------
    measured : jobs of the same potential on the same kind of node, with its loading and all its processes: the slowest
        evaluation of them counts. Labels are energies alone, which take a third or a quarter of what a step of a relaxation
        takes, and references are such steps
    evaluations : of one relaxation, in the mean; in batches on a GPU, with torch-sim's FIRE, it takes about twice as many
    walltime : of a job, s; None where there is no limit
    """
    spent = [(document.seconds, sum(document.evaluations.values())) for document in measured]
    slowest = max((seconds / number for seconds, number in spent if number), default=0.0)
    if not walltime or not slowest:
        return LARGEST_BATCH
    return max(1, min(LARGEST_BATCH, int(SHARE_OF_WALLTIME * walltime / (evaluations * slowest))))
