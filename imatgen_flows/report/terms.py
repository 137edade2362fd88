"""The words of the page, explained: all from the lists of the program that declare them."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from imatgen_flows.candidates.classes import CommitteeVerdict, Novelty
from imatgen_flows.candidates.schema import Column
from imatgen_flows.candidates.states import State
from imatgen_flows.models.registry import SAMPLERS
from imatgen_flows.report.markup import render
from imatgen_flows.report.result_directory import ResultDirectory
from imatgen_flows.sources.registry import SOURCES

USED = ("committee", "source", "sampler")  # columns whose values are terms


def terms_section(results: ResultDirectory, columns: Iterable[Column]) -> Markup:
    """Explain states, classes, sources and columns; those of a committee or of a sampler where the results have any.

    Parameters
    ----------
    results : of a run, or of a screening
    columns : of its table
    """
    named = {
        name: set(results.table[name].to_pylist()) if name in results.table.column_names else set() for name in USED
    }
    groups = {
        "How far a sample came": [(state.label, state.description) for state in State],
        "Novelty": [(novelty.label, novelty.description) for novelty in reversed(Novelty)],
        "Committee": [
            (verdict.label, verdict.description) for verdict in CommitteeVerdict if verdict.value in named["committee"]
        ],
        "Sources": [(entry.label, entry.description) for entry in SOURCES if entry.name in named["source"]]
        + [(entry.label, entry.description) for entry in SAMPLERS if entry.name in named["sampler"]],
        "Columns": [(column.label, column.description) for column in columns if column.on_card],
    }
    return render("terms", groups={heading: rows for heading, rows in groups.items() if rows})
