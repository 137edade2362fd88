"""Relaxation of candidates in batches, and their place on the hull."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobflow import Flow, OnMissing, Response, job

from imatgen_flows.candidates.candidate import Candidate
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.io.artifacts import ArtifactRef, ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidates import (
    candidates_document,
    load_candidates,
    novelty_classifier,
    spacegroup_of,
    spread,
)
from imatgen_flows.jobs.documents import (
    BatchDocument,
    CandidatesDocument,
    DatasetDocument,
    LabelDocument,
    ReferenceDocument,
)
from imatgen_flows.jobs.energies import energy_on, load_hull
from imatgen_flows.jobs.result_cache import relax_cached

STEPS_OF_A_CANDIDATE = 120  # mean over CHGNet relaxations of generated V-O candidates to 0.05 eV/A
SHARE_OF_WALLTIME = 0.5  # that a batch is planned to take; a slow structure must not meet the end
LARGEST_BATCH = 500


@job(name="screen")  # without a schema: jobflow would hold the reference that takes this job's place to it
def screen_batches(
    root: str,
    *,
    candidates: CandidatesDocument,
    dataset: DatasetDocument,
    priced: LabelDocument,
    labels: LabelDocument,
    references: ReferenceDocument,
    screen: dict[str, Any],
    walltime: float | None,
    kappa: float = 1.0,
) -> Response:
    """Choose what is relaxed, and replace this job by one job for each batch and one that ranks them all."""
    chosen = choose(ArtifactStore(root), candidates, dataset, labels, screen["at_most"], kappa)
    size = screen["batch_size"] or batch_size(priced, walltime)
    settings = {name: screen[name] for name in ("potential", "fmax", "max_steps")}
    batches = [
        relax_batch(root, candidates=candidates, chosen=chosen, start=start, stop=start + size, **settings)
        for start in range(0, len(read_json(chosen)), size)
    ]
    for number, batch in enumerate(batches):
        batch.name = f"relax batch {number + 1} of {len(batches)}"
    ranked = rank_candidates(
        root,
        candidates=candidates,
        dataset=dataset,
        references=references,
        chosen=chosen,
        batches=[batch.output for batch in batches],
        threshold=screen["threshold"],
    )
    ranked.config.on_missing_references = OnMissing.NONE  # a batch that is lost costs that batch
    return Response(replace=Flow([*batches, ranked], output=ranked.output, name="relax and rank"))


def choose(
    store: ArtifactStore,
    candidates: CandidatesDocument,
    dataset: DatasetDocument,
    labels: LabelDocument,
    at_most: int,
    kappa: float,
) -> ArtifactRef:
    """Choose the samples that are relaxed; their names are an artifact, so that no document grows with them."""
    unique = [record for record in load_candidates(candidates) if record.state is State.UNIQUE]
    return store.put_json(
        "chosen",
        [record.sample for record in spread(unique, at_most, _scores(unique, candidates, dataset, labels, kappa))],
    )


def _scores(
    records: list[Candidate],
    candidates: CandidatesDocument,
    dataset: DatasetDocument,
    labels: LabelDocument,
    kappa: float,
) -> dict[str, float] | None:
    """Predict E_hull (eV/atom) by what earlier rounds relaxed, less its uncertainty; None where too little is known."""
    import numpy as np
    from pymatgen.core import Composition, Structure

    from imatgen_flows.candidates.selection import FEWEST, fit_process, lower_confidence_bound

    rows = read_lines(dataset.crystals)
    learnt = {
        row: label["e_above_hull"]
        for row, label in enumerate(read_lines(labels.labels))
        if label.get("e_above_hull") is not None
    }
    if len(learnt) < FEWEST or not records:
        return None

    def with_composition(latent: Any, compositions: list[Composition]) -> Any:
        shares = [
            [composition.get_atomic_fraction(element) for element in dataset.elements] for composition in compositions
        ]
        return np.hstack([latent, shares])

    with np.load(candidates.extra["latents"].path()) as latents:
        known = with_composition(
            latents["training"][list(learnt)], [Composition(rows[row]["formula"]) for row in learnt]
        )
        compositions = [Structure.from_dict(record.structure or {}).composition for record in records]
        asked = with_composition(latents["samples"][[record.origin.row for record in records]], compositions)
    scores = lower_confidence_bound(fit_process(known, np.array(list(learnt.values()))), asked, kappa)
    return {record.sample: float(score) for record, score in zip(records, scores, strict=True)}


def batch_size(labels: LabelDocument, walltime: float | None) -> int:
    """Structures that one job relaxes: as many as fit well into its walltime, at the cost that the labels had.

    Parameters
    ----------
    labels : their time for an evaluation, on the same kind of node, with its loading and all its processes
    walltime : of a job, s; None where there is no limit
    """
    evaluations = labels.evaluations.get("labels", 0)
    if not walltime or not labels.seconds or not evaluations:
        return LARGEST_BATCH
    relaxation = STEPS_OF_A_CANDIDATE * labels.seconds / evaluations
    return max(1, min(LARGEST_BATCH, int(SHARE_OF_WALLTIME * walltime / relaxation)))


@cached_job(BatchDocument)
def relax_batch(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    chosen: ArtifactRef,
    start: int,
    stop: int,
    potential: str,
    fmax: float,
    max_steps: int,
) -> dict[str, Any]:
    """Relax some of the chosen candidates. Each result is on disk as soon as it is there: a killed batch continues."""
    from pymatgen.core import Structure

    samples = read_json(chosen)[start:stop]
    wanted = set(samples)
    structures = {
        record.sample: Structure.from_dict(record.structure or {})
        for record in load_candidates(candidates)
        if record.sample in wanted
    }
    results = relax_cached(
        scratch, samples, [structures[sample] for sample in samples], potential, fmax=fmax, max_steps=max_steps
    )
    rows = [{"sample": sample} | result for sample, result in zip(samples, results, strict=True)]
    relaxed = sum(row["state"] == "relaxed" for row in rows)
    return {
        "relaxations": store.put_lines("relaxations", rows),
        "counts": {"relaxed": relaxed, "failed": len(rows) - relaxed},
        "evaluations": {"screen": sum(row["evaluations"] for row in rows)},
    }


@cached_job(CandidatesDocument)
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
    """Place relaxed candidates on the hull, judge again what is new, and shortlist the best."""
    from pymatgen.core import Structure

    from imatgen_flows.candidates.novelty import Novelty
    from imatgen_flows.crystals.standard import standardise
    from imatgen_flows.matching.grouping import group_duplicates

    hull, judge = load_hull(references), novelty_classifier(dataset, references)
    records = load_candidates(candidates)
    by_sample = {record.sample: record for record in records}
    missing = set(read_json(chosen))
    screened = []
    for row in (row for batch in batches if batch for row in read_lines(batch.relaxations)):
        missing.remove(row["sample"])
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
        record.energies.append(
            energy_on(hull, structure.composition, row["energy_per_atom"], row["fmax"], row["steps"])
        )
        record.state = State.SCREENED
        screened.append((record, structure))
    for sample in missing:
        by_sample[sample].reject(Stage.SCREEN, "batch_lost", "its job ended without a result")
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
    evaluations = {"screen": sum(batch.evaluations["screen"] for batch in batches if batch)}
    return candidates_document(store, records, seed=candidates.seed, **candidates.extra) | {"evaluations": evaluations}
