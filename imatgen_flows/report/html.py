"""The report: one HTML file that shows a finished run and fetches nothing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from math import isfinite, log
from pathlib import Path
from string import Template
from typing import Any

from imatgen_flows.errors import InputError
from imatgen_flows.report.drawing import DrawingError, element_style, rotation, scene
from imatgen_flows.report.figures import ERRORS, STATE_LABELS, atomic_fraction, draw_figures
from imatgen_flows.report.run_directory import (
    COLUMNS,
    LAST_STATE_BEFORE,
    STATES,
    Row,
    RunDirectory,
    how_made,
    interval,
    per_structure,
    write_whole,
)

BEST = 10  # new structures shown as cards
DRAWN = 400  # lowest candidates that the table can draw; a drawing takes about 5 kB of the page

Cell = str  # HTML


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
    return template.substitute(
        title=escape(run.title),
        system=escape("–".join(run.system)),
        scale=escape(run.scale),
        band="The band reaches" if len(run.system) == 2 else "The dashed line lies",
        threshold=f"{run.threshold:g}",
        facts=_facts(run),
        summary=_summary(run),
        notes="".join(f'<p class="note">{escape(note)}</p>' for note in run.notes()),
        headline=_headline(run),
        funnel=_funnel(run),
        reconstruction=_reconstruction(run),
        training=_training(run),
        ledger=_rounds(run) + _ledger(run),
        provenance=_provenance(run),
        campaign=escape((run.path / "campaign.yaml").read_text(encoding="utf-8")),
        style=(assets / "style.css").read_text(encoding="utf-8"),
        script=(assets / "report.js").read_text(encoding="utf-8"),
        data=json.dumps(_data(run), ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
    )


def _data(run: RunDirectory) -> dict[str, Any]:
    """Everything that the page's script shows."""
    drawn = {id(row) for row in (*run.relaxed[:DRAWN], *run.new[:BEST])}
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
    return f"left at {row['rejected_stage']}: {_words(row['rejected_reason'])}{detail}"


def _facts(run: RunDirectory) -> str:
    seconds = sum((run.provenance.get("seconds") or {}).values())
    rounds = len({row["round"] for row in run.candidates})
    facts = [
        "–".join(run.system),
        run.scale,
        f"{rounds} round{'s' if rounds != 1 else ''}",
        f"seed {run.provenance['seed']}" if "seed" in run.provenance else "",
        f"finished {_when(run.provenance['finished'])}" if run.provenance.get("finished") else "",
        f"{_duration(seconds)} of computing" if seconds else "",
    ]
    return "".join(f"<li>{escape(fact)}</li>" for fact in facts if fact)


def _summary(run: RunDirectory) -> str:
    drawn, relaxed, new = len(run.candidates), len(run.relaxed), len(run.new)
    near = sum(row["e_above_hull"] <= run.threshold for row in run.new)
    text = f"{drawn:,} sample{_s(drawn)} gave {relaxed:,} relaxed candidate{_s(relaxed)}. "
    if not new:
        return text + "None of them is new: all are duplicates, known phases, or within reach of plain substitution."
    best = run.new[0]
    return (
        text + f"{new:,} {'is' if new == 1 else 'are'} new, {near:,} of {'it' if new == 1 else 'them'} within "
        f"{run.threshold:g} eV/atom of the hull. The lowest is <strong>{_formula(best['formula'])}</strong> "
        f"({_spacegroup(best['spacegroup'])}), <span class=nowrap>{abs(best['e_above_hull']):.3f} eV/atom</span> "
        f"{'above' if best['e_above_hull'] >= 0 else 'below'} the hull, by {escape(run.scale)}."
    )


