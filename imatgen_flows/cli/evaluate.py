"""The commands of `imatgen evaluate`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from imatgen_flows.cli.evaluate_baselines import baselines
from imatgen_flows.cli.evaluate_potentials import potentials
from imatgen_flows.cli.options import AsJson, parse_system
from imatgen_flows.cli.output import print_table, show_progress
from imatgen_flows.cli.renamed import add_renamed
from imatgen_flows.errors import InputError

REDISCOVERY_FILE = "rediscovery.json"

evaluate_app = typer.Typer(help="Measure the quality of a run, or of the method.", no_args_is_help=True)
evaluate_app.command()(baselines)
evaluate_app.command()(potentials)
add_renamed(evaluate_app)


@evaluate_app.command()
def reconstruction(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run directory.")] = None,
    intrinsic: Annotated[
        bool, typer.Option("--intrinsic", help="Of the images alone, without any network; needs --system and no run.")
    ] = False,
    system: Annotated[
        str | None, typer.Option(help="Elements for --intrinsic, for example V-O.", show_default="none")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure reconstruction errors: of the images (--intrinsic), or of the trained networks of a run."""
    if intrinsic:
        if system is None:
            raise InputError("--intrinsic needs --system, for example --system V-O.")
        from imatgen_flows.metrics.reconstruction import intrinsic_of_prototypes

        rows = [errors.to_dict() for errors in intrinsic_of_prototypes(parse_system(system))]
        title = "intrinsic error: crystals to images and back"
    elif run is not None:
        rows = _reconstruction_rows(run)
        title = f"reconstruction: {run}"
    else:
        raise InputError("give a run directory, or --intrinsic with --system.")
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        raise InputError(f"{run}: its metrics.json holds no reconstruction. `imatgen run --resume` writes it anew.")
    # one column a row: there are many more numbers than things compared
    names = list(rows[0])
    print_table(
        title,
        [names[0], *(str(row[names[0]]) for row in rows)],
        [[name.replace("_", " "), *(_cell(row[name]) for row in rows)] for name in names[1:]],
    )


@evaluate_app.command()
def rediscovery(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Finished runs that held known phases out, for example with several seeds."
        ),
    ],
    relax: Annotated[
        int,
        typer.Option(min=0, help="Known phases for which the most promising sample is relaxed, in each tier and run."),
    ] = 0,
    around: Annotated[
        int, typer.Option(min=1, help="Samples around the latent vector of each known phase itself.")
    ] = 30,
    as_json: AsJson = False,
) -> None:
    """Search for known phases that were held out from the networks, with plain substitution for comparison."""
    from imatgen_flows.io.files import write_atomic
    from imatgen_flows.jobs.rediscovery import FinishedRun, rediscover, refuse_unlike
    from imatgen_flows.metrics.rediscovery_tables import Rediscovery
    from imatgen_flows.report.run_directory import RunDirectory

    show_progress()
    for path in runs:
        RunDirectory.open(path)
    opened = [FinishedRun.open(path) for path in runs]
    refuse_unlike(opened)
    screen = opened[0].config.screen.model_dump(include={"potential", "fmax", "max_steps"})
    found = screen | Rediscovery([rediscover(run, around, relax) for run in opened], around).to_dict()
    write_atomic(runs[0] / REDISCOVERY_FILE, json.dumps(found, indent=1))
    if as_json:
        typer.echo(json.dumps(found))
        return
    for held_out in found["summary"]:
        _print_rediscovery(found, held_out)
    typer.echo(f"{found['evaluations_total']:,} energy evaluations. Each known phase: {runs[0] / REDISCOVERY_FILE}")


def _reconstruction_rows(run: Path) -> list[dict[str, Any]]:
    from imatgen_flows.report.run_directory import RunDirectory

    rows = []
    for path, summary in RunDirectory.open(run).reconstruction.items():
        counts = {name: value for name, value in summary.to_dict().items() if name not in ("rmse", "median")}
        errors = {f"rmse {name}": value for name, value in summary.rmse.items()}
        rows.append({"path": path.replace("_", " ")} | counts | errors)
    return rows


def _print_rediscovery(found: dict[str, Any], held_out: str) -> None:
    group = found["summary"][held_out]
    rows = [
        [f"{name}, {state}", _joined(tier[among], among) if among else "", *_rates(tier, state)]
        for name, tier in group["tiers"].items()
        for state, among in (("before", "samples"), ("after", "relaxed"), ("either", ""))
        if state == "before" or tier["default"]["after"]
    ]
    rows += [
        [f"substitution, {name}", _joined(entry["structures"], "structures"), *_rates(entry)]
        for name, entry in group["substitution"].items()
    ]
    print_table(
        f"{group['known']} known phases in {group['clusters']} prototypes, {held_out} held out; runs: {group['runs']}\n"
        "found: share and its 95 % interval",
        ["search", "among", "default", "loose", "prototypes (loose)"],
        rows,
    )
    for tier in group["tiers"]:
        reasons = Counter(row[held_out][tier]["loose"].get("reason") for row in found["known"])
        missed = ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in reasons.most_common() if why)
        typer.echo(f"{tier}: " + (f"not found by any run: {missed}." if missed else "all were found."))


def _rates(entry: dict[str, Any], state: str | None = None) -> list[str]:
    """Format the cells of a row: what either matcher found, and the prototypes of the loose one."""
    default, loose = ((entry[name][state] if state else entry[name]) for name in ("default", "loose"))
    return [_rate(rates) for rates in (default, loose, loose["clusters"])]


def _rate(rates: dict[str, Any]) -> str:
    low, high = rates["interval"]
    found = ", ".join(str(count) for count in rates["found"])
    several = f"; {rates['union']} in any" if len(rates["found"]) > 1 else ""
    return f"{found}{several}\n{100 * rates['rate']:.0f} % ({100 * low:.0f}-{100 * high:.0f})"


def _joined(numbers: list[int], noun: str) -> str:
    return f"{', '.join(f'{number:,}' for number in numbers)} {noun}"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
