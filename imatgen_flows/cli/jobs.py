"""The commands for single jobs of a campaign on a cluster: jobs, logs."""

from __future__ import annotations

import json
import shlex
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from imatgen_flows.cli.campaigns import cluster_directory
from imatgen_flows.cli.options import CLUSTER, AsJson, ClusterOption
from imatgen_flows.cli.output import make_table
from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imatgen_flows.managers.job_lines import JobLine

app = typer.Typer()


class JobState(str, Enum):
    """The states of a firework on a LaunchPad."""

    WAITING = "WAITING"
    READY = "READY"
    RESERVED = "RESERVED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FIZZLED = "FIZZLED"
    PAUSED = "PAUSED"
    DEFUSED = "DEFUSED"
    ARCHIVED = "ARCHIVED"


@app.command(rich_help_panel=CLUSTER)
def jobs(
    campaign: Annotated[
        str | None,
        typer.Argument(
            metavar="[CAMPAIGN|RUN]", help="Id or run directory of a campaign on a cluster; the only one, if left out."
        ),
    ] = None,
    cluster: ClusterOption = None,
    state: Annotated[
        list[JobState] | None,
        typer.Option(
            case_sensitive=False,
            metavar="STATE",
            help=f"Only jobs in this state; may be repeated. One of {', '.join(JobState)}.",
            show_default="any",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Only jobs with this in their name; `*` stands for any text.", show_default="any"),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only jobs that fizzled or are lost, and why.")] = False,
    directories: Annotated[
        bool, typer.Option("--directories", help="Show where each job runs, in place of when.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the jobs of a campaign: state, node, SLURM job, times, directory.

    Under jobflow-remote, `jf job list` does this.
    """
    from imatgen_flows.managers.job_lines import read_jobs, select_jobs

    try:
        where = cluster_directory(cluster)
    except InputError as error:
        if campaign and Path(campaign).is_dir():
            raise InputError(
                f"{campaign}: a run on this machine has no jobs on a cluster; `imatgen status {shlex.quote(campaign)}` shows "
                "it. Of one on a cluster, give --cluster DIR too."
            ) from error
        raise
    campaign_id, lines, warning = read_jobs(where, campaign)
    chosen = select_jobs(lines, [item.value for item in state or ()], name, failed)
    if as_json:
        typer.echo(json.dumps([vars(line) for line in chosen]))
    else:
        title, count = f"{campaign_id}: jobs", f"{len(chosen):,} of {len(lines):,} jobs"
        Console().print(make_table(title, *(_places(chosen) if directories else _times(chosen)), caption=count))
        for line in chosen if failed else ():
            typer.echo(f"{line.fw_id} {line.name}: {line.reason or line.note or 'lost'}")
    if warning:
        typer.echo(f"warning: {warning}", err=True)


@app.command(rich_help_panel=CLUSTER)
def logs(
    job: Annotated[int, typer.Argument(metavar="JOB", help="Its number in `imatgen jobs`.", min=1)],
    cluster: ClusterOption = None,
    lines: Annotated[int, typer.Option(min=1, help="Last lines of each file.")] = 40,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what a running job prints.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the end of what a job printed: output, errors, and the traceback where it failed.

    Under jobflow-remote, `jf job queue-out JOB` does this, and `jf job info JOB` shows its error.
    """
    from imatgen_flows.managers.job_output import follow_output, read_output

    if follow and as_json:
        raise InputError("--follow prints as the job does, and --json once: leave one out.")
    where = cluster_directory(cluster)
    found = read_output(where, job, lines)
    if as_json:
        said = {"job": vars(found.job), "files": found.files, "traceback": found.traceback, "note": found.note}
        typer.echo(json.dumps(said))
        return
    line = found.job
    slurm = f", SLURM job {line.slurm_id}" if line.slurm_id else ""
    typer.echo(f"{line.fw_id} {line.name}: {_state(line)} on {line.node or 'no node'}{slurm}\n{line.directory}")
    for path, text in found.files.items():
        typer.echo(f"\n==> {path.removeprefix(line.directory).lstrip('/')} <==\n" + "\n".join(text))
    if found.traceback:
        typer.echo(f"\n==> traceback on the LaunchPad <==\n{found.traceback.rstrip()}")
    if found.note:
        typer.echo(f"\n{found.note}")
    for added in follow_output(where, found) if follow else ():
        typer.echo(added, nl=False)


def _times(lines: Sequence[JobLine]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            str(line.fw_id),
            line.name,
            _state(line),
            line.node,
            line.slurm if line.state == "RESERVED" else line.slurm_id,
            f"{datetime.fromisoformat(line.started).astimezone():%m-%d %H:%M}" if line.started else "",
            "" if line.seconds is None else str(timedelta(seconds=round(line.seconds))),
        ]
        for line in lines
    ]
    return ["job", "name", "state", "node", "SLURM", "started", "ran for"], rows


def _places(lines: Sequence[JobLine]) -> tuple[list[str], list[list[str]]]:
    rows = [[str(line.fw_id), line.name, _state(line), line.directory] for line in lines]
    return ["job", "name", "state", "directory"], rows


def _state(line: JobLine) -> str:
    return line.state + (" (lost)" if line.lost else "")
