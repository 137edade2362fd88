"""The job that keeps the candidates that are unique and new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imatgen_flows.candidates.states import Geometry, State
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_table import (
    candidate_rows,
    candidate_structures,
    candidates_fields,
    extend_table,
    novelty_classifier,
    samples_in,
)
from imatgen_flows.jobs.documents import CandidatesDocument, DatasetDocument, ReferenceDocument
from imatgen_flows.profiles import Profile
from imatgen_flows.settings import get_settings


@cached_job(CandidatesDocument, profile=Profile.LIGHT, label="filter candidates")
def filter_candidates(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    dataset: DatasetDocument,
    references: ReferenceDocument,
) -> dict[str, Any]:
    """Keep one candidate of each structure, and of these the ones that are neither known nor substituted."""
    from imatgen_flows.candidates.gate import keep_unique

    table, workers = candidates.candidates, get_settings().n_workers
    valid = candidate_rows(table, ["id"], samples_in(table, State.VALID))
    structures = candidate_structures(table, Geometry.DECODED, [str(row["sample"]) for row in valid])
    names = [(str(row["sample"]), str(row["id"])) for row in valid]
    rows = keep_unique(names, structures, novelty_classifier(dataset, references), workers)
    return candidates_fields(extend_table(store, table, rows), candidates)
