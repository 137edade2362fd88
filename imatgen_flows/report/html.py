"""The report: one HTML file that shows a finished run and fetches nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.registry import DEFAULT_CHARGE_CHECK
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.candidates.table import count_by
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.metrics.statistics import rate_interval
from imatgen_flows.report.composition_classes import classes_section
from imatgen_flows.report.compositions import choose
from imatgen_flows.report.figures import draw_figures
from imatgen_flows.report.learning import reconstruction_section
from imatgen_flows.report.markup import count, duration, render, words
from imatgen_flows.report.methods import methods_paragraph
from imatgen_flows.report.page_data import page_data
from imatgen_flows.report.rounds import rounds_section
from imatgen_flows.report.run_directory import RunDirectory, sampler_label
from imatgen_flows.report.sources import sources_section
from imatgen_flows.report.vacancies import vacancies_section
from imatgen_flows.report.validation import validation_section

SCRIPTS = ("compositions.js", "rounds.js", "report.js")


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
    try:
        return write_atomic(run.path / "report.html", _page(run))
    except OSError as error:
        raise InputError(f"{run.path}: report.html cannot be written: {error.strerror or error}.") from error


def _page(run: RunDirectory) -> str:
    from plotly.offline import get_plotlyjs

    assets = files("imatgen_flows.report") / "assets"
    sections = {name: (link, section(run)) for name, (link, section) in SECTIONS.items()}
    data = json.dumps(page_data(run), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return render(
        "page",
        run=run,
        header=_header(run),
        headline=_headline(run),
        links={name: link for name, (link, section) in sections.items() if link and section},
        sections=[section for _, section in sections.values() if section],
        style=Markup((assets / "style.css").read_text(encoding="utf-8")),
        script=Markup("\n".join((assets / name).read_text(encoding="utf-8") for name in SCRIPTS)),
        data=Markup(data.replace("<", "\\u003c")),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
    )


def _near(run: RunDirectory) -> int:
    """Count new structures up to the threshold."""
    return sum(row["e_above_hull"] <= run.threshold for row in run.new)


def _header(run: RunDirectory) -> Markup:
    seconds = sum((run.provenance.get("seconds") or {}).values())
    rounds = len(count_by(run.table, "round"))
    facts = [
        "–".join(run.system),
        run.scale,
        f"{rounds} round{'s' if rounds != 1 else ''}",
        f"seed {run.provenance['seed']}" if "seed" in run.provenance else "",
        f"finished {_when(run.provenance['finished'])}" if run.provenance.get("finished") else "",
        f"{duration(seconds)} of computing" if seconds else "",
    ]
    return render(
        "header",
        run=run,
        facts=[fact for fact in facts if fact],
        drawn=run.table.num_rows,
        relaxed=len(run.relaxed),
        new=len(run.new),
        near=_near(run),
        best=run.new[0] if run.new else None,
    )


def _headline(run: RunDirectory) -> Markup:
    return render(
        "headline",
        run=run,
        drawn=run.table.num_rows,
        relaxed=len(run.relaxed),
        unseen=sum(row["novelty"] in (Novelty.NEW, Novelty.SUBSTITUTED) for row in run.relaxed),
        new=len(run.new),
        near=_near(run),
        spent=sum(run.evaluations.values()),
    )


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


def _hull(run: RunDirectory) -> Markup:
    failed = [
        [row["name"], row.get("formula", ""), row.get("kind", ""), words(row["reason"])]
        for row in run.hull.get("failed") or []
    ]
    return render("hull", run=run, failed=failed)


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
        facts=[[label, _plain(value)] for label, value in facts.items() if value not in (None, "")],
        jobs=[[words(job), duration(time)] for job, time in seconds.items()],
        seconds=sum(seconds.values()),
        versions=list((record.get("versions") or {}).items()),
        campaign=(run.path / "campaign.yaml").read_text(encoding="utf-8"),
    )


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)


def _when(stamp: str) -> str:
    """Write an ISO time stamp for people, in UTC where it names its zone."""
    try:
        time = datetime.fromisoformat(str(stamp))
    except ValueError:
        return str(stamp)
    return f"{time.astimezone(UTC):%d %b %Y %H:%M} UTC" if time.tzinfo else f"{time:%d %b %Y %H:%M}"


def _latent(run: RunDirectory) -> Markup:
    return render("latent", shown=len(run.mapped), drawn=run.on_map.num_rows)


def _fixed(template: str) -> Callable[[RunDirectory], Markup]:
    return lambda run: render(template, run=run)


# id of a section -> its link at the top of the page (none where that is empty), and what writes it
SECTIONS: dict[str, tuple[str, Callable[[RunDirectory], Markup]]] = {
    "funnel": ("Funnel", _funnel),
    "classes": ("", classes_section),
    "rounds": ("Rounds", rounds_section),
    "sources": ("Sources", sources_section),
    "hull": ("Hull", _hull),
    "compositions": ("Compositions", _compositions),
    "best": ("Best structures", _fixed("best")),
    "validation": ("Validation", validation_section),
    "vacancies": ("Vacancies", lambda run: vacancies_section(run.path)),
    "candidates": ("Candidates", _candidates),
    "latent": ("Latent space", _latent),
    "reconstruction": ("Reconstruction", reconstruction_section),
    "ledger": ("Ledger", _ledger),
    "methods": ("Methods", _methods),
    "provenance": ("Provenance", _provenance),
}
