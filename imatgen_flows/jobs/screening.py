"""Relaxation of candidates in batches, and their place on the hull."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from jobflow import Flow, Response, job

from imatgen_flows.artifacts import ArtifactStore, read_lines, write_atomic
from imatgen_flows.jobs.candidates import candidates_document, load_candidates, novelty_judge, spacegroup_of, spread
from imatgen_flows.jobs.energies import load_hull
from imatgen_flows.jobs.stage import stage
from imatgen_flows.schemas import (
    BatchDocument,
    CandidatesDocument,
    DatasetDocument,
    Energy,
    ReferenceDocument,
    Stage,
    State,
)
from imatgen_flows.settings import get_settings

logger = logging.getLogger(__name__)

PROGRESS = 10  # relaxations between two lines of the log


@job  # without a schema: jobflow would hold the reference that takes this job's place to it
def screen_batches(
    root: str,
    *,
    candidates: CandidatesDocument,
    dataset: DatasetDocument,
    references: ReferenceDocument,
    screen: dict[str, Any],
) -> Response:
    """Choose what is relaxed, and replace this job by one job for each batch and one that ranks them all."""
    chosen = [record.sample for record in spread(_unique(candidates), screen["at_most"])]
    size = screen["batch_size"]
    settings = {name: screen[name] for name in ("potential", "fmax", "max_steps")}
    batches = [
        relax_batch(root, candidates=candidates, samples=chosen[start : start + size], **settings)
        for start in range(0, len(chosen), size)
    ]
    for number, batch in enumerate(batches):
        batch.name = f"relax batch {number + 1} of {len(batches)}"
    ranked = rank_candidates(
        root,
        candidates=candidates,
        dataset=dataset,
        references=references,
        batches=[batch.output for batch in batches],
        threshold=screen["threshold"],
    )
    ranked.name = "rank"
    return Response(replace=Flow([*batches, ranked], output=ranked.output, name="relax and rank"))


@stage(BatchDocument)
def relax_batch(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    samples: list[str],
    potential: str,
    fmax: float,
    max_steps: int,
) -> dict[str, Any]:
    """Relax some candidates. Each result is on disk as soon as it is there: a killed batch continues."""
    from pymatgen.core import Structure

    from imatgen_flows.energetics.relax import Relaxation, relax_many

    structures = {record.sample: record.structure for record in load_candidates(candidates)}
    # a power cut can leave an empty file behind
    done = {path.stem: json.loads(path.read_text()) for path in scratch.glob("*.json") if path.stat().st_size}
    waiting = [sample for sample in samples if sample not in done]

    def keep(index: int, result: Relaxation) -> None:
        row = {**vars(result), "structure": result.structure.as_dict() if result.structure else None}
        del row["seconds"]  # what is computed again must give the same bytes
        done[waiting[index]] = row
        write_atomic(scratch / f"{waiting[index]}.json", json.dumps(row))
        if len(done) % PROGRESS == 0:
            logger.info("relaxed %d of %d", len(done), len(samples))

    relax_many(
        [Structure.from_dict(structures[sample] or {}) for sample in waiting],
        potential,
        fmax=fmax,
        max_steps=max_steps,
        workers=get_settings().n_workers,
        on_result=keep,
    )
    rows = [{"sample": sample} | done[sample] for sample in samples]
    relaxed = sum(row["state"] == "relaxed" for row in rows)
    return {
        "relaxations": store.put_lines("relaxations", rows),
        "counts": {"relaxed": relaxed, "failed": len(rows) - relaxed},
        "evaluations": {"screen": sum(row["evaluations"] for row in rows)},
    }


@stage(CandidatesDocument)
def rank_candidates(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    dataset: DatasetDocument,
    references: ReferenceDocument,
    batches: list[BatchDocument],
    threshold: float,
) -> dict[str, Any]:
    """Place relaxed candidates on the hull, judge again what is new, and shortlist the best."""
    from pymatgen.core import Structure

    from imatgen_flows.crystals import standardise
    from imatgen_flows.discovery.novelty import Novelty
    from imatgen_flows.discovery.similarity import group_duplicates

    hull, judge = load_hull(references), novelty_judge(dataset, references)
    records = load_candidates(candidates)
    by_sample = {record.sample: record for record in records}
    screened = []
    for row in (row for batch in batches for row in read_lines(batch.relaxations)):
        record = by_sample[row["sample"]]
        record.evaluations += row["evaluations"]
        if row["state"] != "relaxed":
            record.reject(Stage.SCREEN, row["reason"], row["detail"])
            continue
        try:
            structure = standardise(Structure.from_dict(row["structure"]))
        except ValueError as error:
            record.reject(Stage.SCREEN, "no_standard_cell", str(error))
            continue
        record.relaxed = structure.as_dict()
        record.spacegroup = spacegroup_of(structure)
        record.energies.append(_energy(hull, structure, row))
        record.state = State.SCREENED
        screened.append((record, structure))
    screened.sort(key=lambda pair: pair[0].energies[-1].e_above_hull)
    first_of = group_duplicates([structure for _, structure in screened])
    for index, (record, structure) in enumerate(screened):
        first = screened[first_of[index]][0]
        if first is not record:
            record.novelty, record.novelty_match = Novelty.DUPLICATE.value, first.id
            continue
        novelty, record.novelty_match, _ = judge.classify(structure)
        record.novelty = novelty.value
        if novelty is Novelty.NEW and record.energies[-1].e_above_hull <= threshold:
            record.state = State.SHORTLISTED
    evaluations = {"screen": sum(batch.evaluations["screen"] for batch in batches)}
    return candidates_document(store, records, seed=candidates.seed, **candidates.extra) | {"evaluations": evaluations}


def _unique(candidates: CandidatesDocument) -> list:
    return [record for record in load_candidates(candidates) if record.state is State.UNIQUE]


def _energy(hull: Any, structure: Any, row: dict[str, Any]) -> Energy:
    composition, energy = structure.composition, row["energy_per_atom"]
    return Energy(
        scale=hull.potential,
        energy_per_atom=energy,
        formation_energy=hull.formation_energy(composition, energy),
        e_above_hull=hull.distance(composition, energy),
        decomposition=hull.decomposition(composition),
        fmax=row["fmax"],
        steps=row["steps"],
    )
