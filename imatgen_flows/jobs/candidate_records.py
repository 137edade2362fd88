"""Candidates between jobs: how their records are stored and read, and how they are compared with what is known."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.candidate import Candidate
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import CandidatesDocument, DatasetDocument, ReferenceDocument

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.candidates.novelty import NoveltyClassifier


def load_candidates(document: CandidatesDocument) -> list[Candidate]:
    """Read the candidates of a document."""
    return [Candidate(**row) for row in read_lines(document.candidates)]


def candidates_fields(store: ArtifactStore, records: list[Candidate], seed: int | None, **extra: Any) -> dict[str, Any]:
    """Store candidates and count their states; return the fields of a `CandidatesDocument`."""
    return {
        "candidates": store.put_lines("candidates", [record.model_dump(mode="json") for record in records]),
        "counts": dict(Counter(record.state.value for record in records)),
        "seed": seed,
        "extra": extra,
    }


def novelty_classifier(dataset: DatasetDocument, references: ReferenceDocument) -> NoveltyClassifier:
    """Build the classifier of a round from all published phases and all substituted structures, as made and as relaxed."""
    from imatgen_flows.candidates.novelty import NoveltyClassifier

    known: dict[str, Structure] = {}
    substituted: dict[str, Structure] = {}
    for row in (*read_lines(dataset.crystals), *(read_lines(dataset.held_out) if dataset.held_out else ())):
        (known if row["known"] else substituted)[row["id"]] = structure_of(row)
    for row in read_lines(references.phases):
        where = substituted if row["kind"] == "substituted" else known
        where[f"{row['name']} (relaxed)"] = structure_of(row)
    found = {row["id"]: structure_of(row) for row in read_lines(dataset.found)} if dataset.found else {}
    return NoveltyClassifier(known=known, substituted=substituted, found=found)
