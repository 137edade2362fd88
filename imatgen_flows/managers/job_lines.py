"""The jobs of a campaign on a cluster, one line each: state, node, SLURM job, times and directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.managers.recovery import BUSY, Finding, FireworkView, Remedy, WorkflowView, diagnose, job_of
from imatgen_flows.managers.slurm import SlurmJob

if TYPE_CHECKING:
    from imatgen_flows.managers.fireworks import CampaignLaunchPad


@dataclass(frozen=True)
class JobLine:
    """One firework, with its state on the LaunchPad and in the queue."""

    fw_id: int
    name: str
    state: str
    profile: str
    slurm: str = ""  # id and state in the queue; empty where SLURM has no job of it
    lost: bool = False  # busy by the LaunchPad, unknown to SLURM for longer than the grace period
    reason: str = ""
    remedy: str = ""  # what `retry` would do to it now
    note: str = ""  # why `retry` would leave it alone, though it looks dead
    slurm_id: str = ""  # also of a job that has left the queue
    worker: str = ""
    node: str = ""
    started: str = ""  # ISO format, UTC
    seconds: float | None = None  # from its start to its end, to now, or to its last sign of life where it is lost
    directory: str = ""

    @property
    def failed(self) -> bool:
        """Whether it fizzled, or is lost."""
        return self.lost or self.state == "FIZZLED"


def read_jobs(cluster: Path, campaign_or_run: str | None = None) -> tuple[str, tuple[JobLine, ...], str]:
    """Read the jobs of a campaign from LaunchPad and SLURM.

    Parameters
    ----------
    cluster : configuration directory
    campaign_or_run : id or run directory of the campaign; the only one if None

    Returns
    -------
    id of the campaign, its jobs in an order in which they can run, and a warning where SLURM does not answer

    Raises
    ------
    InputError
        Where there is no such campaign.
    ImatgenError
        Where the database does not answer, or refuses.
    """
    from imatgen_flows.managers.campaigns import find_campaign
    from imatgen_flows.managers.fireworks import CampaignLaunchPad

    jobs, warning = queue_or_warning(cluster)  # before the LaunchPad is read: see `diagnose`
    pad = CampaignLaunchPad(cluster)
    if campaign_or_run is not None and Path(campaign_or_run).is_dir():
        campaign_or_run = _campaign_in(pad, Path(campaign_or_run))
    campaign_id = find_campaign(pad, campaign_or_run)["campaign_id"]
    return campaign_id, job_lines(pad.workflow(campaign_id), jobs), warning


def queue_or_warning(cluster: Path) -> tuple[dict[str, SlurmJob] | None, str]:
    """Query the jobs in the queue; where SLURM does not answer, return None and its fault."""
    from imatgen_flows.managers.campaigns import live_jobs

    try:
        return live_jobs(cluster), ""
    except ImatgenError as error:
        return None, str(error)


def job_lines(workflow: WorkflowView, jobs: dict[str, SlurmJob] | None) -> tuple[JobLine, ...]:
    """Describe the jobs of a campaign, as `retry` would find them now; an open lock is only a warning here.

    Parameters
    ----------
    workflow : of the campaign
    jobs : in the queue, by id; None where SLURM does not answer
    """
    now = datetime.now(UTC)
    found = [] if jobs is None else diagnose(replace(workflow, locked=False), jobs, now)
    findings = {finding.fw_id: finding for finding in found}
    return tuple(
        _line(firework, jobs or {}, findings.get(firework.fw_id), now)
        for firework in workflow.fireworks
        if firework.recorded is not None
    )


def select_jobs(
    lines: Sequence[JobLine], states: Sequence[str] = (), name: str | None = None, failed: bool = False
) -> list[JobLine]:
    """Select jobs.

    Parameters
    ----------
    lines : of a campaign
    states : on the LaunchPad; any where empty
    name : part of the name, in any case; `*` and `?` stand for any text and any character
    failed : fizzled or lost ones alone
    """
    pattern = f"*{(name or '').lower()}*"
    return [
        line
        for line in lines
        if (not states or line.state in states)
        and fnmatchcase(line.name.lower(), pattern)
        and (line.failed or not failed)
    ]


def _campaign_in(pad: CampaignLaunchPad, directory: Path) -> str:
    """Return the id of the campaign that was last submitted to a run directory."""
    places = {str(directory.absolute()), str(directory.resolve())}
    found = [campaign["campaign_id"] for campaign in pad.campaigns() if campaign["directory"] in places]
    if not found:
        raise InputError(
            f"{directory} is the run directory of no campaign on this LaunchPad. `imatgen status {directory}` shows how "
            "far a run on one machine is. What was submitted with --manager jobflow-remote, `jf job list` lists."
        )
    return found[-1]


def _line(firework: FireworkView, jobs: dict[str, SlurmJob], finding: Finding | None, now: datetime) -> JobLine:
    job = job_of(firework, jobs)
    said = f"{job.id} {job.state}" if job else ""
    if job and job.state == "PENDING" and job.reason:
        said += f" ({job.reason})"
    elif job:
        said += f" {timedelta(seconds=job.seconds)}"
    left = finding is not None and finding.remedy is Remedy.LEAVE
    remedy = finding.remedy if finding and not left else None
    lost = firework.state in BUSY and remedy in (Remedy.RERUN, Remedy.SETTLE)
    line = JobLine(
        firework.fw_id,
        firework.name,
        firework.state,
        firework.category,
        said,
        lost=lost,
        reason=firework.reason,
        remedy=remedy.value if remedy else "",
        note=finding.why if finding and left else "",
    )
    launch = firework.launch
    if launch is None:
        return line
    until = launch.ended or (launch.heartbeat if lost else now)
    return replace(
        line,
        slurm_id=launch.slurm_id or (job.id if job else ""),
        worker=launch.worker,
        node=launch.node,
        started=launch.started.isoformat(timespec="seconds") if launch.started else "",
        seconds=round((until - launch.started).total_seconds(), 1) if launch.started and until else None,
        directory=launch.directory,
    )
