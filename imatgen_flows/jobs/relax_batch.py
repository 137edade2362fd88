"""The job that relaxes one batch of candidates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.states import Geometry
from imatgen_flows.io.artifacts import ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import (
    BatchDocument,
    CandidatesDocument,
    DatasetDocument,
    ReferenceDocument,
    RelaxInputs,
)
from imatgen_flows.jobs.result_cache import relax_cached
from imatgen_flows.observer import part_of
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from imatgen_flows.energetics.known_ends import KnownEnd


@cached_job(BatchDocument, profile=Profile.GPU_RELAX, label="relax batch")
def relax_batch(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    start: int,
    stop: int,
    relax: RelaxInputs,
    dataset: DatasetDocument | None = None,
    references: ReferenceDocument | None = None,
) -> dict[str, Any]:
    """Relax some of the chosen candidates. Each result is on disk as soon as it is there: a killed batch continues.

    Where dataset and references are given, a relaxation stops where it falls into a phase of theirs, or into what was
    relaxed in an earlier batch.
    """
    samples = read_json(candidates.extra["chosen"])[start:stop]
    structures = candidate_structures(candidates.candidates, Geometry.DECODED, samples)
    ends = known_ends(candidates, dataset, references) if dataset and references else {}
    of_each = [ends.get(structures[sample].composition.reduced_formula, []) for sample in samples]
    with part_of(start, candidates.to_relax):
        results = relax_cached(scratch, samples, [structures[sample] for sample in samples], relax, ends=of_each)
    rows = [{"sample": sample} | result for sample, result in zip(samples, results, strict=True)]
    relaxed = sum(row["state"] == "relaxed" for row in rows)
    return {
        "relaxations": store.put_lines("relaxations", rows),
        "counts": {"relaxed": relaxed, "failed": len(rows) - relaxed},
        "evaluations": {"screen": sum(row["evaluations"] for row in rows)},
    }


def known_ends(
    candidates: CandidatesDocument, dataset: DatasetDocument, references: ReferenceDocument
) -> dict[str, list[KnownEnd]]:
    """Collect what was relaxed with the potential before, by reduced formula: phases, and candidates of earlier batches."""
    from imatgen_flows.energetics.known_ends import KnownEnd

    # what did not converge has an energy too, and is no end
    phases = [row for row in read_lines(references.phases) if row["state"] == "relaxed"]
    relaxed = [(row["name"], structure_of(row), row["energy_per_atom"]) for row in phases]
    found = read_lines(dataset.found) if dataset.found else []
    relaxed += [(row["id"], structure_of(row), row.get("energy_per_atom")) for row in found]
    here = candidate_structures(candidates.candidates, Geometry.RELAXED)
    rows = candidate_rows(candidates.candidates, ["energy_per_atom"], here)
    relaxed += [(str(row["sample"]), here[str(row["sample"])], row["energy_per_atom"]) for row in rows]
    ends: dict[str, list[KnownEnd]] = {}
    for name, structure, energy in relaxed:
        if energy is not None:
            end = KnownEnd(name, structure, energy)
            ends.setdefault(structure.composition.reduced_formula, []).append(end)
    return ends
