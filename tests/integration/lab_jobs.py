"""Jobs of the integration tests; the processes on the nodes import them from here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from jobflow import job


@job
def where(meeting: str = "", number: int = 1) -> dict:
    """Return where this job runs.

    Parameters
    ----------
    meeting : folder; where it is given, wait there until `number` jobs run at once
    number : of jobs
    """
    if meeting:
        (Path(meeting) / str(os.getpid())).touch()
        end = time.monotonic() + 60
        while len(list(Path(meeting).iterdir())) < number:
            if time.monotonic() > end:
                raise TimeoutError("nobody else came")
            time.sleep(0.1)
    names = ("SLURM_JOB_ID", "SLURM_JOB_PARTITION", "CUDA_VISIBLE_DEVICES", "IMATGEN_DEVICE")
    return {name: os.environ.get(name) for name in names}


@job
def relaxation_processes(number: int) -> dict:
    """Return how many processes a job of relaxations starts, and how many of them work at once on a number of items."""
    from imatgen_flows.jobs.device import relaxation_resources
    from imatgen_flows.parallel import parallel_map

    resources = relaxation_resources()
    started = parallel_map(_linger, [(index,) for index in range(number)], resources["workers"], "lingering")
    return {"workers": resources["workers"], "processes": len(set(started)), "cpus": os.environ["SLURM_CPUS_PER_TASK"]}


def _linger(_: int) -> int:
    time.sleep(0.5)
    return os.getpid()


@job
def wait_for_signal(patience: float) -> dict:
    """Wait until SLURM warns of the walltime; return after how many seconds it did."""
    began, came = time.monotonic(), []
    signal.signal(signal.SIGUSR1, lambda *_: came.append(time.monotonic() - began))
    while not came and time.monotonic() - began < patience:
        time.sleep(0.1)
    return {"came_after": came[0] if came else None, "process": os.getpid()}
