"""The commands for campaigns on a cluster: submit, status, retry, harvest, cancel."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections import Counter
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType

from imatgen_flows.cli.options import CAMPAIGN, CLUSTER, AsJson, CampaignFile, ClusterOption
from imatgen_flows.cli.output import make_table
from imatgen_flows.errors import ImatgenError, InputError

if TYPE_CHECKING:
    from imatgen_flows.managers.progress import Progress
    from imatgen_flows.managers.records import CampaignRecord

app = typer.Typer()

CampaignId = Annotated[str | None, typer.Argument(metavar="[CAMPAIGN]", help="Its id; the only one, if left out.")]
CampaignOrRun = Annotated[
    str | None,
    typer.Argument(
        metavar="[CAMPAIGN|RUN]",
        help="Id of a campaign on a cluster; the only one, if left out. Or the directory of a run on this machine.",
    ),
]

WATCH_SECONDS = 10


class Manager(str, Enum):
    """Who dispatches the jobs."""

    FIREWORKS = "fireworks"
    JOBFLOW_REMOTE = "jobflow-remote"


def cluster_directory(given: Path | None) -> Path:
    """Return the configuration directory that was given, or that the environment names.

    Raises
    ------
    InputError
        Where neither does.
    """
    from imatgen_flows.settings import get_settings

    directory = given or get_settings().cluster
    if directory is None:
        raise InputError(
            "which cluster? Give --cluster DIR, or `. DIR/env.sh`. `imatgen init --cluster DIR` makes one. Of a run on this "
            "machine, `imatgen status RUN` shows the state: give its directory, which must exist."
        )
    return directory.absolute()


@app.command(rich_help_panel=CLUSTER)
def submit(
    campaign: CampaignFile,
    directory: Annotated[
        Path | None,
        typer.Option(help="Run directory, on a disk that all nodes see.", show_default="runs/<name of the file>"),
    ] = None,
    cluster: ClusterOption = None,
    manager: Annotated[Manager, typer.Option(help="Who dispatches the jobs.")] = Manager.FIREWORKS,
    worker: Annotated[str, typer.Option(help="For jobflow-remote: its worker.", show_default="none")] = "",
    project: Annotated[
        str | None, typer.Option(help="For jobflow-remote: its project.", show_default="the default project")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hand a campaign to the cluster."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.managers import campaigns
    from imatgen_flows.managers.run_files import default_run_directory

    config, where = CampaignConfig.from_file(campaign), cluster_directory(cluster)
    directory = directory or default_run_directory(campaign)
    if manager is Manager.JOBFLOW_REMOTE:
        done = campaigns.submit_to_jobflow_remote(config, directory, where, worker, project)
        following = "jf job list"
    else:
        done = campaigns.submit_campaign(config, directory, where)
        following = f"{shlex.quote(str(where))}/start-dispatch.sh (once), imatgen status {done.campaign_id} --watch"
    if as_json:
        typer.echo(json.dumps({"campaign_id": done.campaign_id, "directory": str(done.directory), "jobs": done.jobs}))
        return
    typer.echo(f"submitted {done.campaign_id}: {done.jobs} jobs to start with, results in {done.directory}")
    typer.echo(f"next: {following}")


@app.command(rich_help_panel=CAMPAIGN)
def status(
    campaign_id: CampaignOrRun = None,
    cluster: ClusterOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and look again every ten seconds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the progress of a campaign: jobs, queue, candidates, evaluations, time left. Lists campaigns if there are more.

    Of a run directory it shows the state, the candidates so far, and what goes on with it; no cluster is needed.
    """
    if campaign_id is not None and Path(campaign_id).is_dir():
        if watch:
            raise InputError("--watch is for campaigns on a cluster; of a run directory, leave it out.")
        _show_run(Path(campaign_id), as_json)
        return
    if campaign_id is not None and "/" in campaign_id:
        raise InputError(f"{campaign_id}: there is no such run directory.")
    from imatgen_flows.managers.dispatcher import read_fault
    from imatgen_flows.managers.fireworks import CampaignLaunchPad
    from imatgen_flows.managers.progress import read_progress

    where, console = cluster_directory(cluster), Console()
    known = CampaignLaunchPad(where).campaigns()
    if campaign_id is None and len(known) != 1:
        _list(known, console, as_json)
        if fault := read_fault(where):
            typer.echo(f"warning: {fault}", err=as_json)
        return
    if as_json:
        typer.echo(json.dumps(read_progress(where, campaign_id).to_dict()))
        return
    if not watch:
        console.print(_page(read_progress(where, campaign_id)))
        return
    from rich.live import Live

    with Live(_page(read_progress(where, campaign_id)), console=console, auto_refresh=False) as live:
        while True:
            progress = read_progress(where, campaign_id)
            live.update(_page(progress), refresh=True)
            if progress.state in ("COMPLETED", "DEFUSED", "ARCHIVED"):
                return
            time.sleep(WATCH_SECONDS)


