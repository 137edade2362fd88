"""The report: one HTML file that shows a finished run and fetches nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from math import isfinite
from pathlib import Path
from string import Template
from typing import Any

from imatgen_flows.errors import InputError
from imatgen_flows.metrics.statistics import rate_interval
from imatgen_flows.report.composition_classes import classes_section
from imatgen_flows.report.compositions import Chosen, atomic_fraction, choose, compositions_data, lowest
from imatgen_flows.report.drawing import DrawingError, element_style, rotation, scene
from imatgen_flows.report.figures import ERRORS, STATE_LABELS, draw_figures
from imatgen_flows.report.learning import reconstruction_table, training_tables
from imatgen_flows.report.markup import duration, formula, plural, spacegroup, table, words
from imatgen_flows.report.rounds import rounds_data, rounds_section
from imatgen_flows.report.run_directory import (
    COLUMNS,
    LAST_STATE_BEFORE,
    STATES,
    Row,
    RunDirectory,
    how_made,
    per_structure,
    write_whole,
)
from imatgen_flows.report.vacancies import vacancies_section
from imatgen_flows.report.validation import validation_section

BEST = 10  # new structures shown as cards
DRAWN = 400  # lowest candidates that the table can draw; a drawing takes about 5 kB of the page
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
        return write_whole(run.path / "report.html", _page(run).encode())
    except OSError as error:
        raise InputError(f"{run.path}: report.html cannot be written: {error.strerror or error}.") from error


def _page(run: RunDirectory) -> str:
    from plotly.offline import get_plotlyjs

    assets = files("imatgen_flows.report") / "assets"
    template = Template((assets / "template.html").read_text(encoding="utf-8"))
    chosen = choose(run)
    sections = {
        "classes": classes_section(run),
        "rounds": rounds_section(run),
        "compositions": _compositions(run, chosen),
        "validation": validation_section(run),
        "vacancies": vacancies_section(run.path),
    }
    data = json.dumps(_data(run, chosen), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return template.substitute(
        title=escape(run.title),
        system=escape("–".join(run.system)),
        scale=escape(run.scale),
        band="The band reaches" if len(run.system) == 2 else "The dashed line lies",
        threshold=f"{run.threshold:g}",
        judges=_judges(run),
        facts=_facts(run),
        summary=_summary(run),
        notes="".join(f'<p class="note">{escape(note)}</p>' for note in run.notes()),
        headline=_headline(run),
        funnel=_funnel(run),
        **sections,
        **{f"{name}_link": f'<a href="#{name}">{name.title()}</a>' if text else "" for name, text in sections.items()},
        reconstruction=reconstruction_table(run),
        training=training_tables(run),
        ledger=_ledger(run),
        provenance=_provenance(run),
        campaign=escape((run.path / "campaign.yaml").read_text(encoding="utf-8")),
        style=(assets / "style.css").read_text(encoding="utf-8"),
        script="\n".join((assets / name).read_text(encoding="utf-8") for name in SCRIPTS),
        data=data.replace("<", "\\u003c"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
    )


def _data(run: RunDirectory, chosen: Chosen | None) -> dict[str, Any]:
    """Everything that the page's script shows."""
    polymorphs = lowest(run, chosen) if chosen else []
    drawn = {id(row) for row in (*run.relaxed[:DRAWN], *run.new[:BEST], *polymorphs)}
    candidates = [_candidate(run, row, id(row) in drawn) for row in run.relaxed]
    symbols = sorted({symbol for row in candidates for symbol in (row["drawing"] or {}).get("symbols", [])})
    errors = (run.metrics.get("reconstruction") or {}).get("errors") or {}
    return {
        "name": run.title,
        "scale": run.scale,
        "system": run.system,
        "threshold": run.threshold,
        "best": BEST,
        "drawn": DRAWN,
        "view": rotation().round(6).tolist(),
        "elements": {symbol: element_style(symbol) for symbol in symbols},
        "methods": run.methods,
        "candidates": candidates,
        "compositions": compositions_data(run, chosen) if chosen else None,
        "rounds": rounds_data(run),
        "references": [
            {**_finite(ref), "fraction": ref["fractions"].get(run.system[1], 0.0)} for ref in run.hull["references"]
        ],
        "explained": run.latent.get("explained") or [],
        "training": [_finite(row) for row in run.latent["training"]],
        "samples": [
            [row["sample"], row["method"], row["latent_x"], row["latent_y"], row["state"], row["formula"], _fate(row)]
            for row in run.mapped
        ],
        "errors": [
            {"title": title, "unit": unit, "tolerance": tolerance, "values": per_structure(errors.get(key))}
            for key, title, unit, tolerance in ERRORS
        ],
    }


