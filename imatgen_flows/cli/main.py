"""The `imatgen` command. Slow imports are made where they are used, so that `--help` answers at once."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import warnings
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from imatgen_flows.candidates.classes import Selection
from imatgen_flows.cli import campaigns, generate, screen
from imatgen_flows.cli.evaluate import evaluate_app
from imatgen_flows.cli.launchpad import launchpad_app
from imatgen_flows.cli.models import models_app
from imatgen_flows.cli.options import AsJson, CampaignFile, ClusterOption, Embedded, RunPath
from imatgen_flows.cli.output import print_table, show_progress
from imatgen_flows.cli.study import study_app
from imatgen_flows.cli.testing import testing_app
from imatgen_flows.errors import ImatgenError, InputError, Interrupted

app = typer.Typer(
    name="imatgen",
    help="Inverse design of crystals: learn known structures, generate new ones, rank them on a convex hull.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(campaigns.app)
app.add_typer(generate.app)
app.add_typer(screen.app)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(launchpad_app, name="launchpad")
app.add_typer(models_app, name="models")
app.add_typer(study_app, name="study")
app.add_typer(testing_app, name="testing")


class Format(str, Enum):
    """Formats that `export` writes."""

    CIF = "cif"
    EXTXYZ = "extxyz"
    CSV = "csv"
    PARQUET = "parquet"


def _version(show: bool) -> None:
    if show:
        from imatgen_flows.version import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where to write it.")],
    old: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="OLD.yaml", help="Convert this campaign of an earlier version.", show_default="none"
        ),
    ] = None,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="Write the configuration directory of a cluster instead, or write it anew."),
    ] = False,
    embedded: Embedded = False,
) -> None:
    """Write a campaign file to start from, or the configuration of a cluster."""
    if cluster and old is not None:
        raise InputError("--from converts a campaign file; leave out --cluster.")
    if cluster:
        from imatgen_flows.cli.cluster import init_cluster

        init_cluster(directory, embedded)
        return
    from imatgen_flows.cli.starter import convert_campaign, write_starter

    if old is not None:
        path, renamings = convert_campaign(old, directory)
        for renaming in renamings:
            typer.echo(renaming)
    else:
        path = write_starter(directory)
    typer.echo(f"wrote {path}. Next: imatgen plan {shlex.quote(str(path))}")


@app.command()
def check(
    campaign: Annotated[Path | None, typer.Argument(metavar="[CAMPAIGN.yaml]", help="The campaign file.")] = None,
    cluster: ClusterOption = None,
    as_json: AsJson = False,
) -> None:
    """Check whether a campaign can run on this machine and, with a configuration directory, on its cluster."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.managers.preflight import check_machine
    from imatgen_flows.settings import get_settings

    checks = check_machine(CampaignConfig.from_file(campaign) if campaign else None)
    where = cluster or get_settings().cluster
    if where:
        from imatgen_flows.managers.cluster_check import check_cluster
        from imatgen_flows.managers.potential_check import node_check

        of_cluster = check_cluster(where, try_sbatch=True)
        checks += of_cluster
        if campaign and of_cluster[0].ok and (on_nodes := node_check(where, campaign)):
            checks.append(on_nodes)
    if as_json:
        typer.echo(json.dumps([vars(item) for item in checks]))
    else:
        for item in checks:
            typer.echo(f"{'ok  ' if item.ok else 'FAIL'}  {item.name}: {item.detail}")
    if not all(item.ok for item in checks):
        raise typer.Exit(1)


@app.command()
def plan(campaign: CampaignFile, as_json: AsJson = False) -> None:
    """Count what a campaign will do, and estimate its cost, before anything runs."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.managers.preflight import make_plan

    config = CampaignConfig.from_file(campaign)
    planned = make_plan(config)
    if as_json:
        typer.echo(json.dumps(planned.to_dict()))
        return
    lines = planned.lines()
    print_table(f"{config.title}: plan", ["", ""], [[name, value] for name, value in lines.items()])
    if examples := planned.examples():
        typer.echo("left out (--json has all of them):")
    for line in examples:
        typer.echo(f"  {line}")
    for warning in planned.warnings():
        typer.echo(f"warning: {warning}")


@app.command()
def run(
    campaign: CampaignFile,
    directory: Annotated[
        Path | None, typer.Option(help="Run directory.", show_default="runs/<name of the file>")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
) -> None:
    """Run a campaign on this machine, to its report."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.managers.local import run_campaign
    from imatgen_flows.managers.run_files import default_run_directory
    from imatgen_flows.report import build_report

    show_progress()
    config = CampaignConfig.from_file(campaign)
    directory = directory or default_run_directory(campaign)
    try:
        run_campaign(config, directory, resume)
    except (KeyboardInterrupt, Interrupted) as stop:
        said, number = (str(stop), stop.signal) if isinstance(stop, Interrupted) else ("stopped.", signal.SIGINT)
        cure = shlex.join(["imatgen", "run", str(campaign), "--directory", str(directory), "--resume"])
        raise Interrupted(f"{said} `{cure}` continues; finished jobs are not repeated.", number) from stop
    _summarise(directory)
    typer.echo(f"report: {build_report(directory)}")
    campaigns.refuse_empty(directory)


@app.command()
def report(run: RunPath) -> None:
    """Build the HTML report of a run anew."""
    from imatgen_flows.report import build_report

    typer.echo(build_report(run))


@app.command()
def export(
    run: RunPath,
    fmt: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.CIF,
    destination: Annotated[Path | None, typer.Option(help="Directory to write to.", show_default="RUN/export")] = None,
    only: Annotated[
        Selection, typer.Option(help=" ".join(f"`{each.value}`: {each.description}" for each in Selection))
    ] = Selection.NEW,
) -> None:
    """Write the candidates of a run for other programs."""
    from imatgen_flows.report import export_run

    written = export_run(run, fmt.value, destination, only.value)
    for path in written:
        typer.echo(path)
    if not written:
        typer.echo(f"no relaxed candidate is `{only.value}`: nothing was written.", err=True)


def _summarise(directory: Path) -> None:
    from imatgen_flows.report.evidence import verdicts
    from imatgen_flows.report.result_directory import crystal_id
    from imatgen_flows.report.run_directory import RunDirectory

    found = RunDirectory.open(directory)
    best = found.new[:10]
    columns = {
        "formula": [row["formula"] for row in best],
        "space group": [row["spacegroup"] for row in best],
        f"E_hull ({found.scale}), eV/atom": [f"{row['e_above_hull']:.3f}" for row in best],
        **verdicts(best),
        "sampled by": [row["sampler"] for row in best],
        "id": [crystal_id(row) for row in best],
    }
    title = f"{found.title}: {len(found.new)} new of {len(found.relaxed)} relaxed; the best"
    print_table(title, list(columns), list(zip(*columns.values(), strict=True)))
    typer.echo(found.basis.sentence(found.pressure))


def main() -> None:
    """Run the command; known errors end in a sentence, not in a traceback."""
    warnings.simplefilter("ignore")  # of the libraries; what a user must know, we say ourselves
    try:
        app()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except Interrupted as stop:
        typer.echo(f"error: {stop}", err=True)
        sys.exit(128 + stop.signal if stop.signal == signal.SIGINT else 1)
    except (ImatgenError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
