"""What of a finished run is put beside that of another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.states import Geometry
from imatgen_flows.io.artifacts import read_json
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures
from imatgen_flows.jobs.provenance import PROVENANCE_FILE, SETTINGS_KEY, finished_round

if TYPE_CHECKING:
    from imatgen_flows.metrics.run_differences import RunFacts


def run_facts(run: Path) -> RunFacts:
    """Read what is compared of a finished run.

    Parameters
    ----------
    run : the run directory

    Raises
    ------
    InputError
        Where the run is not finished, or its artifacts were deleted.
    """
    from imatgen_flows.metrics.run_comparison import flat_settings
    from imatgen_flows.metrics.run_differences import Find, RunFacts

    finished, record = finished_round(run), json.loads((run / PROVENANCE_FILE).read_text(encoding="utf-8"))
    columns = ["relaxed_id", "formula", "spacegroup", "e_above_hull", "novelty"]
    rows = [
        row
        for row in candidate_rows(finished.candidates, columns)
        if row["novelty"] == Novelty.NEW and row["e_above_hull"] is not None
    ]
    finds = [
        Find(
            sample=str(row["sample"]),
            id=str(row["relaxed_id"]),
            formula=str(row["formula"]),
            spacegroup=str(row["spacegroup"]),
            e_above_hull=cast("float", row["e_above_hull"]),
        )
        for row in rows
    ]
    finds.sort(key=lambda find: (find.e_above_hull, find.sample))
    hull = read_json(finished.tables["hull"])
    return RunFacts(
        name=f"{record.get('name') or '-'.join(record['system'])} ({run})",
        settings=flat_settings(record.get(SETTINGS_KEY) or {}),
        versions=record.get("versions") or {},
        scale=str(hull["potential"]),
        phases=frozenset(phase["name"] for phase in hull["references"]),
        counts=finished.ledger["funnel"],
        evaluations=finished.ledger["evaluations"],
        seconds=record.get("seconds") or {},
        finds=tuple(finds),
        structures=candidate_structures(finished.candidates, Geometry.RELAXED, [find.sample for find in finds]),
    )