def _headline(run: RunDirectory) -> str:
    unseen = sum(row["novelty"] in ("new", "closure") for row in run.relaxed)
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
            f'<i class="m{place % 5}" style="width:{100 * count / drawn:.3f}%" title="{_words(method)}: {count:,}"></i>'
            for place, (method, count) in enumerate(step.reached.items())
        )
        low, high = interval(step.total, drawn)
        label = STATE_LABELS[step.state]
        if step.state == "shortlisted":
            label = f"<i>E</i><sub>hull</sub> ≤ {run.threshold:g} eV/atom"
        left = sum(step.left.values())
        reasons = ", ".join(f"{_words(reason)} {count:,}" for (_, reason), count in step.left.items())
        rows.append(
            f"<tr><th scope=row>{label}</th><td class=bar><div>{bars}</div></td><td class=num>{step.total:,}</td>"
            f'<td class=num title="95 % interval">{100 * step.total / drawn:.1f} % '
            f"<small>({100 * low:.1f}–{100 * high:.1f})</small></td>"
            f'<td class="num lost">{f"−{left:,}" if left else ""}</td><td class=why>{escape(reasons)}</td></tr>'
        )
    legend = "".join(
        f'<li><i class="m{place % 5}"></i>{_words(method)} {steps[0].reached[method]:,}</li>'
        for place, method in enumerate(run.methods)
    )
    return (
        f"<ul class=legend>{legend}</ul><div class=scroll><table class=funnel><thead><tr>"
        "<th scope=col>Reached</th><th></th><th scope=col class=num>Samples</th>"
        "<th scope=col class=num>Share (95 % interval)</th><th scope=col class=num>Left</th>"
        "<th scope=col>Why they went no further</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _reconstruction(run: RunDirectory) -> str:
    found = run.metrics.get("reconstruction") or {}
    columns = {
        "images": "Image autoencoders",
        "images_held_out": "held out",
        "generator": "Through the generator",
        "generator_held_out": "held out (generator)",
    }
    summaries = {columns[name]: found[name] for name in columns if isinstance(found.get(name), dict)}
    rows = [
        [label, *(write(summary) for summary in summaries.values())]
        for label, write in (
            ("Crystals", lambda summary: f"{summary['n']:,}"),
            ("Fully reconstructed", lambda summary: _rate(summary, "fully_reconstructed")),
            ("Cell within 0.1 Å and 2°", lambda summary: _rate(summary, "cells_reconstructed")),
            ("Right number of atoms", lambda summary: _rate(summary, "counts_match")),
            ("Cell lengths a, b, c, RMSE (Å)", lambda summary: _errors(summary["rmse"], "a", "b", "c")),
            ("Cell angles α, β, γ, RMSE (°)", lambda summary: _errors(summary["rmse"], "alpha", "beta", "gamma")),
            ("Atoms, RMSE (Å)", lambda summary: _errors(summary["rmse"], "atoms")),
            ("Cell lengths a, b, c, median (Å)", lambda summary: _errors(summary["median"], "a", "b", "c")),
            ("Cell angles α, β, γ, median (°)", lambda summary: _errors(summary["median"], "alpha", "beta", "gamma")),
            ("Atoms, median (Å)", lambda summary: _errors(summary["median"], "atoms")),
        )
    ]
    return _table(["Training structures, encoded and decoded", *summaries], rows) if summaries else ""


def _rate(summary: Row, key: str) -> str:
    return f"{summary[key]:,} ({100 * summary[key] / summary['n']:.1f} %)" if summary["n"] else "–"


def _errors(values: Row, *names: str) -> str:
    return ", ".join("–" if values[name] is None else f"{values[name]:.2g}" for name in names)


def _training(run: RunDirectory) -> str:
    rows = [
        [
            _words(model),
            f"{record['epochs']:,}",
            f"{record['loss'][-1]:.3g}" if record["loss"] else "",
            _duration(record["seconds"]),
            _sparkline(record["loss"]),
        ]
        for model, record in (run.metrics.get("training") or {}).items()
    ]
    sampling = [
        [_words(method), f"{record['n']:,}", _share(record["clean"], record["n"])]
        for method, record in (run.metrics.get("sampling") or {}).items()
    ]
    return (_table(["Network", "Epochs", "Last loss", "Time", "Loss (log)"], rows) if rows else "") + (
        _table(["Sampling", "Drawn", "Decode cleanly"], sampling) if sampling else ""
    )


def _rounds(run: RunDirectory) -> str:
    if len(run.rounds) < 2:
        return ""
    head = ["Round", "Samples", "Relaxed", "New", "Shortlisted", "Within 0.1 eV/atom", "Lowest E_hull", "Evaluations"]
    rows = [
        [
            f"{row['round'] + 1}",
            *(f"{row[key]:,}" for key in ("samples", "relaxed", "new", "shortlisted", "within_0.1")),
            "" if row["best_e_above_hull"] is None else _energy(row["best_e_above_hull"]),
            f"{row['evaluations']:,}",
        ]
        for row in run.rounds
    ]
    return _table(head, rows)


def _ledger(run: RunDirectory) -> str:
    states = Counter((row["state"], row["rejected_stage"] or "") for row in run.candidates)
    order = [("rejected", stage) for stage in LAST_STATE_BEFORE] + [(state, "") for state in STATES]
    samples = [
        [f"{_words(state)}{f' at {_words(stage)}' if stage else ''}", f"{states[state, stage]:,}"]
        for state, stage in order
        if states[state, stage]
    ]
    spent = run.evaluations
    evaluations = [[_words(purpose), f"{count:,}"] for purpose, count in spent.items()]
    return _table(["Final state", "Samples"], samples, ["All samples", f"{len(run.candidates):,}"]) + _table(
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
    stages = [[_words(stage), _duration(time)] for stage, time in seconds.items()]
    versions = [[escape(package), escape(str(version))] for package, version in (record.get("versions") or {}).items()]
    return (
        _table(["Run", ""], facts)
        + _table(["Stage", "Time"], stages, ["All stages", _duration(sum(seconds.values()))])
        + _table(["Package", "Version"], versions)
    )


def _table(head: Sequence[Cell], rows: Iterable[Sequence[Cell]], foot: Sequence[Cell] = ()) -> str:
    # a first heading alone means that the other column is text
    kind = "plain" if all(head[1:]) else "'plain text'"

    def line(cells: Sequence[Cell], tag: str) -> str:
        return (
            "<tr>"
            + "".join(f"<{tag}{' class=num' if place else ''}>{cell}</{tag}>" for place, cell in enumerate(cells))
            + "</tr>"
        )

    body = "".join(line(row, "td") for row in rows)
    last = f"<tfoot>{line(foot, 'td')}</tfoot>" if foot else ""
    return f"<table class={kind}><thead>{line(head, 'th')}</thead><tbody>{body}</tbody>{last}</table>"


def _sparkline(values: Sequence[float], width: int = 110, height: int = 22) -> str:
    points = [log(value) if value > 0 else value for value in values if isfinite(value)]
    if len(points) < 2:
        return ""
    low, high = min(points), max(points)
    across, up = (width - 4) / (len(points) - 1), (height - 4) / (high - low or 1)
    path = " ".join(
        f"{2 + across * place:.1f},{height - 2 - up * (value - low):.1f}" for place, value in enumerate(points)
    )
    return f'<svg class=spark width={width} height={height} aria-hidden=true><polyline points="{path}"/></svg>'


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)


def _words(name: str) -> str:
    return escape(str(name).replace("_", " "))


def _when(stamp: str) -> str:
    """Write an ISO time stamp for people, in UTC where it names its zone."""
    try:
        time = datetime.fromisoformat(str(stamp))
    except ValueError:
        return str(stamp)
    return f"{time.astimezone(UTC):%d %b %Y %H:%M} UTC" if time.tzinfo else f"{time:%d %b %Y %H:%M}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _energy(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def _share(count: int, total: int) -> str:
    low, high = interval(count, total)
    rate = f"{100 * count / total:.1f} %" if total else "–"
    return f"{count:,} &nbsp;{rate} <small>({100 * low:.1f}–{100 * high:.1f})</small>"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _formula(text: str) -> str:
    return re.sub(r"([A-Za-z)])([\d.]+)", r"\1<sub>\2</sub>", escape(text))


def _spacegroup(symbol: str) -> str:
    return re.sub(r"_(\d)", r"<sub>\1</sub>", re.sub(r"-(\d)", r"<span class=over>\1</span>", escape(symbol)))
