"""The tables of a round that the report reads, and the run directory that they are written to.

The directory is written from the round's document alone, so it can be written again, anywhere, at any time.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.states import Geometry
from imatgen_flows.candidates.table import count_by
from imatgen_flows.io.artifacts import read_json, read_lines
from imatgen_flows.io.files import write_atomic
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures, read_candidates
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import (
    CandidatesDocument,
    ModelDocument,
    ReconstructionDocument,
    ReferenceDocument,
    RoundDocument,
)
from imatgen_flows.jobs.hulls import load_hull
from imatgen_flows.jobs.references import has_failed
from imatgen_flows.jobs.train import PRIOR_METRICS
from imatgen_flows.sources.registry import GENERATOR

if TYPE_CHECKING:
    import pyarrow

    from imatgen_flows.energetics.hull import Hull


OPTIONAL_TABLES = {"committee", "phonons"}  # that a run has where its campaign asks for them


def write_run_directory(document: RoundDocument, directory: Path) -> None:
    """Write the files of a run directory, each whole or not at all."""
    from imatgen_flows.candidates.table import write_table

    write_table(directory / "candidates.parquet", read_candidates(document.candidates))
    (directory / "structures").mkdir(exist_ok=True)
    for geometry in (Geometry.RELAXED, Geometry.FOLLOWED, Geometry.VALIDATED):
        structures = candidate_structures(document.candidates, geometry)
        for row in candidate_rows(document.candidates, [geometry.id_column], structures):
            content = structures[str(row["sample"])].to(fmt="cif")
            write_atomic(directory / "structures" / f"{row[geometry.id_column]}.cif", content)
    for name in OPTIONAL_TABLES - document.tables.keys():  # of a campaign that once asked for more
        (directory / f"{name}.json").unlink(missing_ok=True)
    write_atomic(directory / "ledger.json", json.dumps(document.ledger, indent=1))
    for name, table in document.tables.items():
        write_atomic(directory / f"{name}.json", json.dumps(read_json(table), indent=1))


def committee_table(candidates: CandidatesDocument, previous: RoundDocument | None) -> dict[str, Any]:
    """Return the votes of this round and of those before it, with the members as they are now."""
    table: dict[str, Any] = read_json(candidates.extra["committee"])
    before = previous.tables.get("committee") if previous else None
    return table | {"votes": (read_json(before)["votes"] if before else []) + table["votes"]}


def phonons_table(candidates: CandidatesDocument, previous: RoundDocument | None) -> dict[str, Any]:
    """Return the phonons of this round and of those before it; bands and densities are rounded to what a plot shows."""
    before = previous.tables.get("phonons") if previous else None
    crystals = read_json(before)["crystals"] if before else []
    for row in read_lines(candidates.extra["phonons"]):
        if (followed := row["followed"]) and followed["phonons"]:
            row["followed"] = followed | {"phonons": _for_a_plot(followed["phonons"])}
        crystals.append(_for_a_plot(row))
    return {"crystals": crystals}


def _for_a_plot(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: _rounded(row[name]) for name in ("bands", "density")}


def _rounded(value: Any) -> Any:
    """Round the numbers within lists and dictionaries to what a plot can show."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 3) if isinstance(value, float) else value


def metrics_table(
    models: list[ModelDocument], reconstruction: ReconstructionDocument | None, drawn: pyarrow.Table
) -> dict[str, Any]:
    """Collect the losses of the networks, the errors of reconstruction, and how many samples decoded cleanly."""
    import pyarrow.compute as pc

    rows = read_lines(reconstruction.errors) if reconstruction else []
    errors = [row for row in rows if row["path"] == "images" and row["training"]]
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
    # other sources decode nothing; rows from before there were sources have none
    counted = count_by(drawn.filter(pc.field("source").isin([GENERATOR, ""])), "sampler", "clean")
    samplers = dict.fromkeys(sampler for sampler, _ in counted)
    return {
        "reconstruction": {
            **(reconstruction.summaries if reconstruction else {}),
            "errors": {
                "length": [[_finite(value) for value in row["length"]] for row in errors],
                "angle": [[_finite(value) for value in row["angle"]] for row in errors],
                "atom_rmse": [_finite(row["atom_rmse"]) for row in errors],
            },
        },
        "training": training,
        "sampling": {
            sampler: {
                "n": sum(number for (name, _), number in counted.items() if name == sampler),
                "clean": counted.get((sampler, True), 0),
            }
            for sampler in samplers
        },
    }


def hull_table(references: ReferenceDocument) -> dict[str, Any]:
    """List the phases of the hull of a document; see `phase_table`."""
    return phase_table(load_hull(references), read_lines(references.phases))


def phase_table(hull: Hull, phases: list[dict[str, Any]]) -> dict[str, Any]:
    """List the phases of a hull, and the references that could not be relaxed: the content of hull.json."""
    failed = [
        {
            "name": row["name"],
            "formula": structure_of(row).composition.reduced_formula,
            "kind": row["kind"],
            "reason": row["reason"],
        }
        for row in phases
        if has_failed(row)
    ]
    return {"elements": hull.elements, "potential": hull.potential, "references": hull.table(), "failed": failed}


def _finite(value: float) -> float | None:
    """Replace NaN, which JSON does not have."""
    return value if math.isfinite(value) else None
