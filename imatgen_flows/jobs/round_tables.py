"""The tables of a round that the report reads, and the run directory that they are written to.

The directory is written from the round's document alone, so it can be written again, anywhere, at any time.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from imatgen_flows.candidates.candidate import Candidate
from imatgen_flows.io.artifacts import read_json, read_lines
from imatgen_flows.io.files import write_atomic
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import ModelDocument, ReconstructionDocument, ReferenceDocument, RoundDocument
from imatgen_flows.jobs.hulls import load_hull
from imatgen_flows.jobs.references import SINGLE_POINT
from imatgen_flows.jobs.train import PRIOR_METRICS


def write_run_directory(document: RoundDocument, directory: Path) -> None:
    """Write the files of a run directory, each whole or not at all."""
    from imatgen_flows.candidates.table import candidate_row, write_table

    records = [Candidate(**row) for row in read_lines(document.candidates)]
    rows = [candidate_row(record) for record in records]
    write_table(directory / "candidates.parquet", rows)
    (directory / "structures").mkdir(exist_ok=True)
    for record, row in zip(records, rows, strict=True):
        if record.relaxed is not None:
            write_atomic(directory / "structures" / f"{record.id}.cif", str(row["structure"]))
    write_atomic(directory / "ledger.json", json.dumps(document.ledger, indent=1))
    for name, table in document.tables.items():
        write_atomic(directory / f"{name}.json", json.dumps(read_json(table), indent=1))


def metrics_table(
    models: list[ModelDocument], reconstruction: ReconstructionDocument, records: list[Candidate]
) -> dict[str, Any]:
    """Collect the losses of the networks, the errors of reconstruction, and how many samples decoded cleanly."""
    errors = [row for row in read_lines(reconstruction.errors) if row["path"] == "images" and row["training"]]
    training: dict[str, dict[str, Any]] = {}
    for model in models:
        losses = [row["loss"] for row in read_lines(model.metrics)]
        training[model.role] = {
            "epochs": model.epochs,
            "loss": losses,
            "seconds": model.seconds,
            "preset": model.preset,
            "settings": model.settings,
        }
        if PRIOR_METRICS in model.extra:
            of_prior = read_lines(model.extra[PRIOR_METRICS])
            training["prior"] = {
                "epochs": len(of_prior),
                "loss": [row["loss"] for row in of_prior],
                "seconds": of_prior[-1]["seconds"],
                "preset": model.preset,
            }
    drawn = Counter(record.origin.sampler for record in records)
    clean = Counter(record.origin.sampler for record in records if record.is_clean)
    return {
        "reconstruction": {
            **reconstruction.summaries,
            "errors": {
                "length": [[_finite(value) for value in row["length"]] for row in errors],
                "angle": [[_finite(value) for value in row["angle"]] for row in errors],
                "atom_rmse": [_finite(row["atom_rmse"]) for row in errors],
            },
        },
        "training": training,
        "sampling": {sampler: {"n": drawn[sampler], "clean": clean[sampler]} for sampler in drawn},
    }


def hull_table(references: ReferenceDocument) -> dict[str, Any]:
    """List the phases of the hull, and the references that could not be relaxed."""
    hull = load_hull(references)
    failed = [
        {
            "name": row["name"],
            "formula": structure_of(row).composition.reduced_formula,
            "kind": row["kind"],
            "reason": row["reason"],
        }
        for row in read_lines(references.phases)
        if row["state"] not in ("relaxed", SINGLE_POINT)
    ]
    return {"elements": hull.elements, "potential": hull.potential, "references": hull.table(), "failed": failed}


def _finite(value: float) -> float | None:
    """Replace NaN, which JSON does not have."""
    return value if math.isfinite(value) else None
