"""Submission by FireWorks' own `qlaunch`: a job whose id cannot be read is the last one, and is not lost."""

from __future__ import annotations

import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest
from jobflow import Flow, job

from imatgen_flows.cli.main import main
from imatgen_flows.managers import campaigns, slurm
from imatgen_flows.managers.dispatcher import STOPPED, read_fault
from imatgen_flows.managers.progress import read_progress

pytestmark = pytest.mark.usefixtures("played_slurm")


@job
def add(a, b):
    return a + b


@pytest.fixture
def submitted(machine, monkeypatch):
    """A campaign of two jobs on the LaunchPad, which is cancelled at the end."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # where a dispatcher finds the job of this file
    campaign_id = machine.add(Flow([add(1, 2), add(3, 4)]), campaign={"system": ["V", "O"]})
    yield campaign_id
    (machine.programs / "squeue.txt").write_text("")
    machine.pad.cancel(campaign_id)
    for firework in machine.pad.workflow(campaign_id).fireworks:
        machine.fireworks.defuse_fw(firework.fw_id)


@pytest.fixture
def sbatch(machine):
    """Let `sbatch` run a line, and return its calls so far, each with the directory that it was made from."""
    calls = machine.programs / "sbatch.calls"

    def answering(line):
        (machine.programs / "sbatch").write_text(f'#!/bin/sh\necho "$PWD $*" >> {calls}\n{line}\n')

    yield answering, lambda: calls.read_text().splitlines() if calls.exists() else []
    calls.unlink(missing_ok=True)


def test_the_first_answer_that_cannot_be_read_ends_the_dispatcher_and_status_says_so(
    machine, submitted, sbatch, capsys, monkeypatch
):
    answering, calls = sbatch
    answering("echo 'Stapelauftrag 1001 eingereicht'")
    assert machine.dispatch() == STOPPED
    (call,) = calls()
    assert "--parsable" in call
    (warning,) = read_progress(machine.directory, submitted).warnings
    assert "The dispatcher has stopped: sbatch took a job, but answered 'Stapelauftrag 1001 eingereicht'" in warning
    monkeypatch.setattr("sys.argv", ["imatgen", "status", submitted])
    with pytest.raises(SystemExit):
        main()
    assert "The dispatcher has stopped" in capsys.readouterr().out.replace("\n", " ")

    # the job of that answer is known by its directory, so that nobody submits it again
    assert machine.states(submitted) == ["READY", "RESERVED"]
    place = call.partition(" ")[0]
    record = ["1001", "PENDING", "Priority", "work", "0:00", place, "add"]
    (machine.programs / "squeue.txt").write_text(slurm.RECORD + slurm.FIELD.join(record))
    assert campaigns.retry_campaign(machine.directory, submitted, timedelta(0)) == []
    said = [line.slurm for line in read_progress(machine.directory, submitted).jobs if line.state == "RESERVED"]
    assert said == ["1001 PENDING (Priority)"]


@pytest.mark.parametrize("answer", ["echo 1002", "echo 'Submitted batch job 1002 on cluster alpha'"])
def test_a_good_submission_keeps_its_id_and_clears_the_fault(machine, submitted, sbatch, answer):
    answering, calls = sbatch
    answering("echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1")
    assert machine.dispatch() != STOPPED and machine.states(submitted) == ["READY", "READY"]
    assert "is tried again: sbatch refuses it: sbatch: error: QOSMax" in read_fault(machine.directory)
    answering(answer)
    assert machine.dispatch() == 0 and len(calls()) == 3
    assert {firework.launch.slurm_id for firework in machine.pad.workflow(submitted).fireworks} == {"1002"}
    assert read_fault(machine.directory) == ""


def test_the_start_script_does_not_start_a_stopped_dispatcher_again(machine, submitted, sbatch):
    answering, calls = sbatch
    answering("echo 'Stapelauftrag 1001 eingereicht'")
    (machine.directory / "logs").mkdir(exist_ok=True)
    (machine.directory / "logs" / "dispatcher-fault.txt").write_text("of before")
    try:
        subprocess.run([machine.directory / "start-dispatch.sh"], check=True, capture_output=True, timeout=20)
        assert "of before" not in read_fault(machine.directory)
        lock = ["flock", "--nonblock", str(machine.directory / "logs" / "dispatch.lock"), "true"]
        for _ in range(300):
            if read_fault(machine.directory) and subprocess.run(lock, check=False).returncode == 0:
                break
            time.sleep(0.1)
        assert subprocess.run(lock, check=False).returncode == 0  # it runs no longer, though nobody stopped it
    finally:
        subprocess.run([machine.directory / "stop-dispatch.sh"], check=False, capture_output=True)
    assert len(calls()) == 1 and "Stapelauftrag" in read_fault(machine.directory)
    assert "Stapelauftrag" in (machine.directory / "logs" / "dispatch.log").read_text()


def test_status_and_retry_say_the_same_in_the_first_minute_and_after_it(machine, submitted, sbatch):
    answering, _ = sbatch
    answering("echo 1002")
    machine.dispatch()  # and both jobs leave the queue at once
    lines = read_progress(machine.directory, submitted).jobs
    found = campaigns.retry_campaign(machine.directory, submitted)
    assert [line.lost for line in lines] == [False, False]
    for said in (*[line.note for line in lines], *[finding.why for finding in found]):
        assert "became RESERVED" in said and "counts as lost after 60 s" in said
    past = {"$set": {"updated_on": "2026-01-01T00:00:00"}}
    machine.fireworks.fireworks.update_many({"spec.campaign_id": submitted}, past)
    lines = read_progress(machine.directory, submitted).jobs
    assert [(line.lost, line.remedy, line.note) for line in lines] == [(True, "rerun", "")] * 2
    found = campaigns.retry_campaign(machine.directory, submitted)
    assert [finding.remedy.value for finding in found] == ["rerun", "rerun"]
