"""The command `imatgen evaluate potentials`: potentials on crystals of known energy, and the threshold that follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imatgen_flows.cli.options import AsJson, parse_path
from imatgen_flows.cli.output import print_table, show_progress
from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    from imatgen_flows.metrics.calibration import Calibration, Decision, Errors

FORMATION_FIELD = "ef_mp2020"


def potentials(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Crystals of one system as JSON lines, with formation energies of DFT.",
            parser=parse_path,
        ),
    ],
    names: Annotated[
        str, typer.Option("--potentials", metavar="NAMES", help="Potentials, joined by commas: chgnet,sevennet.")
    ],
    field: Annotated[
        str, typer.Option("--energy", metavar="FIELD", help="Field of the formation energies, eV/atom, of one scale.")
    ] = FORMATION_FIELD,
    thresholds: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="E_hull, eV/atom, joined by commas.", show_default="0.05,0.1,0.15"),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where relaxations are kept; it continues there.", show_default="cache_dir/calibration"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Relax crystals of known energy with each potential: errors, what their spread tells, and which threshold to use."""
    from imatgen_flows.energetics.potentials import describe_shared_training
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.calibration import calibrate_potentials
    from imatgen_flows.settings import get_settings

    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if not chosen:
        raise InputError("--potentials names nothing; give one or more, as chgnet,sevennet.")
    show_progress()
    store = ArtifactStore(cache or get_settings().cache_dir / "calibration")
    found = calibrate_potentials(file, chosen, store, field, _numbers(thresholds))
    shared = describe_shared_training(chosen)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "shared_training": shared, **found.to_dict()}))
        return
    print_calibration(found, str(file))
    if shared:
        typer.echo(shared)


def _numbers(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in (text or "").split(",") if part.strip())
    except ValueError as error:
        raise InputError(f"--thresholds {text}: give numbers in eV/atom, joined by commas.") from error


def print_calibration(found: Calibration, title: str) -> None:
    """Print the tables of a calibration, and what is said of them."""
    from imatgen_flows.metrics.calibration import KEPT, NEAR

    groups = (
        ("formation energy", found.formation),
        ("E_hull", found.hull),
        ("E_hull of those near", found.low),
    )
    rows = [[name, what, *_errors(errors)] for what, group in groups for name, errors in group.items()]
    columns = ["potential", "of", "crystals", "MAE", "bias", "RMSE", "median"]
    print_table(f"{title}: errors in eV/atom, with 95 % intervals", columns, rows)
    print_table(
        "Crystals called near the hull, up to a threshold in eV/atom",
        ["predictor", "threshold", "called", "right", "found of those that are"],
        [_decision(decision) for decision in found.decisions],
    )
    if spread := found.spread:
        typer.echo(
            f"Spread of the members, highest less lowest E_hull: {spread.mean_spread:.3f} eV/atom in the mean. The reference "
            f"lies between them for {spread.inside} of {spread.number} crystals ({_percent(*spread.inside_interval)}); the "
            f"error of their mean is within the spread for {spread.covered} ({_percent(*spread.covered_interval)})."
        )
    for item in found.suggestions:
        low, high = item.interval
        typer.echo(
            f"Threshold for {item.predictor}: {item.threshold:g} eV/atom ({low:g} to {high:g}), the smallest that keeps "
            f"{KEPT:.0%} of the {item.near} crystals within {NEAR:g} of the hull."
        )
    for name, missing in found.missing.items():
        if missing:
            reasons = ", ".join(f"{crystal} ({reason.replace('_', ' ')})" for crystal, reason in missing.items())
            typer.echo(f"{name} could not relax {len(missing)}: {reasons}.")
    typer.echo("; ".join(f"{name}: {number:,} energy evaluations" for name, number in found.evaluations.items()) + ".")


def _errors(errors: Errors) -> list[str]:
    measured = (
        (errors.mae, errors.mae_interval, ".3f"),
        (errors.bias, errors.bias_interval, "+.3f"),
        (errors.rmse, errors.rmse_interval, ".3f"),
    )
    cells = [f"{value:{form}}\n({low:{form}} to {high:{form}})" for value, (low, high), form in measured]
    return [str(errors.number), *cells, f"{errors.median:.3f}"]


def _decision(decision: Decision) -> list[str]:
    right = "" if decision.precision is None else f"{decision.right} ({_percent(*decision.precision_interval)})"
    recall = ""
    if decision.recall is not None:
        recall = f"{decision.right} of {decision.near} ({_percent(*decision.recall_interval)})"
    return [decision.predictor, f"{decision.threshold:g}", str(decision.called), right, recall]


def _percent(low: float, high: float) -> str:
    return f"{100 * low:.0f}–{100 * high:.0f} %"
