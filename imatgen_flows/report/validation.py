"""The report's section on the validation of the shortlist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow.compute as pc
from markupsafe import Markup

from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.energetics.backends import BACKENDS, NONE
from imatgen_flows.report.documents import CandidateRow
from imatgen_flows.report.markup import render
from imatgen_flows.report.run_directory import RunDirectory


def validation_section(run: RunDirectory) -> Markup:
    """Write the results of the candidates that were sent to validation; empty where none were to be."""
    backend = str((run.campaign.get("validate") or {}).get("backend", NONE))
    sent = run.rows(_is_sent())
    if backend == NONE and not sent:
        return Markup()
    validated = [row for _, row in sorted(_distances(sent), key=lambda pair: (pair[0], pair[1]["sample"]))]
    refused = [row for row in sent if row["rejected_stage"] == Stage.VALIDATE]
    details = {row["rejected_reason"]: row["rejected_detail"] for row in reversed(refused)}
    reasons = Counter(row["rejected_reason"] for row in refused)
    apart = [
        abs(distance - row["e_above_hull"]) for distance, row in _distances(sent) if row["e_above_hull"] is not None
    ]
    return render(
        "validation",
        run=run,
        backend=BACKENDS[backend].report_name if backend in BACKENDS else "another method",
        validated=validated,
        refused=len(refused),
        # of the shortlist only so many are sent, the lowest first
        waiting=run.table.filter((pc.field("state") == State.SHORTLISTED.value) & ~_is_sent()).num_rows,
        spent=sum(row["validation_evaluations"] for row in (*validated, *refused)),
        scales=sorted({row["validated_scale"] for row in validated}),
        difference=sum(apart) / max(1, len(apart)),
        notes=_notes(validated),
        reasons=[(reason, number, details[reason] or "") for reason, number in reasons.most_common()],
    )


def _is_sent() -> pc.Expression:
    """Build the condition that a candidate was sent to validation, whatever came of it."""
    refused = pc.field("rejected_stage") == Stage.VALIDATE.value
    return pc.field("validated_e_above_hull").is_valid() | refused | (pc.field("validation_evaluations") > 0)


def _distances(rows: Sequence[CandidateRow]) -> list[tuple[float, CandidateRow]]:
    """Pair the validated rows with their E_hull of the validation."""
    return [(distance, row) for row in rows if (distance := row["validated_e_above_hull"]) is not None]


def _notes(rows: Sequence[CandidateRow]) -> dict[str, list[str]]:
    """Collect what must be known of energies: each note once, with the formulas that it concerns."""
    noted: dict[str, list[str]] = {}
    for row in rows:
        if note := row.get("validated_note"):
            noted.setdefault(note, []).append(row["formula"])
    return noted