def _candidate(run: RunDirectory, row: Row, draw: bool) -> dict[str, Any]:
    left = (
        "parents",
        "seed",
        "latent_x",
        "latent_y",
        "rejected_stage",
        "rejected_reason",
        "rejected_detail",
        "structure",
    )
    candidate = {name: row[name] for name in COLUMNS if name not in left}
    drawing, why = None, "" if draw else f"Drawn are the {DRAWN} candidates of lowest energy."
    if draw:
        try:
            drawing = scene(row["structure"]).to_dict()
        except DrawingError as error:
            why = f"This structure cannot be drawn: {error}."
    return candidate | {
        "fraction": atomic_fraction(row["formula"], run.system[1]),
        "made": how_made(row),
        "fate": _fate(row),
        "cif": row["structure"],
        "drawing": drawing,
        "not_drawn": why,
    }


def _finite(row: Row) -> Row:
    return {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in row.items()}


def _fate(row: Row) -> str:
    if row["state"] != "rejected":
        return str(row["state"])
    detail = f" ({row['rejected_detail']})" if row["rejected_detail"] else ""
    return f"left at {row['rejected_stage']}: {words(row['rejected_reason'])}{detail}"


def _judges(run: RunDirectory) -> str:
    scales = {row["validated_scale"] for row in run.relaxed if row["validated_e_above_hull"] is not None}
    return f", validated ones by {escape(', '.join(sorted(scales)))}" if scales else ""


def _facts(run: RunDirectory) -> str:
    seconds = sum((run.provenance.get("seconds") or {}).values())
    rounds = len({row["round"] for row in run.candidates})
    facts = [
        "–".join(run.system),
        run.scale,
        f"{rounds} round{'s' if rounds != 1 else ''}",
        f"seed {run.provenance['seed']}" if "seed" in run.provenance else "",
        f"finished {_when(run.provenance['finished'])}" if run.provenance.get("finished") else "",
        f"{duration(seconds)} of computing" if seconds else "",
    ]
    return "".join(f"<li>{escape(fact)}</li>" for fact in facts if fact)


def _summary(run: RunDirectory) -> str:
    drawn, relaxed, new = len(run.candidates), len(run.relaxed), len(run.new)
    near = sum(row["e_above_hull"] <= run.threshold for row in run.new)
    text = f"{drawn:,} sample{plural(drawn)} gave {relaxed:,} relaxed candidate{plural(relaxed)}. "
    if not new:
        return text + "None of them is new: all are duplicates, known phases, or within reach of plain substitution."
    best = run.new[0]
    return (
        text + f"{new:,} {'is' if new == 1 else 'are'} new, {near:,} of {'it' if new == 1 else 'them'} within "
        f"{run.threshold:g} eV/atom of the hull. The lowest is <strong>{formula(best['formula'])}</strong> "
        f"({spacegroup(best['spacegroup'])}), <span class=nowrap>{abs(best['e_above_hull']):.3f} eV/atom</span> "
        f"{'above' if best['e_above_hull'] >= 0 else 'below'} the hull, by {escape(run.scale)}."
    )


def _headline(run: RunDirectory) -> str:
    unseen = sum(row["novelty"] in ("new", "substituted") for row in run.relaxed)
    near = sum(row["e_above_hull"] <= run.threshold for row in run.new)
    spent = sum(run.evaluations.values())
    tiles = [
        (f"{len(run.candidates):,}", "samples drawn"),
        (f"{len(run.relaxed):,}", f"relaxed with {escape(run.scale)}"),
        (f"{unseen:,}", "neither known nor duplicate"),
        (f"{len(run.new):,}", "new: out of reach of substitution"),
        (f"{near:,}", f"new, <i>E</i><sub>hull</sub> ≤ {run.threshold:g} eV/atom"),
        (f"{spent:,}", "energy evaluations spent"),
    ]
    return "".join(f"<div class=tile><b>{number}</b><span>{label}</span></div>" for number, label in tiles)


