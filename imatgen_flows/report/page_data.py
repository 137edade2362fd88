"""Data of the page, as plain values: everything that its scripts plot and list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.formulas import atomic_fraction
from imatgen_flows.candidates.funnel import fate
from imatgen_flows.candidates.schema import COLUMNS, Column
from imatgen_flows.errors import InputError
from imatgen_flows.plots.style import PALETTE, SAMPLER_SYMBOLS
from imatgen_flows.report.compositions import choose, compositions_data, lowest
from imatgen_flows.report.crystal_data import crystal_data
from imatgen_flows.report.documents import RelaxedRow
from imatgen_flows.report.drawing import DrawingError, element_style, rotation
from imatgen_flows.report.evidence import evidence_filters, evidence_line
from imatgen_flows.report.interactive import hull_plot, run_plots
from imatgen_flows.report.result_directory import ResultDirectory, crystal_id
from imatgen_flows.report.rounds import rounds_data
from imatgen_flows.report.run_directory import RunDirectory, decode_note, how_made, sampler_label

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
        "plots": run_plots(run),
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
        "palette": {name: [each.light, each.dark] for name, each in PALETTE.items()},
        "sampler_symbols": SAMPLER_SYMBOLS,
        "plots": [hull_plot(results)],
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
