"""The report's section on how well crystals are reconstructed, and how the networks were trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, log
from typing import Literal, TypedDict

from markupsafe import Markup

from imatgen_flows.metrics.reconstruction_summary import ReconstructionSummary
from imatgen_flows.models.registry import ModelRole
from imatgen_flows.report.markup import Cell, count, render, share
from imatgen_flows.report.run_directory import RunDirectory, sampler_label

PATHS = {
    "images": "Image autoencoders",
    "images_held_out": "held out",
    "images_inverted_held_out": "held out, codes by inversion",
    "model": "Through the whole model",
    "model_held_out": "held out (model)",
    "model_inverted_held_out": "held out, by inversion (model)",
}
WIDTH, HEIGHT = 110, 22  # of a curve of the loss, pixels

_Count = Literal["fully_reconstructed", "cells_reconstructed", "counts_match"]


class Network(TypedDict):
    """One line of the table of networks."""

    label: str
    epochs: int
    loss: str
    seconds: float
    points: str
    width: int
    height: int


def reconstruction_section(run: RunDirectory) -> Markup:
    """Write the errors of reconstruction, the training of the networks, and the clean samples of each sampler.

    It is empty for a campaign that trains nothing, because the generator is none of its sources.
    """
    if not (run.reconstruction or run.metrics.get("training") or run.metrics.get("sampling")):
        return Markup()
    summaries = {label: found for name, label in PATHS.items() if (found := run.reconstruction.get(name))}
    return render(
        "reconstruction",
        paths=list(summaries),
        rows=_errors_of_paths(list(summaries.values())),
        networks=_networks(run),
        sampling=[
            [sampler_label(name), count(record["n"]), share(record["clean"], record["n"])]
            for name, record in (run.metrics.get("sampling") or {}).items()
        ],
    )


def _errors_of_paths(summaries: Sequence[ReconstructionSummary]) -> list[list[Cell]]:
    return [
        [label, *(write(summary) for summary in summaries)]
        for label, write in (
            ("Crystals", lambda summary: count(summary.n)),
            ("Fully reconstructed", lambda summary: _rate(summary, "fully_reconstructed")),
            ("Cell within 0.1 Å and 2°", lambda summary: _rate(summary, "cells_reconstructed")),
            ("Right number of atoms", lambda summary: _rate(summary, "counts_match")),
            ("Cell lengths a, b, c, RMSE (Å)", lambda summary: _errors(summary.rmse, "a", "b", "c")),
            ("Cell angles α, β, γ, RMSE (°)", lambda summary: _errors(summary.rmse, "alpha", "beta", "gamma")),
            ("Atoms, RMSE (Å)", lambda summary: _errors(summary.rmse, "atoms")),
            ("Cell lengths a, b, c, median (Å)", lambda summary: _errors(summary.median, "a", "b", "c")),
            ("Cell angles α, β, γ, median (°)", lambda summary: _errors(summary.median, "alpha", "beta", "gamma")),
            ("Atoms, median (Å)", lambda summary: _errors(summary.median, "atoms")),
        )
    ]


def _rate(summary: ReconstructionSummary, key: _Count) -> str:
    number = getattr(summary, key)
    return f"{number:,} ({100 * number / summary.n:.1f} %)" if summary.n else "–"


def _errors(values: Mapping[str, float | None], *names: str) -> str:
    return ", ".join("–" if (value := values[name]) is None else f"{value:.2g}" for name in names)


def _networks(run: RunDirectory) -> list[Network]:
    labels = {role.value: role.label for role in ModelRole} | {"prior": "prior"}
    return [
        {
            "label": labels.get(role, role).replace("_", " "),
            "epochs": record["epochs"],
            "loss": f"{record['loss'][-1]:.3g}" if record["loss"] else "",
            "seconds": record["seconds"],
            "points": _curve(record["loss"]),
            "width": WIDTH,
            "height": HEIGHT,
        }
        for role, record in (run.metrics.get("training") or {}).items()
    ]


def _curve(values: Sequence[float]) -> str:
    """Place the logarithm of each loss in a small picture, as the points of an SVG polyline; empty below two points."""
    points = [log(value) if value > 0 else value for value in values if isfinite(value)]
    if len(points) < 2:
        return ""
    low, high = min(points), max(points)
    across, up = (WIDTH - 4) / (len(points) - 1), (HEIGHT - 4) / (high - low or 1)
    return " ".join(
        f"{2 + across * place:.1f},{HEIGHT - 2 - up * (value - low):.1f}" for place, value in enumerate(points)
    )
