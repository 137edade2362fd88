"""The job that places relaxed candidates on the hull and shortlists the best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.candidate import place_relaxation, rejection
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Geometry, Stage
from imatgen_flows.io.artifacts import ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_table import (
    candidate_rows,
    candidate_structures,
    candidates_fields,
    extend_table,
    novelty_classifier,
)
from imatgen_flows.jobs.documents import BatchDocument, CandidatesDocument, DatasetDocument, ReferenceDocument
from imatgen_flows.jobs.hulls import load_hull
from imatgen_flows.jobs.result_cache import relaxation_of
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from pymatgen.core import Structure


@cached_job(CandidatesDocument, profile=Profile.LIGHT, label="rank candidates")
def rank_candidates(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    dataset: DatasetDocument,
    references: ReferenceDocument,
    batches: list[BatchDocument | None],
    threshold: float,
) -> dict[str, Any]:
    """Place relaxed candidates on the hull, classify their novelty as relaxed, and shortlist the best.

    What an earlier batch of the round relaxed counts as found before.
    """
    from imatgen_flows.candidates.novelty import shortlist_relaxed
    from imatgen_flows.crystals.arrays import CrystalArrays

    hull, classifier = load_hull(references), novelty_classifier(dataset, references)
    for sample, structure in candidate_structures(candidates.candidates, Geometry.RELAXED).items():
        classifier.add_found(sample, structure)
    samples, batch = read_json(candidates.extra["chosen"]), read_json(candidates.extra["allocation"])[-1]["batch"]
    lost = {"batch": batch} | rejection(Stage.SCREEN, "batch_lost", "its job ended without a result")
    rows: dict[str, Row] = {sample: {"sample": sample} | lost for sample in samples}
    structures: dict[str, Structure] = {}
    for relaxed in (row for batch in batches if batch for row in read_lines(batch.relaxations)):
        sample = relaxed["sample"]
        placed, end = place_relaxation(relaxation_of(relaxed), hull)
        rows[sample] = {"sample": sample, "batch": batch} | placed
        if end is not None:
            structures[sample] = end
    ids = {str(row["sample"]): str(row["id"]) for row in candidate_rows(candidates.candidates, ["id"], samples)}
    shortlist_relaxed(rows, structures, ids, classifier, threshold)
    crystals = [(sample, CrystalArrays.of(structures[sample])) for sample in samples if sample in structures]
    table = extend_table(store, candidates.candidates, list(rows.values()), crystals, Geometry.RELAXED)
    spent = sum(batch.evaluations["screen"] for batch in batches if batch)
    evaluations = {"screen": candidates.evaluations.get("screen", 0) + spent}
    return candidates_fields(table, candidates) | {"evaluations": evaluations}
