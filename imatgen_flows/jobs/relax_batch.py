"""The job that relaxes one batch of candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imatgen_flows.candidates.states import Geometry
from imatgen_flows.io.artifacts import ArtifactRef, ArtifactStore, read_json
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_table import candidate_structures
from imatgen_flows.jobs.documents import BatchDocument, CandidatesDocument, RelaxInputs
from imatgen_flows.jobs.result_cache import relax_cached
from imatgen_flows.profiles import Profile


@cached_job(BatchDocument, profile=Profile.GPU_RELAX, label="relax batch")
def relax_batch(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    chosen: ArtifactRef,
    start: int,
    stop: int,
    relax: RelaxInputs,
) -> dict[str, Any]:
    """Relax some of the chosen candidates. Each result is on disk as soon as it is there: a killed batch continues."""
    samples = read_json(chosen)[start:stop]
    structures = candidate_structures(candidates.candidates, Geometry.DECODED, samples)
    results = relax_cached(scratch, samples, [structures[sample] for sample in samples], **relax)
    rows = [{"sample": sample} | result for sample, result in zip(samples, results, strict=True)]
    relaxed = sum(row["state"] == "relaxed" for row in rows)
    return {
        "relaxations": store.put_lines("relaxations", rows),
        "counts": {"relaxed": relaxed, "failed": len(rows) - relaxed},
        "evaluations": {"screen": sum(row["evaluations"] for row in rows)},
    }
