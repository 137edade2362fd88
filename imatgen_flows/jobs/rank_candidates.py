"""The job that places relaxed candidates on the hull and shortlists the best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.candidate import Candidate
from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.decoding import spacegroup_of
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.io.artifacts import ArtifactRef, ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_records import candidates_fields, load_candidates, novelty_classifier
from imatgen_flows.jobs.documents import BatchDocument, CandidatesDocument, DatasetDocument, ReferenceDocument
from imatgen_flows.jobs.hulls import energy_on, load_hull
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.candidates.novelty import NoveltyClassifier
    from imatgen_flows.energetics.hull import Hull


@cached_job(CandidatesDocument, profile=Profile.LIGHT, label="rank candidates")
def rank_candidates(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    dataset: DatasetDocument,
    references: ReferenceDocument,
    chosen: ArtifactRef,
    batches: list[BatchDocument | None],
    threshold: float,
) -> dict[str, Any]:
    """Place relaxed candidates on the hull, classify their novelty as relaxed, and shortlist the best."""
    hull, classifier = load_hull(references), novelty_classifier(dataset, references)
    records = load_candidates(candidates)
    by_sample = {record.sample: record for record in records}
    missing = set(read_json(chosen))
    screened = []
    for row in (row for batch in batches if batch for row in read_lines(batch.relaxations)):
        missing.remove(row["sample"])
        record = by_sample[row["sample"]]
        structure = _place(record, row, hull)
        if structure is not None:
            screened.append((record, structure))
    for sample in missing:
        by_sample[sample].reject(Stage.SCREEN, "batch_lost", "its job ended without a result")
    screened.sort(key=lambda pair: pair[0].energies[-1].e_above_hull)
    _shortlist(screened, classifier, threshold)
    evaluations = {"screen": sum(batch.evaluations["screen"] for batch in batches if batch)}
    return candidates_fields(store, records, seed=candidates.seed, **candidates.extra) | {"evaluations": evaluations}


def _place(record: Candidate, row: dict[str, Any], hull: Hull) -> Structure | None:
    """Give a candidate its relaxed structure and its energy; reject it, and return None, where it has none."""
    from pymatgen.core import Structure

    from imatgen_flows.crystals.standard import standardise

    record.evaluations += row["evaluations"]
    if row["state"] != "relaxed":
        record.reject(Stage.SCREEN, row["reason"], row["detail"])
        return None
    try:
        structure = standardise(Structure.from_dict(row["structure"]))
    except ValueError as error:
        record.reject(Stage.SCREEN, "no_standard_cell", str(error))
        return None
    record.relaxed, record.spacegroup = structure.as_dict(), spacegroup_of(structure)
    energy = energy_on(hull, structure.composition, row["energy_per_atom"], fmax=row["fmax"], steps=row["steps"])
    record.energies.append(energy)
    record.state = State.SCREENED
    return structure


def _shortlist(screened: list[tuple[Candidate, Structure]], classifier: NoveltyClassifier, threshold: float) -> None:
    """Classify relaxed candidates, lowest E_hull first, and shortlist the new ones up to the threshold, eV/atom."""
    from imatgen_flows.matching.grouping import group_duplicates

    first_of = group_duplicates([structure for _, structure in screened])
    for index, (record, structure) in enumerate(screened):
        first = screened[first_of[index]][0]
        if first is not record:
            record.novelty, record.novelty_match = Novelty.DUPLICATE.value, first.id
            continue
        novelty, record.novelty_match, _ = classifier.classify(structure)
        record.novelty = novelty.value
        if novelty is Novelty.NEW and record.energies[-1].e_above_hull <= threshold:
            record.state = State.SHORTLISTED
