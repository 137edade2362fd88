"""The job that keeps the candidates that are unique and new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_records import candidates_fields, load_candidates, novelty_classifier
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
    from pymatgen.core import Structure

    from imatgen_flows.matching.grouping import group_duplicates, primitive_cells

    records = load_candidates(candidates)
    workers = get_settings().n_workers
    valid = [record for record in records if record.state is State.VALID]
    cells = primitive_cells([Structure.from_dict(record.structure or {}) for record in valid], workers)
    first_of = group_duplicates(cells, workers=workers)
    firsts = [index for index, first in enumerate(first_of) if first == index]
    classifier = novelty_classifier(dataset, references)
    classes = dict(zip(firsts, classifier.classify_all([cells[index] for index in firsts], workers), strict=True))
    for index, record in enumerate(valid):
        if index not in classes:
            first = valid[first_of[index]]
            record.novelty, record.novelty_match = Novelty.DUPLICATE.value, first.id
            record.reject(Stage.UNIQUENESS, Novelty.DUPLICATE.value, f"same as {first.sample}")
            continue
        novelty, match, rms = classes[index]
        record.novelty, record.novelty_match = novelty.value, match
        if novelty is Novelty.NEW:
            record.state = State.UNIQUE
        else:
            record.reject(Stage.UNIQUENESS, novelty.value, f"matches {match} (rms {rms:.3f})")
    return candidates_fields(store, records, seed=candidates.seed, **candidates.extra)