@app.command(rich_help_panel=CLUSTER)
def retry(
    campaign_id: CampaignId = None,
    cluster: ClusterOption = None,
    grace: Annotated[float, typer.Option(help="Leave alone what changed less than this ago, s.")] = 60.0,
    unlock: Annotated[
        bool,
        typer.Option("--unlock", help="Open a lock even while jobs of the campaign live. One of them may hold it."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restart jobs that are lost, locked, orphaned or fizzled. Jobs that SLURM still runs are not touched."""
    from imatgen_flows.managers.campaigns import retry_campaign

    found = retry_campaign(cluster_directory(cluster), campaign_id, timedelta(seconds=grace), unlock)
    if as_json:
        typer.echo(json.dumps([vars(finding) for finding in found]))
        return
    for finding in found:
        typer.echo(f"{finding.remedy.value:9}  {finding.fw_id:5}  {finding.name}: {finding.why}")
    if not found:
        typer.echo("nothing to restart.")


@app.command(rich_help_panel=CLUSTER)
def harvest(
    campaign_id: CampaignId = None,
    cluster: ClusterOption = None,
    directory: Annotated[
        Path | None, typer.Option(help="Where to write.", show_default="the campaign's run directory")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take what is relaxed so far; the other candidates count as lost.")
    ] = False,
    manager: Annotated[Manager, typer.Option(help="Who dispatched the jobs.")] = Manager.FIREWORKS,
) -> None:
    """Write the run directory with its report, from the stores alone."""
    from imatgen_flows.managers.campaigns import harvest_campaign
    from imatgen_flows.report import build_report

    if manager is Manager.JOBFLOW_REMOTE:
        from imatgen_flows.managers.jobflow_remote import harvest_remote

        if directory is None:
            raise InputError("which run? Give --directory, where the campaign was submitted to, as seen from here.")
        written = harvest_remote(directory)
    else:
        written = harvest_campaign(cluster_directory(cluster), campaign_id, directory, partial)
    typer.echo(f"report: {build_report(written)}")
    refuse_empty(written)


def refuse_empty(directory: Path) -> None:
    """End with exit status 1 where a finished run has no shortlist.

    Raises
    ------
    ImatgenError
        It says why there is none, and what to change.
    """
    from imatgen_flows.report.run_directory import RunDirectory

    if empty := RunDirectory.open(directory).empty:
        raise ImatgenError(empty)


@app.command(rich_help_panel=CLUSTER)
def cancel(
    campaign_id: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="Its id.")],
    cluster: ClusterOption = None,
) -> None:
    """Cancel a campaign and its jobs in the queue. Finished jobs keep their results."""
    from imatgen_flows.managers.campaigns import cancel_campaign

    ended = cancel_campaign(cluster_directory(cluster), campaign_id)
    typer.echo(
        f"cancelled {campaign_id}; {ended} jobs were in the queue. Submitted again, it goes on from its run directory."
    )


def _show_run(directory: Path, as_json: bool) -> None:
    """Show the state of a run on this machine, its candidates so far, and what goes on with it."""
    from imatgen_flows.run import Run

    run = Run.open(directory)
    counts, note = dict[str, int](), ""
    try:
        counts = {str(state): int(number) for state, number in run.candidates["state"].value_counts().items()}
    except InputError as error:  # none yet, or files are missing
        note = str(error)
    if as_json:
        said = {"directory": str(run.path), "state": run.state.value, "outlook": run.outlook, "failure": run.failure}
        progress = run.progress.to_dict() if run.progress else None
        typer.echo(json.dumps(said | {"candidates": counts, "note": note, "progress": progress}))
        return
    typer.echo(f"{run.config.title}  {run.state.value}\n{note or f'{run.path}: {run.outlook}'}")
    if counts:
        typer.echo(_sum("candidates", counts))


def _list(known: list[CampaignRecord], console: Console, as_json: bool) -> None:
    rows = [
        {
            "campaign_id": campaign["campaign_id"],
            "state": campaign["state"],
            "submitted": campaign["submitted"],
            "directory": campaign["directory"],
        }
        for campaign in known
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    console.print(
        make_table(
            "campaigns", ["campaign", "state", "submitted", "run directory"], [list(row.values()) for row in rows]
        )
    )


def _page(progress: Progress) -> RenderableType:
    """Format one campaign for people; batches, of which there may be hundreds, share a line."""
    title = f"{progress.campaign_id}  {progress.state}"
    rows = []
    groups: dict[str, list] = {}
    for line in progress.jobs:
        groups.setdefault(re.sub(r"batch \d+ of \d+", "batches", line.name), []).append(line)
    for name, lines in groups.items():
        states = Counter(line.state + (" (lost)" if line.lost else "") for line in lines)
        queued = Counter(line.slurm.partition(" ")[2].split(" ")[0] for line in lines if line.slurm)
        one = len(lines) == 1
        said = lines[0].slurm if one else ", ".join(f"{number} {state}" for state, number in queued.items())
        counted = ", ".join(state if one else f"{number} {state}" for state, number in states.items())
        rows.append([name, counted, said])
    lines = [
        _sum("fireworks", progress.fireworks),
        _sum("candidates", progress.candidates),
        _sum("energy evaluations", progress.evaluations),
    ]
    done, total = progress.relaxations
    if total:
        left = progress.seconds_left
        until = f", about {timedelta(seconds=round(left))} left at the rate so far" if left and done < total else ""
        lines.append(f"relaxed: {done:,} of {total:,}{until}")
    lines += [f"{line.name} (firework {line.fw_id}) fizzled: {line.reason}" for line in progress.jobs if line.reason]
    lines += [f"{line.name} (firework {line.fw_id}): {line.note}" for line in progress.jobs if line.note]
    if any(line.lost or (line.remedy and line.state == "FIZZLED") for line in progress.jobs):
        lines.append("`imatgen retry` restarts what is lost or fizzled")
    table = make_table(title, ["job", "LaunchPad", "SLURM"], rows, caption=progress.directory)
    return Group(table, *(line for line in lines if line), *(f"warning: {text}" for text in progress.warnings))


def _sum(title: str, counts: dict[str, int]) -> str:
    return f"{title}: {', '.join(f'{number:,} {name}' for name, number in counts.items())}" if counts else ""
