"""The job that keeps the candidates that are unique and new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imatgen_flows.candidates.candidate import rejection
from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Geometry, Stage, State
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
    from imatgen_flows.matching.grouping import group_duplicates, primitive_cells

    table, workers = candidates.candidates, get_settings().n_workers
    valid = candidate_rows(table, ["id"], samples_in(table, State.VALID))
    structures = candidate_structures(table, Geometry.DECODED, [str(row["sample"]) for row in valid])
    cells = primitive_cells([structures[str(row["sample"])] for row in valid], workers)
    first_of = group_duplicates(cells, workers=workers)
    firsts = [index for index, first in enumerate(first_of) if first == index]
    classifier = novelty_classifier(dataset, references)
    classes = dict(zip(firsts, classifier.classify_all([cells[index] for index in firsts], workers), strict=True))
    rows: list[Row] = []
    for index, row in enumerate(valid):
        if index not in classes:
            first = valid[first_of[index]]
            found: Row = {"novelty": Novelty.DUPLICATE.value, "novelty_match": first["id"]}
            found |= rejection(Stage.UNIQUENESS, Novelty.DUPLICATE.value, f"same as {first['sample']}")
        else:
            novelty, match, rms = classes[index]
            found = {"novelty": novelty.value, "novelty_match": match, "state": State.UNIQUE.value}
            if novelty is not Novelty.NEW:
                found |= rejection(Stage.UNIQUENESS, novelty.value, f"matches {match} (rms {rms:.3f})")
        rows.append({"sample": row["sample"]} | found)
    return candidates_fields(extend_table(store, table, rows), candidates)
