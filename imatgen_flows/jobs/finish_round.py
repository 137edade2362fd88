"""The end of a round: the ledger, checked, and the run directory that people and the report read.

The directory is written from the round's document alone, so it can be written again, anywhere, at any time.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from imatgen_flows.candidates.candidate import Candidate
from imatgen_flows.candidates.states import State
from imatgen_flows.io.artifacts import ArtifactStore, read_json, read_lines
from imatgen_flows.io.files import write_atomic
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidates import load_candidates
from imatgen_flows.jobs.documents import (
    CandidatesDocument,
    DatasetDocument,
    JobDocument,
    LabelDocument,
    ModelDocument,
    ReconstructionDocument,
    ReferenceDocument,
    RoundDocument,
)
from imatgen_flows.jobs.energies import load_hull
from imatgen_flows.jobs.models import PRIOR
from imatgen_flows.jobs.references import PRICED


@cached_job(RoundDocument)
def finish_round(
    store: ArtifactStore,
    scratch: Path,
    *,
    samples: int,
    dataset: DatasetDocument,
    published: ReferenceDocument,
    labels: LabelDocument,
    references: ReferenceDocument,
    models: list[ModelDocument],
    reconstruction: ReconstructionDocument,
    candidates: CandidatesDocument,
    round_number: int,
    calculated: ReferenceDocument | None = None,
    previous: RoundDocument | None = None,
) -> dict[str, Any]:
    """Check the books of this round and of all so far, and gather what the run directory shows.

    Labels and references are paid for in the first round; `previous` holds what the rounds before this one came to.
    """
    records = load_candidates(candidates)
    spending: list[JobDocument] = [*models, reconstruction, candidates]
    if previous is None:
        spending += [dataset, published, labels, references, *([calculated] if calculated else [])]
    ledger = _ledger(records, samples, spending)
    ledger.check(evaluations=_evaluations_on_record(records, None if previous else labels, references, calculated))
    gain = _gain(records, round_number, ledger)
    history, everything = [], [record.model_dump(mode="json") for record in records]
    if previous:
        history = read_json(previous.tables["rounds"])["rounds"]
        everything = read_lines(previous.candidates) + everything
        ledger = ledger.from_dict(previous.ledger).merge(ledger)
        ledger.check(total=sum(row["evaluations"] for row in (*history, gain)))
        records = [Candidate(**row) for row in everything]
    tables: dict[str, Any] = {
        "metrics": _metrics(models, reconstruction, records) | {"notes": [labels.note] if labels.note else []},
        "hull": _hull(references),
        "dataset": {"counts": dataset.counts, "labels": labels.counts, "exclusions": read_lines(dataset.exclusions)},
        "rounds": {"rounds": [*history, gain]},
    }
    return {
        "round": round_number,
        "candidates": store.put_lines("candidates", everything),
        "ledger": ledger.to_dict(),
        "tables": {name: store.put_json(name, table) for name, table in tables.items()}
        | {"latent": candidates.extra["latent_map"]},
        "seed": candidates.seed,
    }


def write_run_directory(document: RoundDocument, directory: Path) -> None:
    """Write the files of a run directory, each whole or not at all."""
    records = [Candidate(**row) for row in read_lines(document.candidates)]
    rows = [_flat(record) for record in records]
    _write_table(directory / "candidates.parquet", rows)
    (directory / "structures").mkdir(exist_ok=True)
    for record, row in zip(records, rows, strict=True):
        if record.relaxed is not None:
            write_atomic(directory / "structures" / f"{record.id}.cif", row["structure"])
    write_atomic(directory / "ledger.json", json.dumps(document.ledger, indent=1))
    for name, table in document.tables.items():
        write_atomic(directory / f"{name}.json", json.dumps(read_json(table), indent=1))


def _ledger(records: list[Candidate], samples: int, stages: list[JobDocument]) -> Any:
    """Count every sample into its one state, and every evaluation to its purpose as the stages report it."""
    from imatgen_flows.candidates.ledger import Ledger

    ledger = Ledger(samples=samples)
    for record in records:
        rejection = record.rejection
        ledger.count(record.state.value, *((rejection.stage.value, rejection.reason) if rejection else ()))
    for document in stages:
        for purpose, number in document.evaluations.items():
            ledger.spend(purpose, number)
    return ledger


def _gain(records: list[Candidate], round_number: int, ledger: Any) -> dict[str, Any]:
    """What a round has brought, and what it cost."""
    relaxed = [record for record in records if record.energies]
    new = [record for record in relaxed if record.novelty == "new"]
    # the potential's: DFT's are on another scale, and only a few have them
    distances = sorted(record.energies[0].e_above_hull for record in new)
    return {
        "round": round_number,
        "samples": len(records),
        "relaxed": len(relaxed),
        "new": len(new),
        "shortlisted": sum(record.state in (State.SHORTLISTED, State.VALIDATED) for record in records),
        "within_0.1": sum(distance <= 0.1 for distance in distances),
        "best_e_above_hull": distances[0] if distances else None,
        "evaluations": ledger.evaluations.total(),
    }


def _evaluations_on_record(
    records: list[Candidate],
    labels: LabelDocument | None,
    references: ReferenceDocument,
    calculated: ReferenceDocument | None,
) -> dict[str, int]:
    """Count the evaluations a second time, from the records of what they were spent on."""
    counted = {
        "screen": sum(record.evaluations for record in records),
        "validate": sum(record.validation_evaluations for record in records),
    }
    if labels:
        counted["labels"] = sum(row["evaluations"] for row in read_lines(labels.labels))
        counted["references"] = sum(row["evaluations"] for row in read_lines(references.phases))
    if labels and calculated:
        counted["validate references"] = sum(row["evaluations"] for row in read_lines(calculated.phases))
    return counted


def _flat(record: Candidate) -> dict[str, Any]:
    """One row of the table for people."""
    from pymatgen.core import Structure

    latest = record.validated or record.relaxed or record.structure
    structure = Structure.from_dict(latest) if latest else None
    # the potential's, for every candidate alike: a hull of another scale is another column
    energy = record.energies[0] if record.energies else None
    judged = record.energies[1] if len(record.energies) > 1 else None
    rejection = record.rejection
    return {
        "sample": record.sample,
        "id": record.id,
        "round": record.round,
        "method": record.origin.method,
        "parents": record.origin.parents,
        "seed": record.origin.seed,
        "latent_x": record.origin.x,
        "latent_y": record.origin.y,
        "state": record.state.value,
        "rejected_stage": rejection.stage.value if rejection else "",
        "rejected_reason": rejection.reason if rejection else "",
        "rejected_detail": rejection.detail if rejection else "",
        "formula": structure.composition.reduced_formula if structure else "",
        "nsites": len(structure) if structure else 0,
        "residual": record.decode_quality["residual"],
        "count_matches": record.decode_quality["count_matches"],
        "min_distance": record.decode_quality["min_distance"],
        "repaired": len(record.repaired),
        "energy_per_atom": energy.energy_per_atom if energy else None,
        "formation_energy": energy.formation_energy if energy else None,
        "e_above_hull": energy.e_above_hull if energy else None,
        "scale": energy.scale if energy else "",
        "validated_e_above_hull": judged.e_above_hull if judged else None,
        "validated_formation_energy": judged.formation_energy if judged else None,
        "validated_scale": judged.scale if judged else "",
        "validated_note": judged.note if judged else "",
        "validation_evaluations": record.validation_evaluations,
        "spacegroup": record.spacegroup[0],
        "spacegroup_number": record.spacegroup[1],
        "novelty": record.novelty,
        "novelty_match": record.novelty_match,
        "evaluations": record.evaluations,
        "steps": energy.steps if energy else 0,
        "volume_per_atom": structure.volume / len(structure) if structure else None,
        "structure": structure.to(fmt="cif") if structure else "",
    }


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    import os

    import pyarrow
    from pyarrow import parquet

    temporary = path.with_name(f".{path.name}")
    parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)
    os.replace(temporary, path)


def _metrics(
    models: list[ModelDocument], reconstruction: ReconstructionDocument, records: list[Candidate]
) -> dict[str, Any]:
    errors = [row for row in read_lines(reconstruction.errors) if row["path"] == "images" and row["training"]]
    training = {}
    for model in models:
        history = read_lines(model.metrics)
        training[model.role] = {
            "epochs": model.epochs,
            "loss": [row["loss"] for row in history],
            "seconds": model.seconds,
            "preset": model.preset,
            "settings": model.settings,
        }
        if PRIOR in model.extra:
            rows = read_lines(model.extra[PRIOR])
            training["prior"] = {
                "epochs": len(rows),
                "loss": [row["loss"] for row in rows],
                "seconds": rows[-1]["seconds"],
                "preset": model.preset,
            }
    drawn = Counter(record.origin.method for record in records)
    clean = Counter(record.origin.method for record in records if record.is_clean)
    return {
        "reconstruction": {
            **reconstruction.summaries,
            "errors": {
                "length": [[_number(value) for value in row["length"]] for row in errors],
                "angle": [[_number(value) for value in row["angle"]] for row in errors],
                "atom_rmse": [_number(row["atom_rmse"]) for row in errors],
            },
        },
        "training": training,
        "sampling": {method: {"n": drawn[method], "clean": clean[method]} for method in drawn},
    }


def _number(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if math.isfinite(value) else None


def _hull(references: ReferenceDocument) -> dict[str, Any]:
    from pymatgen.core import Structure

    hull = load_hull(references)
    failed = [
        {
            "name": row["name"],
            "formula": Structure.from_dict(row["structure"]).composition.reduced_formula,
            "kind": row["kind"],
            "reason": row["reason"],
        }
        for row in read_lines(references.phases)
        if row["state"] not in ("relaxed", PRICED)
    ]
    return {"elements": hull.elements, "potential": hull.potential, "references": hull.table(), "failed": failed}
