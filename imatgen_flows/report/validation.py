"""What validation said of the shortlist: the report's section."""

from __future__ import annotations

from collections import Counter
from html import escape

from imatgen_flows.report.markup import energy, formula, plural, spacegroup, words
from imatgen_flows.report.run_directory import Row, RunDirectory

BACKENDS = {
    "vasp-mp-gga": "DFT (VASP, PBE+U as the Materials Project runs it)",
    "vasp-mp24": "DFT (VASP, r²SCAN as the Materials Project runs it)",
    "force-field": "a second force field",
}


def validation_section(run: RunDirectory) -> str:
    """Write what became of the candidates that were to be validated; empty where none were."""
    settings = run.campaign.get("validate") or {}
    sent = [row for row in run.candidates if _is_sent(row)]
    if settings.get("backend", "none") == "none" and not sent:
        return ""
    judged = sorted(
        (row for row in sent if row["validated_e_above_hull"] is not None),
        key=lambda row: (row["validated_e_above_hull"], row["sample"]),
    )
    refused = [row for row in sent if row["rejected_stage"] == "validate"]
    # of the shortlist only so many are sent, the lowest first
    waiting = sum(row["state"] == "shortlisted" and not _is_sent(row) for row in run.candidates)
    return (
        f"<section id=validation><h2>Validation</h2><p class=caption>{_counts(run, settings, judged, refused, waiting)}</p>"
        f"<div class=tables>{_judged(run, judged)}{_refused(refused)}</div></section>"
    )


def _is_sent(row: Row) -> bool:
    touched = row["validated_e_above_hull"] is not None or row["rejected_stage"] == "validate"
    return touched or row["validation_evaluations"] > 0


def _counts(run: RunDirectory, settings: Row, judged: list[Row], refused: list[Row], waiting: int) -> str:
    spent = sum(row["validation_evaluations"] for row in (*judged, *refused))
    scales = sorted({row["validated_scale"] for row in judged})
    by = BACKENDS.get(str(settings.get("backend")), "another method")
    text = f"The lowest of the shortlist went to {by}: {len(judged):,} validated, {len(refused):,} refused"
    text += f", and {waiting:,} shortlisted but not sent" if waiting else ""
    text += f"; {spent:,} ionic step{plural(spent)} in all." if spent else "."
    if not judged:
        return text
    apart = sum(abs(row["validated_e_above_hull"] - row["e_above_hull"]) for row in judged) / len(judged)
    return (
        f"{text} Each <i>E</i><sub>hull</sub> is on the hull of its own scale; the mean absolute difference between those by "
        f"{escape(run.scale)} and by {escape(', '.join(scales))} is {apart:.3f} eV/atom."
    )


def _judged(run: RunDirectory, rows: list[Row]) -> str:
    if not rows:
        return ""
    hull = "<i>E</i><sub>hull</sub>"
    lines = "".join(
        f'<tr data-id="{escape(row["id"])}"><td>{formula(row["formula"])}</td>'
        f"<td>{spacegroup(row['spacegroup'])} <small>({row['spacegroup_number']})</small></td>"
        f"<td class=num>{energy(row['e_above_hull'])}</td><td class=num>{energy(row['validated_e_above_hull'])}</td>"
        f"<td>{escape(row['validated_scale'])}</td><td class=num>{row['validation_evaluations']:,}</td>"
        f"<td>{words(row['novelty'])}</td><td><code>{escape(row['id'])}</code></td></tr>"
        for row in rows
    )
    return (
        "<div class=scroll><table class=judged><thead><tr><th>Formula</th><th>Space group</th>"
        f"<th class=num>{hull}, {escape(run.scale)} (eV/atom)</th><th class=num>{hull}, validated (eV/atom)</th>"
        "<th>Scale of that</th><th class=num>Ionic steps</th><th>Novelty</th><th>Id</th></tr></thead>"
        f"<tbody>{lines}</tbody></table></div>{_notes(rows)}"
    )


def _notes(rows: list[Row]) -> str:
    """What must be known of energies, each note once."""
    noted: dict[str, list[str]] = {}
    for row in rows:
        if row["validated_note"]:
            noted.setdefault(row["validated_note"], []).append(formula(row["formula"]))
    return "".join(f"<p class=note>{', '.join(names)}: {escape(note)}.</p>" for note, names in noted.items())


def _refused(rows: list[Row]) -> str:
    if not rows:
        return ""
    reasons = Counter(row["rejected_reason"] for row in rows)
    details = {row["rejected_reason"]: row["rejected_detail"] for row in reversed(rows)}
    lines = "".join(
        f"<tr><td>{words(reason)}</td><td class=num>{count:,}</td><td class=why>{escape(details[reason] or '')}</td></tr>"
        for reason, count in reasons.most_common()
    )
    return (
        "<table class=refused><thead><tr><th>Refused because</th><th class=num>Candidates</th>"
        f"<th>For example</th></tr></thead><tbody>{lines}</tbody></table>"
    )
