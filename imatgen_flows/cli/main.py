"""The `imatgen` command. What takes long to import is imported where it is used: `--help` answers at once."""

from __future__ import annotations

import json
import sys
import warnings
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from imatgen_flows.cli import campaigns, evaluate_baselines, study_latent, study_vacancies
from imatgen_flows.cli.cluster import ClusterOption, Embedded
from imatgen_flows.cli.evaluate import AsJson, Run, evaluate_app, print_table, show_progress
from imatgen_flows.cli.launchpad import launchpad_app
from imatgen_flows.cli.models import models_app
from imatgen_flows.cli.testing import testing_app
from imatgen_flows.errors import ImatgenError, InputError

app = typer.Typer(
    name="imatgen",
    help="Inverse design of crystals: learn known structures, generate new ones, rank them on a convex hull.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(campaigns.app)
evaluate_app.command()(evaluate_baselines.generation)
evaluate_app.command()(study_latent.latent)
evaluate_app.command()(study_vacancies.vacancies)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(launchpad_app, name="launchpad")
app.add_typer(models_app, name="models")
app.add_typer(testing_app, name="testing")

Campaign = Annotated[Path, typer.Argument(metavar="CAMPAIGN.yaml", help="The campaign file.")]


class Format(str, Enum):
    """What `export` writes."""

    CIF = "cif"
    EXTXYZ = "extxyz"
    CSV = "csv"
    PARQUET = "parquet"


class Only(str, Enum):
    """Which candidates `export` writes."""

    NEW = "new"
    ALL = "all"


def _version(show: bool) -> None:
    if show:
        from imatgen_flows import __version__

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
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="Write the configuration directory of a cluster instead, or write it anew."),
    ] = False,
    embedded: Embedded = False,
) -> None:
    """Write a campaign file to start from, or the configuration of a cluster."""
    if cluster:
        from imatgen_flows.cli.cluster import init_cluster

        init_cluster(directory, embedded)
        return
    from imatgen_flows.cli.starter import write_starter

    path = write_starter(directory)
    typer.echo(f"wrote {path}. Next: imatgen plan {path}")


@app.command()
def check(
    campaign: Annotated[Path | None, typer.Argument(metavar="[CAMPAIGN.yaml]", help="The campaign file.")] = None,
    cluster: ClusterOption = None,
    as_json: AsJson = False,
) -> None:
    """Look whether a campaign can run on this machine and, with a configuration directory, on its cluster."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.managers.preflight import check_machine
    from imatgen_flows.settings import get_settings

    checks = check_machine(CampaignConfig.from_file(campaign) if campaign else None)
    where = cluster or get_settings().cluster
    if where:
        from imatgen_flows.managers.cluster_check import check_cluster

        checks += check_cluster(where)
    if as_json:
        typer.echo(json.dumps([vars(item) for item in checks]))
    else:
        for item in checks:
            typer.echo(f"{'ok  ' if item.ok else 'FAIL'}  {item.name}: {item.detail}")
    if not all(item.ok for item in checks):
        raise typer.Exit(1)


@app.command()
def plan(campaign: Campaign, as_json: AsJson = False) -> None:
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


@app.command()
def run(
    campaign: Campaign,
    directory: Annotated[Path | None, typer.Option(help="Run directory [default: runs/<name of the file>].")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Run a campaign on this machine, to its report."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.managers.local import run_campaign
    from imatgen_flows.report import build_report

    show_progress()
    config = CampaignConfig.from_file(campaign)
    directory = run_campaign(config, directory or campaigns.default_run_directory(campaign), resume)
    _summarise(directory)
    typer.echo(f"report: {build_report(directory)}")


@app.command()
def report(run: Run) -> None:
    """Build the HTML report of a run anew."""
    from imatgen_flows.report import build_report

    typer.echo(build_report(run))


@app.command()
def export(
    run: Run,
    fmt: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.CIF,
    destination: Annotated[Path | None, typer.Option(help="Where to write it [default: in the run directory].")] = None,
    only: Annotated[Only, typer.Option(help="Which candidates.")] = Only.NEW,
) -> None:
    """Write the candidates of a run for other programs."""
    from imatgen_flows.report import export_run

    for path in export_run(run, fmt.value, destination, only.value):
        typer.echo(path)


def _summarise(directory: Path) -> None:
    from imatgen_flows.report.run_directory import RunDirectory

    found = RunDirectory.open(directory)
    rows = [
        [row["formula"], row["spacegroup"], f"{row['e_above_hull']:.3f}", row["method"], row["id"]]
        for row in found.new[:10]
    ]
    columns = ["formula", "space group", f"E_hull ({found.scale}), eV/atom", "sampled by", "id"]
    print_table(f"{found.title}: {len(found.new)} new of {len(found.relaxed)} relaxed; the best", columns, rows)


def main() -> None:
    """Run the command; errors that we can name end in a sentence, not a traceback."""
    warnings.simplefilter("ignore")  # of the libraries; what a user must know, we say ourselves
    try:
        app()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except (ImatgenError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
