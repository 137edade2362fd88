"""What a job of a campaign printed: the ends of its output files, and the traceback that the LaunchPad keeps."""

from __future__ import annotations

import gzip
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.managers.job_lines import JobLine, job_lines, queue_or_warning

if TYPE_CHECKING:
    from imatgen_flows.managers.fireworks import CampaignLaunchPad

# the output and error of SLURM's batch script, or of `rlaunch --local_redirect`
OF_THE_JOB = ("{name}.out", "{name}.error")
OF_VASP = ("vasp.out*", "std_err.txt*")  # atomate2 compresses them at the end
WIDTH = 4096  # bytes that a line may have on the average, so that a huge file is not read whole
FOLLOW_SECONDS = 1.0


@dataclass(frozen=True)
class JobOutput:
    """What there is of a job's output.

    Attributes
    ----------
    job : its line
    files : the last lines of each file that is not empty, by its path
    traceback : of a job that fizzled
    note : why there are no files, where there are none
    sizes : of all its files when they were read, bytes
    """

    job: JobLine
    files: dict[str, list[str]]
    traceback: str = ""
    note: str = ""
    sizes: dict[Path, int] = field(default_factory=dict)


def read_output(cluster: Path, number: int, lines: int) -> JobOutput:
    """Read the end of what a job printed.

    Parameters
    ----------
    cluster : configuration directory
    number : of the job, as `imatgen jobs` lists it
    lines : of each file, at most

    Raises
    ------
    InputError
        Where there is no such job.
    ImatgenError
        Where it has not started, or nothing of it can be read here; the message says why.
    """
    from imatgen_flows.managers.fireworks import CampaignLaunchPad

    pad = CampaignLaunchPad(cluster)
    job, launch_id = _find(cluster, pad, number)
    if launch_id is None or not job.started:
        raise ImatgenError(_not_started(job))
    sizes = {path: path.stat().st_size for path in output_files(job)}
    found = {str(path): text for path, size in sizes.items() if (text := last_lines(path, lines, size))}
    traceback = pad.traceback(launch_id) if job.state == "FIZZLED" else ""
    note = "" if found else _nothing(job)
    if not found and not traceback:
        raise ImatgenError(f"job {number} ({job.name}) is {job.state}: {note}")
    return JobOutput(job, found, traceback, note, sizes)


def follow_output(cluster: Path, output: JobOutput) -> Iterator[str]:
    """Yield what is appended to the output files of a job after they were read, until it no longer runs."""
    from imatgen_flows.managers.fireworks import CampaignLaunchPad

    pad, job, ends = CampaignLaunchPad(cluster), output.job, dict(output.sizes)
    while True:
        running = job.state == "RUNNING" and not job.lost
        for path in output_files(job):
            start = ends.get(path, 0)
            with path.open("rb") as file:
                file.seek(start)
                added = file.read()
            ends[path] = start + len(added)
            if added:
                yield added.decode(errors="replace")
        if not running:
            return
        time.sleep(FOLLOW_SECONDS)
        job, _ = _find(cluster, pad, job.fw_id)


def output_files(job: JobLine) -> list[Path]:
    """List the output files of a job that can be seen from here: of its last run alone."""
    here = Path(job.directory)
    # SLURM writes where the job was submitted: without reservation above the directory in which it ran
    name, places = (f"*-{job.slurm_id}", (here, here.parent)) if job.slurm_id else ("FW_job", (here,))
    patterns = [(place, pattern.format(name=name)) for pattern in OF_THE_JOB for place in places]
    patterns += [(here, pattern) for pattern in OF_VASP]
    found = [path for place, pattern in patterns for path in sorted(place.glob(pattern))]
    return [path for path in dict.fromkeys(found) if path.is_file()]


def last_lines(path: Path, number: int, size: int) -> list[str]:
    """Read the last lines of the first bytes of a text file, which may be compressed; empty where it cannot be read."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", errors="replace") as file:
                return [line.rstrip("\n") for line in deque(file, maxlen=number)]
        with path.open("rb") as raw:
            start = max(0, size - number * WIDTH)
            raw.seek(start)
            return raw.read(size - start).decode(errors="replace").splitlines()[-number:]
    except (OSError, EOFError):
        return []


def _find(cluster: Path, pad: CampaignLaunchPad, number: int) -> tuple[JobLine, int | None]:
    jobs, _ = queue_or_warning(cluster)
    workflow = pad.workflow(pad.campaign_of(number))
    for line in job_lines(workflow, jobs):
        if line.fw_id == number:
            launch = next(firework for firework in workflow.fireworks if firework.fw_id == number).launch
            return line, launch.id if launch else None
    raise InputError(f"job {number} is the remnant of an unfinished write: `imatgen retry` deletes it.")


def _not_started(job: JobLine) -> str:
    reasons = {
        "WAITING": "it waits for other jobs",
        "READY": "no worker has taken it yet (is the dispatcher running?)",
        "RESERVED": f"SLURM has it as {job.slurm}" if job.slurm else f"SLURM has no job {job.slurm_id or 'of it'} now",
    }
    why = reasons.get(job.state, "there is nothing to show")
    return f"job {job.fw_id} ({job.name}) has not started: it is {job.state}, and {why}."


def _nothing(job: JobLine) -> str:
    """Say why no output of a job that has started is found here."""
    if not Path(job.directory).is_dir():
        return (
            f"its directory {job.directory} is not on this machine ({socket.gethostname()}); it ran on "
            f"{job.node or 'an unknown machine'}. Ask there, or on any machine that shares its disk."
        )
    if not job.slurm_id:
        return (
            f"it ran without SLURM, and {job.directory} holds nothing that it printed. `start-local.sh` keeps that of each "
            "job; an `rlaunch` of your own does with --local_redirect."
        )
    return f"it has printed nothing yet in {job.directory}."