def _funnel(run: RunDirectory) -> str:
    steps = run.funnel()
    drawn = max(1, steps[0].total)
    rows = []
    for step in steps:
        bars = "".join(
            f'<i class="m{place % 5}" style="width:{100 * count / drawn:.3f}%" title="{words(method)}: {count:,}"></i>'
            for place, (method, count) in enumerate(step.reached.items())
        )
        low, high = rate_interval(step.total, drawn)
        label = STATE_LABELS[step.state]
        if step.state == "shortlisted":
            label = f"<i>E</i><sub>hull</sub> ≤ {run.threshold:g} eV/atom"
        left = sum(step.left.values())
        reasons = ", ".join(f"{words(reason)} {count:,}" for (_, reason), count in step.left.items())
        rows.append(
            f"<tr><th scope=row>{label}</th><td class=bar><div>{bars}</div></td><td class=num>{step.total:,}</td>"
            f'<td class=num title="95 % interval">{100 * step.total / drawn:.1f} % '
            f"<small>({100 * low:.1f}–{100 * high:.1f})</small></td>"
            f'<td class="num lost">{f"−{left:,}" if left else ""}</td><td class=why>{escape(reasons)}</td></tr>'
        )
    legend = "".join(
        f'<li><i class="m{place % 5}"></i>{words(method)} {steps[0].reached[method]:,}</li>'
        for place, method in enumerate(run.methods)
    )
    return (
        f"<ul class=legend>{legend}</ul><div class=scroll><table class=funnel><thead><tr>"
        "<th scope=col>Reached</th><th></th><th scope=col class=num>Samples</th>"
        "<th scope=col class=num>Share (95 % interval)</th><th scope=col class=num>Left</th>"
        "<th scope=col>Why they went no further</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _compositions(run: RunDirectory, chosen: Chosen | None) -> str:
    if chosen is None:
        return ""
    what = (
        "neither a published phase nor a structure of the dataset has them"
        if chosen.unseen
        else "a published phase or a structure of the dataset has each of them"
    )
    through = ", and known phases between them" if len(run.system) == 2 else ""
    return (
        f"<section id=compositions><h2>{chosen.title}</h2><p class=caption>The compositions of which most new structures "
        f"were made, relaxed or not: {what}. They stand by atomic fraction, with the hull under each{through}; the band "
        f"reaches {run.threshold:g} eV/atom above it. Drawn below is the polymorph of each composition that is lowest by "
        "the potential, as it was relaxed last.</p>"
        "<div class=switch id=compositions-switch role=group aria-label='Energy scale'></div>"
        "<div id=compositions-plot class='plot tall'></div><div id=polymorphs class=cards></div></section>"
    )


def _ledger(run: RunDirectory) -> str:
    states = Counter((row["state"], row["rejected_stage"] or "") for row in run.candidates)
    order = [("rejected", stage) for stage in LAST_STATE_BEFORE] + [(state, "") for state in STATES]
    samples = [
        [f"{words(state)}{f' at {words(stage)}' if stage else ''}", f"{states[state, stage]:,}"]
        for state, stage in order
        if states[state, stage]
    ]
    spent = run.evaluations
    evaluations = [[words(purpose), f"{count:,}"] for purpose, count in spent.items()]
    return table(["Final state", "Samples"], samples, ["All samples", f"{len(run.candidates):,}"]) + table(
        ["Energy-and-force evaluations", "Spent"], evaluations, ["All evaluations", f"{sum(spent.values()):,}"]
    )


def _provenance(run: RunDirectory) -> str:
    record = run.provenance
    facts = [
        [label, escape(_plain(record[key]))]
        for label, key in (
            ("Campaign", "campaign"),
            ("Seed", "seed"),
            ("Potential", "potential"),
            ("Started", "started"),
            ("Finished", "finished"),
            ("Hardware", "hardware"),
        )
        if record.get(key) not in (None, "")
    ]
    seconds = record.get("seconds") or {}
    stages = [[words(stage), duration(time)] for stage, time in seconds.items()]
    versions = [[escape(package), escape(str(version))] for package, version in (record.get("versions") or {}).items()]
    return (
        table(["Run", ""], facts)
        + table(["Stage", "Time"], stages, ["All stages", duration(sum(seconds.values()))])
        + table(["Package", "Version"], versions)
    )


def _plain(value: Any) -> str:
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
