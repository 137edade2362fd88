"""The report: one HTML file that shows a finished run and fetches nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml
from markupsafe import Markup

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.registry import DEFAULT_CHARGE_CHECK
from imatgen_flows.candidates.schema import COLUMNS
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.candidates.table import count_by
from imatgen_flows.metrics.statistics import rate_interval
from imatgen_flows.report.composition_classes import classes_section
from imatgen_flows.report.compositions import choose
from imatgen_flows.report.evidence import evidence_section
from imatgen_flows.report.figures import draw_figures
from imatgen_flows.report.learning import reconstruction_section
from imatgen_flows.report.markup import count, duration, plural, render, words
from imatgen_flows.report.methods import methods_paragraph
from imatgen_flows.report.page import hull_section, plain, when, write_page
from imatgen_flows.report.page_data import page_data
from imatgen_flows.report.phonons import phonons_section
from imatgen_flows.report.rounds import rounds_section
from imatgen_flows.report.run_directory import RunDirectory, sampler_label
from imatgen_flows.report.sources import sources_section
from imatgen_flows.report.terms import terms_section
from imatgen_flows.report.vacancies import vacancies_section
from imatgen_flows.report.validation import validation_section


def build_report(run_dir: str | Path) -> Path:
    """Write the figures and `report.html` of a finished run.

    Parameters
    ----------
    run_dir : a finished run directory

    Returns
    -------
    the HTML file; it holds plotly.js and all data, and its content security policy forbids any connection

    Raises
    ------
    InputError
        Where the directory is no finished run, or cannot be written to.
    """
    run = RunDirectory.open(run_dir)
    draw_figures(run)
    sections = {name: (link, section(run)) for name, (link, section) in SECTIONS.items()}
    return write_page(run, _header(run), _headline(run), sections, page_data(run))


def _header(run: RunDirectory) -> Markup:
    seconds = sum((run.provenance.get("seconds") or {}).values())
    rounds = len(count_by(run.table, "round"))
    facts = [
        "–".join(run.system),
        run.scale,
        f"{rounds} round{'s' if rounds != 1 else ''}",
        f"seed {run.provenance['seed']}" if "seed" in run.provenance else "",
        f"finished {when(run.provenance['finished'])}" if run.provenance.get("finished") else "",
        f"{duration(seconds)} of computing" if seconds else "",
    ]
    return render(
        "header",
        run=run,
        facts=[fact for fact in facts if fact],
        entered=f"{count(run.table.num_rows)} sample{plural(run.table.num_rows)}",
        none_new="all are duplicates, known phases, or within reach of plain substitution",
        relaxed=len(run.relaxed),
        new=len(run.new),
        near=run.near,
        best=run.new[0] if run.new else None,
    )


def _headline(run: RunDirectory) -> Markup:
    return render(
        "headline",
        run=run,
        entered=run.table.num_rows,
        what="samples drawn",
        relaxed=len(run.relaxed),
        unseen=sum(row["novelty"] in (Novelty.NEW, Novelty.SUBSTITUTED) for row in run.relaxed),
        new=len(run.new),
        out_of_reach="out of reach of substitution",
        near=run.near,
        clean=_clean(run),
        spent=sum(run.evaluations.values()),
    )


def _clean(run: RunDirectory) -> int | None:
    """Count the new candidates that decoded cleanly; None where none was decoded from an image."""
    decoded = [row for row in run.new if row.get("residual") is not None]
    known = [clean for row in decoded if (clean := row.get("clean")) is not None]
    return sum(known) if known else None


def _funnel(run: RunDirectory) -> Markup:
    steps = run.funnel()
    drawn = max(1, steps[0].total)
    rows = []
    for step in steps:
        low, high = rate_interval(step.total, drawn)
        rows.append(
            {
                "state": step.state,
                "bars": [(sampler_label(name), number, 100 * number / drawn) for name, number in step.reached.items()],
                "total": step.total,
                "share": 100 * step.total / drawn,
                "low": 100 * low,
                "high": 100 * high,
                "left": sum(step.left.values()),
                "reasons": [(reason, number) for (_, reason), number in step.left.items()],
            }
        )
    legend = [(sampler_label(name), steps[0].reached[name]) for name in run.samplers]
    balance = count_by(run.table, "charge_balanced")
    charge = (run.campaign.get("validity") or {}).get("charge", DEFAULT_CHARGE_CHECK)
    return render(
        "funnel",
        run=run,
        legend=legend,
        rows=rows,
        unbalanced=balance.get((False,), 0),
        decoded=balance.get((False,), 0) + balance.get((True,), 0),
        charge=charge,
    )


def _compositions(run: RunDirectory) -> Markup:
    return render("compositions", run=run, chosen=choose(run))


def _candidates(run: RunDirectory) -> Markup:
    scales = {row["validated_scale"] for row in run.relaxed if row["validated_e_above_hull"] is not None}
    return render("candidates", run=run, scales=sorted(scales))


def _ledger(run: RunDirectory) -> Markup:
    ended = count_by(run.table, "state", "rejected_stage")
    names = {(State.REJECTED.value, stage.value): f"Rejected at {stage.label.lower()}" for stage in Stage}
    names |= {(state.value, ""): state.label for state in State.ordered()}
    return render(
        "ledger",
        head=["Final state", "Samples"],
        samples=[[name, count(ended[key])] for key, name in names.items() if key in ended],
        total=count(run.table.num_rows),
        evaluations=[[words(purpose), count(number)] for purpose, number in run.evaluations.items()],
        spent=count(sum(run.evaluations.values())),
    )


def _methods(run: RunDirectory) -> Markup:
    return render("methods", paragraphs=methods_paragraph(run).split("\n\n"))


def _provenance(run: RunDirectory) -> Markup:
    record = run.provenance
    facts = {
        "Campaign": record.get("campaign"),
        "Seed": record.get("seed"),
        "Potential": record.get("potential"),
        "Started": record.get("started"),
        "Finished": record.get("finished"),
        "Hardware": record.get("hardware"),
    }
    seconds = record.get("seconds") or {}
    return render(
        "provenance",
        facts=[[label, plain(value)] for label, value in facts.items() if value not in (None, "")],
        jobs=[[words(job), duration(time)] for job, time in seconds.items()],
        seconds=sum(seconds.values()),
        versions=list((record.get("versions") or {}).items()),
        subject="Run",
        record="campaign.yaml, as resolved",
        content=yaml.safe_dump(dict(run.campaign), sort_keys=False, allow_unicode=True),
    )


def _latent(run: RunDirectory) -> Markup:
    if not run.latent["training"]:  # the generator is no source of the campaign
        return Markup()
    return render("latent", shown=len(run.mapped), drawn=run.on_map.num_rows)


def _fixed(template: str) -> Callable[[RunDirectory], Markup]:
    return lambda run: render(template, run=run)


# id of a section -> its link at the top of the page (none where that is empty), and what writes it: first what was found,
# then how it came about
SECTIONS: dict[str, tuple[str, Callable[[RunDirectory], Markup]]] = {
    "best": ("Best structures", _fixed("best")),
    "hull": ("Hull", lambda run: hull_section(run, funnel=True)),
    "compositions": ("Compositions", _compositions),
    "evidence": ("Evidence", evidence_section),
    "phonons": ("Phonons", phonons_section),
    "validation": ("Validation", validation_section),
    "candidates": ("Candidates", _candidates),
    "funnel": ("Funnel", _funnel),
    "classes": ("", classes_section),
    "rounds": ("Rounds", rounds_section),
    "sources": ("Sources", sources_section),
    "vacancies": ("Vacancies", lambda run: vacancies_section(run.path)),
    "latent": ("Latent space", _latent),
    "reconstruction": ("Reconstruction", reconstruction_section),
    "ledger": ("Ledger", _ledger),
    "terms": ("Terms", lambda run: terms_section(run, COLUMNS)),
    "methods": ("Methods", _methods),
    "provenance": ("Provenance", _provenance),
}
