"""Data of the page, as plain values: everything that its scripts plot and list."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.schema import COLUMNS
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.errors import InputError
from imatgen_flows.report.compositions import atomic_fraction, choose, compositions_data, lowest
from imatgen_flows.report.documents import Fate, RelaxedRow
from imatgen_flows.report.drawing import DrawingError, element_style, rotation, scene
from imatgen_flows.report.figures import ERRORS
from imatgen_flows.report.markup import words
from imatgen_flows.report.rounds import rounds_data
from imatgen_flows.report.run_directory import RunDirectory, crystal_id, how_made, per_structure, sampler_label

BEST = 10  # new structures shown as cards
DRAWN = 400  # lowest candidates that the table can draw; a drawing takes about 5 kB of the page


def page_data(run: RunDirectory) -> dict[str, Any]:
    """Return the data that the scripts of the page plot and list."""
    chosen = choose(run)
    polymorphs = lowest(run, chosen) if chosen else []
    drawn = {id(row) for row in (*run.relaxed[:DRAWN], *run.new[:BEST], *polymorphs)}
    candidates = [_candidate(run, row, id(row) in drawn) for row in run.relaxed]
    symbols = sorted({symbol for row in candidates for symbol in (row["drawing"] or {}).get("symbols", [])})
    return {
        "name": run.title,
        "scale": run.scale,
        "quantity": run.quantity,
        "system": run.system,
        "threshold": run.threshold,
        "best": BEST,
        "view": rotation().round(6).tolist(),
        "elements": {symbol: element_style(symbol) for symbol in symbols},
        "samplers": {name: sampler_label(name) for name in run.samplers},
        "classes": {novelty.value: novelty.label for novelty in reversed(Novelty)},
        "columns": [
            {"name": column.name, "label": column.label, "unit": column.unit, "type": column.type}
            for column in COLUMNS
            if column.on_card
        ],
        "candidates": candidates,
        "compositions": compositions_data(run, chosen) if chosen else None,
        "rounds": rounds_data(run),
        "references": [
            {**_finite(ref), "fraction": ref["fractions"].get(run.system[1], 0.0)} for ref in run.hull["references"]
        ],
        "explained": run.latent.get("explained") or [],
        "training": [_finite(row) for row in run.latent["training"]],
        "samples": [
            [row["sample"], row["sampler"], row["latent_x"], row["latent_y"], row["formula"], fate(row)]
            for row in run.mapped
        ],
        "errors": [
            {
                "title": title,
                "unit": unit,
                "tolerance": tolerance,
                "values": per_structure(run.reconstruction_errors.get(key)),
            }
            for key, title, unit, tolerance in ERRORS
        ],
    }


def _candidate(run: RunDirectory, row: RelaxedRow, draw: bool) -> dict[str, Any]:
    cif, drawing, why = "", None, "" if draw else f"Drawn are the {DRAWN} candidates of lowest energy."
    try:
        cif = run.cif(row)
        if draw:
            drawing = scene(cif).to_dict()
    except (DrawingError, InputError) as error:
        why = f"This structure cannot be drawn: {str(error).rstrip('.')}."
    values: dict[str, Any] = dict(row)
    return {column.name: values[column.name] for column in COLUMNS if column.on_card} | {
        "fraction": atomic_fraction(row["formula"], run.system[1]),
        "made": how_made(row),
        "fate": fate(row),
        "crystal": crystal_id(row),
        "cif": cif,
        "drawing": drawing,
        "not_drawn": why,
    }


def fate(row: Fate) -> str:
    """Return the final state of a sample in words, or where and why it was rejected."""
    if row["state"] != State.REJECTED:
        return State(row["state"]).label
    detail = f" ({row['rejected_detail']})" if row["rejected_detail"] else ""
    return f"Rejected at {Stage(row['rejected_stage']).label.lower()}: {words(row['rejected_reason'])}{detail}"


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in row.items()}
