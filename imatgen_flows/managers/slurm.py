"""Interface to SLURM: the submission and the cancelling of jobs, the queue, and the partitions."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from imatgen_flows.errors import ImatgenError

TIMEOUT = 30.0  # s; a busy controller answers within 10
BATCH = 500  # job ids a command

# a state that we do not know counts as alive, since a job that is taken for dead would be run twice
ENDED = (
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY"),
    *("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "REVOKED"),
)

# control characters, which no one types into the name of a job or folder; a name may hold a line break
RECORD, FIELD = "\x1e", "\x1f"
JOB_FIELDS = ("%i", "%T", "%r", "%P", "%M", "%Z", "%j")
PARTITION_FIELDS = ("%R", "%l", "%G", "%D", "%c", "%m", "%a")

UNITS = ("", "K", "M", "G", "T", "P")  # each 1024 of the one before, as SLURM counts, nodes and cores included
NO_LIMIT = ("infinite", "UNLIMITED", "NOT_SET", "n/a")


class UnreadableAnswer(ImatgenError):
    """SLURM took a job, but what it answered has no id, or more than one."""


@dataclass(frozen=True)
class SlurmJob:
    """A job that has not ended yet."""

    id: str  # as squeue prints it: 17, 17_[4-9], 17+0
    name: str
    state: str  # PENDING, RUNNING, COMPLETING ...
    reason: str  # why it waits; `None` where it does not
    partition: str
    directory: str
    seconds: int  # since it started


@dataclass(frozen=True)
class Partition:
    """A partition, with the resources of its largest node."""

    name: str
    walltime: int | None  # s; None without a limit
    gres: str  # of each kind of node, for example gpu:a100:4; empty where there is none
    nodes: int
    cores: int
    memory: int  # MB
    up: bool


def live_jobs(user: str | None = None, timeout: float = TIMEOUT) -> dict[str, SlurmJob]:
    """Query the jobs of a user that have not ended yet: waiting, running, suspended, requeued or ending.

    Parameters
    ----------
    user : name or number; the user of this process where None
    timeout : s

    Raises
    ------
    ImatgenError
        Where SLURM does not answer, which is never the same as having no jobs.
    """
    command = ["squeue", "--noheader", "--states=all", f"--user={user or os.getuid()}"]
    found = {}
    for job_id, state, reason, partition, elapsed, directory, name in _ask(command, JOB_FIELDS, timeout):
        if state not in ENDED:
            found[job_id] = SlurmJob(job_id, name, state, reason, partition, directory, parse_time(elapsed) or 0)
    return found


def is_set_up(timeout: float = TIMEOUT) -> bool:
    """Test whether SLURM's commands here belong to a cluster, rather than to a package that was never configured."""
    return "could not establish a configuration source" not in _run(["sinfo"], timeout).stderr.lower()


def partitions(timeout: float = TIMEOUT) -> dict[str, Partition]:
    """Query the partitions, hidden ones included.

    Raises
    ------
    ImatgenError
        Where SLURM does not answer.
    """
    found: dict[str, Partition] = {}
    # --exact: one line for each kind of node in a partition, instead of `8+` cores for all
    command = ["sinfo", "--noheader", "--all", "--exact"]
    for name, walltime, gres, nodes, cores, memory, state in _ask(command, PARTITION_FIELDS, timeout):
        known = found.get(name) or Partition(name, _limit(walltime), "", 0, 0, 0, state == "up")
        offered = "" if gres == "(null)" else re.sub(r"\([^)]*\)", "", gres)  # without the sockets
        found[name] = Partition(
            name,
            known.walltime,
            ",".join(dict.fromkeys(filter(None, (known.gres, offered)))),
            known.nodes + parse_count(nodes),
            max(known.cores, parse_count(cores)),
            max(known.memory, parse_count(memory, "M")),
            known.up,
        )
    return found


def submit(script: str | os.PathLike[str], options: Sequence[str] = (), timeout: float | None = None) -> str:
    """Submit a batch script from the working directory, and return the id of its job.

    Parameters
    ----------
    script : file
    options : of `sbatch`, which come before those in the script
    timeout : s; by default as long as `sbatch` itself waits, since one that is ended may have submitted

    Raises
    ------
    UnreadableAnswer
        Where SLURM took the job and its answer cannot be read. To submit it again would make a second job.
    ImatgenError
        Where SLURM refuses the job, or there is none.
    """
    done = _run(["sbatch", "--parsable", *options, os.fspath(script)], timeout)
    if done.returncode:
        raise ImatgenError(f"sbatch refuses it: {_last_line(done)}")
    return read_job_id(done.stdout)


def refusal(options: Sequence[str], timeout: float = TIMEOUT) -> str:
    """Ask SLURM why it would refuse a job with these options of `sbatch`; empty where it would take it. None is submitted.

    Raises
    ------
    ImatgenError
        Where SLURM does not answer.
    """
    done = _run(["sbatch", "--test-only", "--wrap=true", *options], timeout)
    return _last_line(done) if done.returncode else ""


