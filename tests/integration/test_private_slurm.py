"""The private SLURM, and what is parsed from its answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from private_slurm import PrivateSlurm, wait_until

from imatgen_flows.errors import ImatgenError
from imatgen_flows.managers.slurm import Partition, cancel, live_jobs, partitions

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm")]  # each of these needs its programs


@pytest.fixture
def asked(slurm, monkeypatch):
    """Direct SLURM's commands of this process to the private SLURM, and leave it without jobs."""
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    yield slurm
    slurm.cancel_all()


def test_partitions_are_read_as_configured(asked):
    assert partitions() == {
        "cpu": Partition("cpu", 7200, "gpu:fake:2", 1, 8, 32000, True),
        "gpu": Partition("gpu", 3600, "gpu:fake:2", 1, 8, 32000, True),
    }


def test_every_kind_of_living_job_is_found_and_no_ended_one(asked):
    ended = asked.submit("true", "--job-name=ended")
    odd = "a|b; $HOME\n'second' line"
    running = asked.submit("sleep 100", f"--job-name={odd}", "--partition=gpu", "--gres=gpu:1")
    held = asked.submit("sleep 100", "--hold")
    suspended = asked.submit("sleep 100", "--partition=gpu")
    array = asked.submit("sleep 100", "--array=1-9", "--ntasks=8")
    asked.wait_for(ended, "COMPLETED")
    asked.wait_for(suspended, "RUNNING")
    asked.wait_for(running, "RUNNING")
    asked.run("scontrol", "suspend", suspended)

    jobs = live_jobs()
    assert {job.id: job.state for job in jobs.values()} == {
        running: "RUNNING",
        held: "PENDING",
        suspended: "SUSPENDED",
        f"{array}_[1-9]": "PENDING",
    }
    assert (jobs[running].name, jobs[running].partition) == (odd, "gpu")
    assert jobs[running].directory == str(asked.directory)
    assert jobs[held].reason == "JobHeldUser"
    wait_until(lambda: live_jobs()[running].seconds >= 1, 10)


def test_jobs_of_another_user_are_not_ours(asked):
    asked.submit("sleep 100")
    assert live_jobs("daemon") == {}
    assert len(live_jobs(str(os.getuid()))) == 1


def test_a_user_that_does_not_exist_is_an_error(asked):
    with pytest.raises(ImatgenError, match="Invalid user: nobody-of-that-name"):
        live_jobs("nobody-of-that-name")


def test_cancelled_jobs_go_and_those_already_gone_do_no_harm(asked):
    ended, running, waiting = asked.submit("true"), asked.submit("sleep 100"), asked.submit("sleep 100", "--hold")
    asked.wait_for(ended, "COMPLETED")
    asked.wait_for(running, "RUNNING")
    cancel([ended, running, waiting, "99999"])
    wait_until(lambda: not live_jobs(), 10)
    cancel([ended, running, waiting, "99999"])
    assert {asked.job(job)["JobState"] for job in (running, waiting)} == {"CANCELLED"}


def test_an_id_that_is_none_keeps_no_other_job_from_being_cancelled_unseen(asked):
    running = asked.submit("sleep 100")
    with pytest.raises(ImatgenError, match=f"did not cancel {running}: .*Invalid job id nonsense"):
        cancel([running, "nonsense"])


def test_a_controller_that_is_down_ends_in_a_sentence_and_its_jobs_are_there_again_afterwards(tmp_path, monkeypatch):
    own = PrivateSlurm(tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(own.configuration))
    own.start()
    try:
        waiting = own.submit("true", "--hold")
        controller = own.daemon("slurmctld")
        os.kill(controller, signal.SIGTERM)
        # it still answers while it saves its state
        wait_until(lambda: controller not in own.processes(), 30)
        began = time.monotonic()
        with pytest.raises(ImatgenError, match=r"SLURM (does not answer|did not answer) `squeue`"):
            live_jobs()
        assert time.monotonic() - began < 35
        own.stop()
        own.start()
        assert live_jobs()[waiting].state == "PENDING"
    finally:
        own.stop()
    assert own.processes() == []


def test_two_systems_run_side_by_side_and_neither_leaves_a_process(slurm, tmp_path):
    other = PrivateSlurm(tmp_path, cpus=3, gpus=1)
    other.start()
    try:
        busy = other.submit("trap '' TERM; sleep 1000 & wait; sleep 1000")
        other.wait_for(busy, "RUNNING")
        assert slurm.queue() == {}
        assert other.run("sinfo", "-h", "-p", "cpu", "-o", "%c %G").split() == ["3", "gpu:fake:1"]
        assert len(other.processes()) >= 5
    finally:
        other.stop()
    assert other.processes() == []
    assert slurm.run("sinfo", "-h", "-p", "cpu", "-o", "%T").strip() == "idle"


def test_a_killed_test_run_takes_its_daemons_along(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from private_slurm import PrivateSlurm\n"
        "PrivateSlurm(Path(sys.argv[1])).start(); os.kill(os.getpid(), 9)"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env=os.environ | {"PYTHONPATH": here}, check=False
    )
    assert done.returncode == -9
    wait_until(lambda: not PrivateSlurm(tmp_path).processes(), 15)


def test_two_jobs_at_once_each_get_a_gpu_of_their_own_and_a_third_waits(asked):
    jobs = [asked.submit("echo $CUDA_VISIBLE_DEVICES; sleep 3", "--partition=gpu", "--gres=gpu:1") for _ in range(3)]
    for job in jobs[:2]:
        asked.wait_for(job, "RUNNING")
    assert live_jobs()[jobs[2]].state == "PENDING"
    logs = [asked.directory / "log" / f"job-{job}.out" for job in jobs[:2]]
    assert sorted(wait_until(log.read_text, 10).strip() for log in logs) == ["0", "1"]
