"""One campaign of a comparison of arms, read from its run directory."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from imatgen_flows.candidates.ledger import SPENT
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Geometry, Stage
from imatgen_flows.config import CampaignConfig
from imatgen_flows.energetics.known_ends import KNOWN_END
from imatgen_flows.io.artifacts import read_json
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures
from imatgen_flows.jobs.documents import RoundDocument
from imatgen_flows.jobs.import_network import import_network
from imatgen_flows.jobs.label_dataset import label_dataset
from imatgen_flows.jobs.provenance import PROVENANCE_FILE, finished_round
from imatgen_flows.jobs.reconstruction import evaluate_reconstruction
from imatgen_flows.jobs.references import extend_hull, relax_references
from imatgen_flows.jobs.train import train_autoencoder, train_vae
from imatgen_flows.matching.grouping import displacement
from imatgen_flows.metrics.arms import ArmRelaxation, ArmRun

# what the time of a job is spent on; all other jobs search
PURPOSES = {
    "preparation": (build_dataset, relax_references, label_dataset, extend_hull),
    "training": (train_autoencoder, train_vae, evaluate_reconstruction, import_network),
}
SEARCH = "search"
COLUMNS = (
    "sample", "round", "batch", "source", "formula", "state", "rejected_stage", "rejected_reason", "evaluations",
    "e_above_hull", "novelty",
)  # fmt: skip
AFTER_PREPARATION = tuple(SPENT.values())  # purposes of evaluations that candidates take
NOT_VALID = (Stage.DECODE.value, Stage.VALIDITY.value)


def read_arm(directory: Path, arm: str, seed: int) -> ArmRun:
    """Read what a finished campaign was given, found and spent.

    Parameters
    ----------
    directory : its run directory
    arm, seed : which it is

    Raises
    ------
    InputError
        Where its documents or artifacts are missing or damaged.
    """
    document = finished_round(directory)
    rows = candidate_rows(document.candidates, COLUMNS)
    spent = document.ledger["evaluations"]
    provenance = json.loads((directory / PROVENANCE_FILE).read_text())
    given: Counter[str] = Counter()
    for part in read_json(document.tables["allocation"])["batches"]:
        given[part["source"]] += part["given"]
    return ArmRun(
        arm=arm,
        seed=seed,
        budget=CampaignConfig.from_file(directory / "campaign.yaml").screen.at_most,
        relaxations=_relaxations(document, rows),
        made=len(rows),
        valid=sum(row["rejected_stage"] not in NOT_VALID for row in rows),
        given=dict(given),
        preparation=sum(number for purpose, number in spent.items() if purpose not in AFTER_PREPARATION),
        wall=_by_purpose(provenance["seconds"]),
        cpu=_by_purpose(provenance["cpu_seconds"]),
    )


def _relaxations(document: RoundDocument, rows: list[Row]) -> list[ArmRelaxation]:
    """List the relaxations in the order in which they were made."""
    tried = [row for row in rows if row["e_above_hull"] is not None or row["rejected_stage"] == Stage.SCREEN.value]
    tried.sort(key=lambda row: (row["round"], row["batch"]))
    samples = [str(row["sample"]) for row in tried]
    proposed = candidate_structures(document.candidates, Geometry.DECODED, samples)
    relaxed = candidate_structures(document.candidates, Geometry.RELAXED, samples)
    values: list[dict[str, Any]] = [
        {name: row[name] for name in ("source", "formula", "evaluations", "e_above_hull")} for row in tried
    ]
    return [
        ArmRelaxation(
            **value,
            novelty=str(row["novelty"]) if sample in relaxed else "",
            displacement=displacement(proposed[sample], relaxed[sample]) if sample in relaxed else None,
            was_known=row["rejected_reason"] == KNOWN_END,
        )
        for value, row, sample in zip(values, tried, samples, strict=True)
    ]


def _by_purpose(seconds: dict[str, float]) -> dict[str, float]:
    """Sum the seconds of jobs by what they are for."""
    purposes = {job.spec.name: purpose for purpose, jobs in PURPOSES.items() for job in jobs}
    total = dict.fromkeys([*PURPOSES, SEARCH], 0.0)
    for job, time in seconds.items():
        total[purposes.get(job, SEARCH)] += time
    return {purpose: round(time, 1) for purpose, time in total.items()}
