"""Diagnosis of a campaign after a crash: which fireworks are damaged or lost, and how each is repaired.

SLURM alone decides whether a firework is alive: its job is in the queue or it is not. The grace period only protects what
has just changed, since a job may be submitted between the two queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from imatgen_flows.managers.slurm import SlurmJob
from imatgen_flows.registry import DescribedEnum

GRACE = timedelta(seconds=60)  # a firework that changed later is left alone
BUSY = ("RUNNING", "RESERVED")
ENDED = ("COMPLETED", "FIZZLED")


@dataclass(frozen=True)
class LaunchView:
    """The last attempt to run a firework."""

    id: int
    state: str
    directory: str = ""
    slurm_id: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    heartbeat: datetime | None = None  # the last sign of life while it ran
    worker: str = ""
    node: str = ""  # empty before it started


@dataclass(frozen=True)
class FireworkView:
    """A firework with its state in its own record (`state`) and in the record of its workflow (`recorded`).

    FireWorks writes the firework first and the workflow last: the state in the workflow is the one whose write was
    completed. A firework in no workflow (`recorded` is None) is the remnant of an unfinished write.
    """

    fw_id: int
    name: str
    state: str
    recorded: str | None
    updated: datetime
    uuid: str = ""
    index: int = 1
    launch: LaunchView | None = None
    category: str = ""
    reason: str = ""  # why it fizzled


@dataclass(frozen=True)
class WorkflowView:
    """The workflow of a campaign on the LaunchPad."""

    fireworks: tuple[FireworkView, ...]
    locked: bool
    updated: datetime


class Remedy(DescribedEnum):
    """How a damaged firework is repaired."""

    UNLOCK = "unlock", "Unlock", "Open the lock of its workflow."
    DELETE = "delete", "Delete", "Delete the orphan of an unfinished write."
    ROLL_BACK = "roll back", "Roll back", "Return to the state in its workflow, then refresh."
    REFRESH = "refresh", "Refresh", "Update its record, since its run has ended."
    SETTLE = "settle", "Settle", "Count it as completed, since it replaced itself before it died."
    RERUN = "rerun", "Rerun", "Run it again."
    LEAVE = "leave", "Leave", "Do nothing."


@dataclass(frozen=True)
class Finding:
    """A damaged firework, and how it is repaired."""

    fw_id: int
    name: str
    remedy: Remedy
    why: str
    launch_id: int | None = None  # of the run that was diagnosed; a newer run is not touched


def diagnose(
    workflow: WorkflowView, jobs: Mapping[str, SlurmJob], now: datetime, grace: timedelta = GRACE, unlock: bool = False
) -> list[Finding]:
    """Find the fireworks that no running job will complete. `retry` repairs what this finds, and `status` shows it.

    Structural damage comes first: where there is any, reruns wait for the next call. What cannot be judged yet is found
    too, with the remedy to leave it.

    Parameters
    ----------
    workflow : as read after `jobs`, so that what ran then and has ended since is not taken for lost
    jobs : all that SLURM has not ended yet, by id
    now : time of the question
    grace : what changed less than this ago is left alone
    unlock : open a lock even though jobs of the workflow live
    """
    alive = [firework for firework in workflow.fireworks if is_alive(firework, jobs)]
    if workflow.locked:
        first = workflow.fireworks[0]
        if alive and not unlock:
            held = ", ".join(str(firework.fw_id) for firework in alive[:5])
            why = f"its workflow is locked, perhaps by a job that lives (fireworks {held}); try again when they have ended"
            return [Finding(first.fw_id, first.name, Remedy.LEAVE, why)]
        return [Finding(first.fw_id, first.name, Remedy.UNLOCK, "its workflow is locked, and no job of it lives")]
    quiet = [firework for firework in workflow.fireworks if firework not in alive]
    settled = [firework for firework in quiet if firework.state == "FIZZLED" or now - firework.updated >= grace]
    replaced = {(firework.uuid, firework.index - 1) for firework in workflow.fireworks if firework.recorded is not None}
    found = [finding for firework in settled if (finding := _structural(firework))]
    undecided = [
        finding for firework in workflow.fireworks if (finding := _undecided(firework, alive, settled, now, grace))
    ]
    return found or [finding for firework in settled if (finding := _dead(firework, replaced))] + undecided


def is_alive(firework: FireworkView, jobs: Mapping[str, SlurmJob]) -> bool:
    """Whether SLURM still has the job of a firework."""
    return job_of(firework, jobs) is not None


def job_of(firework: FireworkView, jobs: Mapping[str, SlurmJob]) -> SlurmJob | None:
    """Find the job of a firework in the queue, by its id or by the directory that it was submitted from."""
    launch = firework.launch
    if launch is None or firework.state not in (*BUSY, *ENDED):
        return None
    if launch.slurm_id is not None and launch.slurm_id in jobs:
        return jobs[launch.slurm_id]
    here = Path(launch.directory)
    places = (here, here.parent) if launch.directory else ()
    return next((job for job in jobs.values() if Path(job.directory) in places), None)


def _structural(firework: FireworkView) -> Finding | None:
    launch = firework.launch
    if firework.recorded is None:
        return _finding(firework, Remedy.DELETE, "it is in no workflow: the write that made it was cut short")
    if firework.state == "COMPLETED" and firework.recorded not in ENDED:
        why = f"it completed, but its workflow still says {firework.recorded}"
        return _finding(firework, Remedy.ROLL_BACK, why)
    if firework.state in BUSY and launch is not None and launch.state in ENDED:
        return _finding(firework, Remedy.REFRESH, f"its run is {launch.state}, but it is still {firework.state}")
    return None


def _dead(firework: FireworkView, replaced: set[tuple[str, int]]) -> Finding | None:
    launch = firework.launch
    if firework.state == "FIZZLED":
        why = f"it fizzled{': ' + firework.reason if firework.reason else ''}"
    elif firework.state not in BUSY:
        return None
    elif launch is None:
        why = f"it is {firework.state} without a launch: it was taken by a process that died"
    elif launch.slurm_id is not None:
        why = f"it is {firework.state}, but SLURM has no job {launch.slurm_id} any more"
    elif firework.state == "RESERVED":
        why = "it is RESERVED, but no job was ever submitted for it"
    else:
        why = f"it is RUNNING, but not under SLURM: where its process is gone, `lpad rerun_fws -i {firework.fw_id}`"
        return _finding(firework, Remedy.LEAVE, why)
    if (firework.uuid, firework.index) in replaced:
        return _finding(firework, Remedy.SETTLE, f"{why}; the jobs that take its place stand already")
    return _finding(firework, Remedy.RERUN, why)


def _undecided(
    firework: FireworkView, alive: list[FireworkView], settled: list[FireworkView], now: datetime, grace: timedelta
) -> Finding | None:
    """Say of a firework that looks dead why it is left alone for now."""
    if firework in alive:
        ending = "it fizzled, but SLURM has not ended its job yet: try again when it has"
        return _finding(firework, Remedy.LEAVE, ending) if firework.state == "FIZZLED" else None
    if firework in settled or firework.state not in BUSY or (firework.launch and firework.launch.state in ENDED):
        return None
    since = max(0, round((now - firework.updated).total_seconds()))
    why = f"it became {firework.state} {since} s ago and SLURM has no job of it"
    return _finding(firework, Remedy.LEAVE, f"{why}; it counts as lost after {grace.total_seconds():g} s")


def _finding(firework: FireworkView, remedy: Remedy, why: str) -> Finding:
    return Finding(firework.fw_id, firework.name, remedy, why, firework.launch.id if firework.launch else None)
