"""The `imatgen` command. Slow imports are made where they are used, so that `--help` answers at once."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from imatgen_flows.cli import campaigns, generate, jobs, results, screen
from imatgen_flows.cli.evaluate import evaluate_app
from imatgen_flows.cli.launchpad import launchpad_app
from imatgen_flows.cli.models import models_app
from imatgen_flows.cli.options import (
    CAMPAIGN,
    CLUSTER,
    TOOLS,
    AsJson,
    CampaignFile,
    ClusterOption,
    Embedded,
    Measure,
    parse_system,
)
from imatgen_flows.cli.output import print_table
from imatgen_flows.cli.starter import PROTOTYPES, STARTS, convert_campaign, write_starter
from imatgen_flows.cli.study import study_app
from imatgen_flows.cli.testing import testing_app
from imatgen_flows.errors import ImatgenError, InputError, Interrupted, Terminated

app = typer.Typer(
    name="imatgen",
    help="Inverse design of crystals: learn known structures, generate new ones, rank them on a convex hull.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


@app.command(rich_help_panel=CAMPAIGN)
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it.")],
    system: Annotated[
        str | None,
        typer.Option(metavar="Zr-N", help="Two to five elements, joined by hyphens.", show_default="V-O"),
    ] = None,
    origin: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SOURCE|OLD.yaml",
            help=f"Where crystals come from: {', '.join(STARTS)}. Or a campaign file of an earlier version, which is "
            "converted.",
        ),
    ] = PROTOTYPES,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="Write the configuration directory of a cluster instead, or write it anew."),
    ] = False,
    embedded: Embedded = False,
) -> None:
    """Write a campaign file to start from, or the configuration of a cluster."""
    if cluster:
        if system is not None or origin != PROTOTYPES:
            raise InputError("--system and --from are of a campaign file; leave them out, or --cluster.")
        from imatgen_flows.cli.cluster import init_cluster

        init_cluster(directory, embedded)
        return
    if origin in STARTS:
        path = write_starter(directory, parse_system(system or "V-O"), origin)
    elif system is None:
        path, renamings = convert_campaign(Path(origin), directory)
        for renaming in renamings:
            typer.echo(renaming)
    else:
        raise InputError(f"--from {origin}: with --system it is one of {', '.join(STARTS)}.")
    typer.echo(f"wrote {path}. Next: imatgen check {shlex.quote(str(path))}")


@app.command(rich_help_panel=CAMPAIGN)
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
            typer.echo(f"{item.mark}  {item.name}: {item.detail}")
    if not all(item.ok for item in checks):
        raise typer.Exit(1)


@app.command(rich_help_panel=CAMPAIGN)
def plan(campaign: CampaignFile, measure: Measure = True, as_json: AsJson = False) -> None:
    """Count what a campaign will do, and how long each stage takes here, before anything runs."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.managers.preflight import make_plan

    config = CampaignConfig.from_file(campaign)
    planned = make_plan(config, measure)
    if as_json:
        typer.echo(json.dumps(planned.to_dict()))
        return
    lines = planned.lines()
    print_table(f"{config.title}: plan", ["", ""], [[name, value] for name, value in lines.items()])
    print_table("stages", ["stage", "time", "probably"], planned.stage_lines())
    if examples := planned.examples():
        typer.echo("left out (--json has all of them):")
    for line in examples:
        typer.echo(f"  {line}")
    for warning in planned.warnings():
        typer.echo(f"warning: {warning}")


@app.command(rich_help_panel=CAMPAIGN)
def run(
    campaign: CampaignFile,
    directory: Annotated[
        Path | None, typer.Option(help="Run directory.", show_default="runs/<name of the file>")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    measure: Measure = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show warnings and the result alone.")] = False,
) -> None:
    """Run a campaign on this machine, to its report. Shows the stage, what it does, and the time spent and left."""
    from imatgen_flows.cli.progress_line import show_run
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.managers.local import run_campaign
    from imatgen_flows.managers.preflight import plan_stages
    from imatgen_flows.managers.run_files import default_run_directory
    from imatgen_flows.report import build_report

    config = CampaignConfig.from_file(campaign)
    directory = directory or default_run_directory(campaign)
    try:
        with terminable(), show_run(quiet) as display:
            run_campaign(config, directory, resume, partial(plan_stages, measure=measure), display)
        results.print_result(directory)
        typer.echo(f"report: {build_report(directory)}")
    except (KeyboardInterrupt, Interrupted) as stop:
        raise stopped(stop, directory) from stop
    campaigns.refuse_empty(directory)


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the work of a block as Ctrl-C does."""

    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stopped(stop: BaseException, directory: Path) -> Interrupted:
    """Say what a stopped run leaves, and how it goes on."""
    from imatgen_flows.run import Run

    number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
    said = f"stopped by {number.name}."
    if isinstance(stop, Interrupted):
        said, number = str(stop), signal.Signals(stop.signal)
    try:
        return Interrupted(f"{said}\n{directory}: {Run.open(directory).outlook}", number)
    except InputError:  # nothing has run yet
        return Interrupted(f"{said} Nothing has run yet: give the same command again.", number)


# `imatgen --help` lists the commands in the order in which they are added
app.add_typer(results.app)
app.add_typer(campaigns.app)
app.add_typer(jobs.app)
app.add_typer(launchpad_app, name="launchpad", rich_help_panel=CLUSTER)
app.add_typer(generate.app)
app.add_typer(screen.app)
for name, group in {"evaluate": evaluate_app, "models": models_app, "study": study_app, "testing": testing_app}.items():
    app.add_typer(group, name=name, rich_help_panel=TOOLS)


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
        sys.exit(128 + stop.signal if stop.signal in (signal.SIGINT, signal.SIGTERM) else 1)
    except (ImatgenError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