def read_job_id(answer: str) -> str:
    r"""Read the id of a job out of the answer of `sbatch --parsable`; a wrapper may print other lines around it.

    Raises
    ------
    UnreadableAnswer
        Where no line holds an id, or several hold different ones.

    Examples
    --------
    >>> read_job_id("17"), read_job_id("17;alpha"), read_job_id("Welcome!\nSubmitted batch job 17")
    ('17', '17', '17')
    """
    pattern = re.compile(r"(\d+)(?:;[\w.-]+)?|Submitted batch job (\d+)(?: on cluster [\w.-]+)?")
    found = {match[1] or match[2] for line in answer.splitlines() if (match := pattern.fullmatch(line.strip()))}
    if len(found) != 1:
        raise UnreadableAnswer(
            f"sbatch took a job, but answered {answer.strip()[:200]!r}, in which no single job id can be read. "
            "`sbatch --parsable` prints the id alone: look for a script or an alias in place of sbatch"
        )
    return found.pop()


def cancel(ids: Iterable[str], timeout: float = TIMEOUT) -> None:
    """Cancel jobs; a job that has already ended is no error.

    Raises
    ------
    ImatgenError
        Where SLURM does not answer, or keeps a job.
    """
    wanted = list(dict.fromkeys(ids))
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        done = _run(["scancel", *batch], timeout)
        # the exit status does not tell a job that is gone from one that may not be cancelled: SLURM's list does
        if done.returncode:
            jobs = live_jobs(timeout=timeout)
            kept = [job_id for job_id in batch if job_id in jobs and jobs[job_id].state != "COMPLETING"]
            if kept:
                raise ImatgenError(f"SLURM did not cancel {', '.join(kept)}: {done.stderr.strip()}")


def parse_time(text: str) -> int | None:
    """Convert a time as SLURM writes it, [[HH:]MM:]SS or D-HH[:MM[:SS]], to s; None where it is unlimited or not set."""
    found = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+)", text)
    with_days = re.fullmatch(r"(\d+)-(\d+)(?::(\d+)(?::(\d+))?)?", text)
    if not (found or with_days):
        return None
    parts = with_days.groups() if with_days else ("0", *found.groups())  # type: ignore[union-attr]  # one of them matched
    days, hours, minutes, seconds = (int(part or 0) for part in parts)
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def parse_count(text: str, unit: str = "") -> int:
    """Convert a number as SLURM prints it: `64`, `64+` of nodes that differ, `2.4K`, `1.5T`.

    Parameters
    ----------
    text : as printed
    unit : of the result, and of a number without one: `M` for memory in MB

    Raises
    ------
    ImatgenError
        Where it is no number.

    Examples
    --------
    >>> parse_count("250G", "M"), parse_count("512000+", "M"), parse_count("2.4K")
    (256000, 512000, 2457)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGTP]?)B?\+?", text.strip())
    if not found:
        raise ImatgenError(f"`sinfo` answered with {text!r}, where a number is expected.")
    return int(float(found[1]) * 1024.0 ** (UNITS.index(found[2] or unit) - UNITS.index(unit)))


def _limit(text: str) -> int | None:
    """Convert the walltime of a partition; what cannot be read must not pass for no limit."""
    seconds = parse_time(text)
    if seconds is None and text not in NO_LIMIT:
        raise ImatgenError(f"`sinfo` answered with {text!r}, where a walltime is expected.")
    return seconds


def _ask(command: list[str], fields: tuple[str, ...], timeout: float) -> Iterator[list[str]]:
    """Run a command, and yield the fields of each record that it prints."""
    done = _run([*command, "--format=" + RECORD + FIELD.join(fields)], timeout)
    # squeue prints an error, no jobs, and exits 0 where it cannot look a user up
    if done.returncode or (done.stderr.strip() and not done.stdout.strip()):
        where = os.environ.get("SLURM_CONF")
        hint = f" It was asked with SLURM_CONF={where}." if where else ""
        raise ImatgenError(f"SLURM does not answer `{command[0]}`: {_last_line(done)}.{hint}")
    for record in done.stdout.split(RECORD)[1:]:
        values = record.removesuffix("\n").split(FIELD, len(fields) - 1)
        if len(values) != len(fields):
            raise ImatgenError(f"`{command[0]}` answered with a line that cannot be read: {record!r}")
        yield values


def _run(command: list[str], timeout: float | None) -> subprocess.CompletedProcess[str]:
    # SQUEUE_PARTITION and the like would hide jobs from us
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("SQUEUE_", "SINFO_", "SCANCEL_"))
    }
    try:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise ImatgenError(
            f"`{command[0]}` is not on PATH. Run this on a machine of the cluster, or load the module that brings SLURM."
        ) from error
    except OSError as error:
        raise ImatgenError(f"`{command[0]}` cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ImatgenError(
            f"SLURM did not answer `{command[0]}` within {timeout:g} s. Its controller may be down or busy: try again later."
        ) from error


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip() or f"it ended with status {done.returncode}").splitlines()
    said = [line.strip() for line in lines if not line.startswith('Try "')]  # "... --help" for more information
    return (said or lines)[-1]
