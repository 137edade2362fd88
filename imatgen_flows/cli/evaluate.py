"""The commands of `imatgen evaluate`, and how the command line shows tables and progress."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from imatgen_flows.errors import InputError

evaluate_app = typer.Typer(help="Measure how good a run, or the method, is.", no_args_is_help=True)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for pipes.")]


@evaluate_app.command()
def reconstruction(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run directory.")] = None,
    intrinsic: Annotated[
        bool, typer.Option("--intrinsic", help="Of the images alone, without any network; needs no run.")
    ] = False,
    system: Annotated[str, typer.Option(help="Elements for --intrinsic, for example V,O.")] = "V,O",
    as_json: AsJson = False,
) -> None:
    """How exactly crystals come back: from images (--intrinsic), or from the trained networks of a run."""
    if intrinsic:
        rows = _intrinsic(system.split(","))
        title = "intrinsic error: crystals to images and back"
    elif run is not None:
        rows = _reconstruction_of(run)
        title = f"reconstruction: {run}"
    else:
        raise InputError("give a run directory, or --intrinsic.")
    if as_json:
        typer.echo(json.dumps(rows))
        return
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
        typer.Option(min=0, help="Known phases for which the sample that may be it is relaxed, in each tier and run."),
    ] = 0,
    around: Annotated[int, typer.Option(min=1, help="Samples around the own code of each known phase.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Which known phases, held out from the networks, are found again; plain substitution beside it."""
    from imatgen_flows.io.files import write_atomic

    show_progress()
    found = _rediscover(runs, relax, around)
    write_atomic(runs[0] / "rediscovery.json", json.dumps(found, indent=1))
    if as_json:
        typer.echo(json.dumps(found))
        return
    for held_out in found["summary"]:
        _print_rediscovery(found, held_out)
    typer.echo(f"{found['evaluations_total']:,} energy evaluations. Each known phase: {runs[0] / 'rediscovery.json'}")


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table for people."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")  # a name that is cut short cannot be looked up
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def show_progress() -> None:
    """Print what our own modules log, and nothing of the libraries."""
    import logging

    ours = logging.getLogger("imatgen_flows")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    ours.handlers = [handler]
    ours.setLevel(logging.INFO)
    ours.propagate = False


def _intrinsic(system: list[str]) -> list[dict[str, Any]]:
    from imatgen_flows.crystals.substitution import substitute
    from imatgen_flows.crystals.templates import load_templates
    from imatgen_flows.metrics.reconstruction import intrinsic

    made, _left_out = substitute(load_templates(n_elements=len(system))[0], system)
    return intrinsic([item.structure for item in made], sorted(system))


def _reconstruction_of(run: Path) -> list[dict[str, Any]]:
    from imatgen_flows.report.run_directory import RunDirectory

    found = RunDirectory.open(run).metrics["reconstruction"]
    rows = []
    for path in (f"{name}{of}" for name in ("images", "generator") for of in ("", "_held_out", "_refined_held_out")):
        if path in found:
            summary = dict(found[path])
            errors = {f"rmse {name}": value for name, value in summary.pop("rmse").items()}
            del summary["median"]
            rows.append({"path": path.replace("_", " ")} | summary | errors)
    return rows


def _rediscover(paths: list[Path], relax: int, around: int) -> dict[str, Any]:
    """Look for the held-out phases in each run, and count over all of them."""
    from imatgen_flows.jobs.rediscovery import FinishedRun, rediscover, refuse_unlike
    from imatgen_flows.metrics.rediscovery import MATCHERS
    from imatgen_flows.metrics.rediscovery_tables import known_rows, summarise
    from imatgen_flows.report.run_directory import RunDirectory

    runs = [FinishedRun.open(path, RunDirectory.open(path).ledger) for path in paths]
    refuse_unlike(runs)
    findings = [rediscover(run, around, relax) for run in runs]
    screen = runs[0].config.screen
    return {
        "matchers": {
            name: dict(zip(("ltol", "stol", "angle_tol"), value, strict=True)) for name, value in MATCHERS.items()
        },
        "samples_around_each": around,
        "potential": screen.potential,
        "fmax": screen.fmax,
        "max_steps": screen.max_steps,
        "runs": [{"run": item.run, "seed": item.seed, "held_out": item.held_out} for item in findings],
        "summary": summarise(findings),
        "known": known_rows(findings),
        "evaluations_total": sum(tier.evaluations for item in findings for tier in item.tiers.values()),
    }


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
    """Give a row's cells: what either matcher found, and of the loose one the prototypes."""
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
