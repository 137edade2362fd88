"""Data of the page, as plain values: everything that its scripts plot and list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.schema import COLUMNS, Column
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.errors import InputError
from imatgen_flows.report.compositions import atomic_fraction, choose, compositions_data, lowest
from imatgen_flows.report.crystals import crystal_data
from imatgen_flows.report.documents import Fate, RelaxedRow
from imatgen_flows.report.drawing import DrawingError, element_style, rotation
from imatgen_flows.report.evidence import evidence_filters, evidence_line
from imatgen_flows.report.figures import ERRORS
from imatgen_flows.report.markup import words
from imatgen_flows.report.phonons import phonons_data
from imatgen_flows.report.result_directory import ResultDirectory, crystal_id
from imatgen_flows.report.rounds import rounds_data
from imatgen_flows.report.run_directory import RunDirectory, decode_note, how_made, per_structure, sampler_label

BEST = 10  # new structures shown as cards
DRAWN = 400  # lowest candidates that the table can draw; drawing, symmetry and pattern take about 5 kB of the page
NO_CRYSTAL: dict[str, Any] = {"cell": None, "shortest": None, "drawing": None, "cif": None, "pattern": None}


def page_data(run: RunDirectory) -> dict[str, Any]:
    """Return the data that the scripts of the page of a run plot and list."""
    chosen = choose(run)
    polymorphs = lowest(run, chosen) if chosen else []
    return candidates_data(run, COLUMNS, polymorphs) | {
        "unlike": "neither duplicates nor known, and that plain substitution does not reach",
        "none_new": "This run found no new structure: every relaxed candidate is a duplicate, a known phase, or within "
        "reach of plain substitution.",
        "samplers": {name: sampler_label(name) for name in run.samplers},
        "compositions": compositions_data(run, chosen) if chosen else None,
        "rounds": rounds_data(run),
        "phonons": phonons_data(run),
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


def candidates_data(
    results: ResultDirectory, columns: Iterable[Column], others: Sequence[RelaxedRow] = ()
) -> dict[str, Any]:
    """Return the relaxed candidates and the phases of the hull as plain values.

    Parameters
    ----------
    results : of a run, or of a screening
    columns : of its table
    others : candidates that are drawn besides the lowest
    """
    columns = [column for column in columns if column.on_card]
    drawn = {id(row) for row in (*results.relaxed[:DRAWN], *results.new[:BEST], *others)}
    candidates = [_candidate(results, columns, row, id(row) in drawn) for row in results.relaxed]
    symbols = sorted({symbol for row in candidates for symbol in (row["drawing"] or {}).get("symbols", [])})
    return {
        "name": results.title,
        "scale": results.scale,
        "quantity": results.quantity,
        "system": results.system,
        "threshold": results.threshold,
        "best": BEST,
        "view": rotation().round(6).tolist(),
        "elements": {symbol: element_style(symbol) for symbol in symbols},
        "classes": {novelty.value: novelty.label for novelty in reversed(Novelty)},
        "meaning": {novelty.value: novelty.description for novelty in Novelty},
        "columns": [
            {
                "name": column.name,
                "label": column.label,
                "unit": column.unit,
                "type": column.type,
                "description": column.description,
            }
            for column in columns
        ],
        "candidates": candidates,
        "evidence": evidence_filters(results.relaxed),
        "references": [
            {**_finite(ref), "fraction": ref["fractions"].get(results.system[1], 0.0)}
            for ref in results.hull["references"]
        ],
    }


def _candidate(results: ResultDirectory, columns: Iterable[Column], row: RelaxedRow, draw: bool) -> dict[str, Any]:
    crystal, why = NO_CRYSTAL, "" if draw else f"Drawn are the {DRAWN} candidates of lowest energy."
    try:
        crystal = crystal_data(results.cif(row), row["spacegroup_number"], draw)
    except (DrawingError, InputError) as error:
        why = f"This structure cannot be drawn: {str(error).rstrip('.')}."
    values: dict[str, Any] = dict(row)
    return (
        {column.name: values[column.name] for column in columns}
        | {
            "fraction": atomic_fraction(row["formula"], results.system[1]),
            "made": how_made(row) if "sampler" in row else "",
            "evidence": evidence_line(row),
            "fate": fate(row),
            "decode_note": decode_note(row),
            "crystal": crystal_id(row),
            "not_drawn": why,
        }
        | crystal
    )


def fate(row: Fate) -> str:
    """Return the final state of a sample in words, or where and why it was rejected."""
    if row["state"] != State.REJECTED:
        return State(row["state"]).label
    detail = f" ({row['rejected_detail']})" if row["rejected_detail"] else ""
    return f"Rejected at {Stage(row['rejected_stage']).label.lower()}: {words(row['rejected_reason'])}{detail}"


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in row.items()}
