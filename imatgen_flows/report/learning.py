"""How well crystals come back from their images, and how the networks learned: tables of the page."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, log

from imatgen_flows.report.markup import duration, share, table, words
from imatgen_flows.report.run_directory import Row, RunDirectory


def reconstruction_table(run: RunDirectory) -> str:
    """Write how well training structures come back; empty where that was not measured."""
    found = run.metrics.get("reconstruction") or {}
    columns = {
        "images": "Image autoencoders",
        "images_held_out": "held out",
        "images_refined_held_out": "held out, codes refined",
        "generator": "Through the generator",
        "generator_held_out": "held out (generator)",
        "generator_refined_held_out": "held out, refined (generator)",
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
    return table(["Training structures, encoded and decoded", *summaries], rows) if summaries else ""


def _rate(summary: Row, key: str) -> str:
    return f"{summary[key]:,} ({100 * summary[key] / summary['n']:.1f} %)" if summary["n"] else "–"


def _errors(values: Row, *names: str) -> str:
    return ", ".join("–" if values[name] is None else f"{values[name]:.2g}" for name in names)


def training_tables(run: RunDirectory) -> str:
    """Write how each network was trained, and what share of each method's samples decodes cleanly."""
    rows = [
        [
            words(model),
            f"{record['epochs']:,}",
            f"{record['loss'][-1]:.3g}" if record["loss"] else "",
            duration(record["seconds"]),
            _sparkline(record["loss"]),
        ]
        for model, record in (run.metrics.get("training") or {}).items()
    ]
    sampling = [
        [words(method), f"{record['n']:,}", share(record["clean"], record["n"])]
        for method, record in (run.metrics.get("sampling") or {}).items()
    ]
    return (table(["Network", "Epochs", "Last loss", "Time", "Loss (log)"], rows) if rows else "") + (
        table(["Sampling", "Drawn", "Decode cleanly"], sampling) if sampling else ""
    )


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
