"""`imatgen jobs` and `imatgen logs`: jobs that FireWorks' own launchers run, listed and read; scripts play SLURM alone."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fireworks import Firework
from jobflow import Flow, job

from imatgen_flows.cli.jobs import JobState
from imatgen_flows.managers import slurm
from imatgen_flows.managers.job_lines import read_jobs, select_jobs

pytestmark = pytest.mark.usefixtures("played_slurm")

# launchers import the jobs of this module
IMPORTABLE = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
# runs the batch script at once, as the job 1700, and names its files as SLURM does
RUNS = """#!/bin/bash
for script; do :; done
bash "$script" > FW_job-1700.out 2> FW_job-1700.error
echo 1700
"""


@job
def speak(text, fail=False):
    print(text)
    print(f"{text} to stderr", file=sys.stderr)
    if fail:
        raise ValueError("the crystal is broken")
    return text


@job
def speak_until(file):
    print("begun", flush=True)
    while not Path(file).exists():
        time.sleep(0.05)
    print("ended", flush=True)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", IMPORTABLE)


def named(name, made):
    made.name = name
    return made


@pytest.fixture(scope="module")
def campaign(machine, tmp_path_factory):
    """A campaign that `qlaunch` and `rlaunch` ran: one job completed, one fizzled, the third waits for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{machine.programs}:{os.environ['PATH']}")
        patch.setenv("PYTHONPATH", IMPORTABLE)
        (machine.programs / "sbatch").write_text(RUNS)
        good, bad = named("relax batch 1 of 2", speak("hello")), named("relax batch 2 of 2", speak("alas", fail=True))
        run = tmp_path_factory.mktemp("run")
        flow = Flow([good, bad, named("rank candidates", speak(bad.output))])
        campaign_id = machine.add(flow, "spoken", directory=str(run))
        assert machine.dispatch() == 0
    return campaign_id, run


def numbers(machine, campaign_id):
    return {line.name: line.fw_id for line in read_jobs(machine.directory, campaign_id)[1]}


def test_jobs_are_listed_with_their_names_states_nodes_slurm_ids_times_and_directories(machine, campaign, imatgen):
    campaign_id, run = campaign
    code, text, _ = imatgen("jobs", campaign_id, "--json")
    good, bad, last = sorted(json.loads(text), key=lambda line: line["state"])
    assert code == 0 and [good["state"], bad["state"], last["state"]] == ["COMPLETED", "FIZZLED", "WAITING"]
    assert [good["name"], last["name"]] == ["relax batch 1 of 2", "rank candidates"]
    assert {good["slurm_id"], bad["slurm_id"]} == {"1700"} and good["worker"] == "imatgen" and good["node"]
    assert Path(good["directory"]).is_relative_to(machine.directory / "blocks")
    assert 0 <= good["seconds"] < 60
    assert abs((datetime.now(UTC) - datetime.fromisoformat(good["started"])).total_seconds()) < 300
    assert bad["reason"] == "the crystal is broken"
    assert (last["slurm_id"], last["node"], last["started"], last["seconds"], last["directory"]) == (
        "",
        "",
        "",
        None,
        "",
    )
    # the run directory names the campaign as well as its id does
    assert imatgen("jobs", run, "--json")[1] == text


def test_the_table_fits_into_80_columns_and_shows_directories_on_demand(campaign, imatgen, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    campaign_id, _ = campaign
    code, text, _ = imatgen("jobs", campaign_id)
    assert code == 0 and max(map(len, text.splitlines())) <= 80
    assert "1700" in text and "FIZZLED" in text and "3 of 3 jobs" in text
    code, text, _ = imatgen("jobs", campaign_id, "--directories", "--state", "completed")
    assert code == 0 and max(map(len, text.splitlines())) <= 80
    assert "launcher_" in text and "1 of 3 jobs" in text and "FIZZLED" not in text


def test_jobs_are_chosen_by_state_name_and_failure(machine, campaign, imatgen):
    campaign_id, _ = campaign
    lines = read_jobs(machine.directory, campaign_id)[1]

    def chosen(*arguments):
        return sorted(line["name"] for line in json.loads(imatgen("jobs", campaign_id, "--json", *arguments)[1]))

    assert chosen("--state", "FIZZLED", "--state", "waiting") == ["rank candidates", "relax batch 2 of 2"]
    assert chosen("--name", "RELAX") == ["relax batch 1 of 2", "relax batch 2 of 2"]
    assert chosen("--name", "batch*2 of") == ["relax batch 2 of 2"]
    assert chosen("--name", "nothing") == []
    assert chosen("--failed") == ["relax batch 2 of 2"]
    assert select_jobs(lines) == list(lines)
    assert "the crystal is broken" in imatgen("jobs", campaign_id, "--failed")[1]


def test_the_states_to_choose_from_are_those_of_fireworks(imatgen, campaign):
    assert set(JobState) == set(Firework.STATE_RANKS)
    code, _, said = imatgen("jobs", campaign[0], "--state", "lost")
    assert code == 2 and "lost" in said and "--state" in said


def test_what_is_no_campaign_is_said(imatgen, campaign, tmp_path):
    code, _, said = imatgen("jobs", "spoken-99")
    assert code == 2 and "there is no campaign `spoken-99`" in said
    code, _, said = imatgen("jobs", tmp_path)
    assert code == 2 and "run directory of no campaign" in said and "imatgen status" in said and "jf job list" in said


def test_a_lost_job_counts_as_failed_and_ran_until_its_last_sign_of_life(machine, imatgen):
    campaign_id = machine.add(Flow([named("train", speak("x"))]), "lost")
    (fw_id,) = numbers(machine, campaign_id).values()
    pad = machine.fireworks
    pad.checkout_fw(machine_worker(), "/gone", fw_id=fw_id, host="node7", state="RUNNING")
    launch = {"fw_id": fw_id}
    history = [
        {"state": "RESERVED", "created_on": "2026-01-01T00:00:00", "reservation_id": "1800"},
        {"state": "RUNNING", "created_on": "2026-01-01T00:10:00", "updated_on": "2026-01-01T01:10:30"},
    ]
    pad.launches.update_one(launch, {"$set": {"state_history": history}})
    pad.fireworks.update_one(launch, {"$set": {"updated_on": "2026-01-01T01:10:30"}})
    (line,) = json.loads(imatgen("jobs", campaign_id, "--failed", "--json")[1])
    assert line["lost"] and line["seconds"] == 3630 and (line["node"], line["slurm_id"]) == ("node7", "1800")
    assert "1:00:30" in imatgen("jobs", campaign_id)[1]
    code, _, said = imatgen("logs", fw_id)
    assert code == 1 and "its directory /gone is not on this machine" in said and "it ran on node7" in said
    pad.defuse_fw(fw_id)


def machine_worker():
    from fireworks import FWorker

    return FWorker(name="imatgen", category="light")


def test_the_end_of_output_and_errors_is_printed_and_nothing_of_other_jobs(machine, campaign, imatgen):
    number = numbers(machine, campaign[0])["relax batch 1 of 2"]
    code, text, _ = imatgen("logs", number)
    assert code == 0 and f"{number} relax batch 1 of 2: COMPLETED" in text and "SLURM job 1700" in text
    assert "==> FW_job-1700.out <==" in text and "==> FW_job-1700.error <==" in text
    assert "hello" in text and "hello to stderr" in text and "alas" not in text and "Traceback" not in text
    assert json.loads(imatgen("logs", number, "--json")[1])["job"]["name"] == "relax batch 1 of 2"


def test_a_failed_job_shows_its_traceback_even_where_its_files_are_gone(machine, campaign, imatgen):
    number = numbers(machine, campaign[0])["relax batch 2 of 2"]
    code, text, _ = imatgen("logs", number)
    assert code == 0 and "alas to stderr" in text
    assert "==> traceback on the LaunchPad <==" in text and "ValueError: the crystal is broken" in text
    (line,) = select_jobs(read_jobs(machine.directory, campaign[0])[1], name="2 of 2")
    hidden = Path(line.directory).rename(machine.directory / "elsewhere")
    try:
        code, text, _ = imatgen("logs", number)
        assert code == 0 and "ValueError: the crystal is broken" in text and "is not on this machine" in text
    finally:
        hidden.rename(line.directory)


def test_only_the_last_lines_are_read_of_large_and_of_compressed_files(machine, campaign, imatgen):
    (line,) = select_jobs(read_jobs(machine.directory, campaign[0])[1], name="1 of 2")
    here = Path(line.directory)
    before = (here / "FW_job-1700.out").read_bytes()
    try:
        (here / "FW_job-1700.out").write_bytes(b"\xff bad\n" + b"".join(b"%d\n" % n for n in range(2_000_000)))
        (here / "vasp.out.gz").write_bytes(gzip.compress(b"first\nDAV:  12\nreached accuracy\n"))
        files = json.loads(imatgen("logs", line.fw_id, "--lines", 2, "--json")[1])["files"]
        assert files[str(here / "FW_job-1700.out")] == ["1999998", "1999999"]
        assert files[str(here / "vasp.out.gz")] == ["DAV:  12", "reached accuracy"]
        (here / "vasp.out.gz").write_bytes(b"not compressed")
        assert str(here / "vasp.out.gz") not in json.loads(imatgen("logs", line.fw_id, "--json")[1])["files"]
    finally:
        (here / "FW_job-1700.out").write_bytes(before)
        (here / "vasp.out.gz").unlink()


def test_a_job_that_has_not_started_says_what_it_waits_for(machine, campaign, imatgen):
    waiting = numbers(machine, campaign[0])["rank candidates"]
    code, _, said = imatgen("logs", waiting)
    assert code == 1 and "rank candidates) has not started: it is WAITING, and it waits for other jobs" in said
    campaign_id = machine.add(Flow([named("train", speak("x"))]), "queued")
    (fw_id,) = numbers(machine, campaign_id).values()
    assert "is the dispatcher running?" in imatgen("logs", fw_id)[2]
    (machine.programs / "sbatch").write_text("#!/bin/sh\necho 1900\n")
    machine.dispatch(1)
    record = ["1900", "PENDING", "Priority", "work", "0:00", "/nowhere", "train"]
    (machine.programs / "squeue.txt").write_text(slurm.RECORD + slurm.FIELD.join(record))
    code, _, said = imatgen("logs", fw_id)
    assert code == 1 and "it is RESERVED, and SLURM has it as 1900 PENDING (Priority)" in said
    assert "1900 PENDING" in imatgen("jobs", campaign_id)[1].replace("\n", " ")
    (machine.programs / "squeue.txt").write_text("")
    machine.fireworks.defuse_fw(fw_id)


def test_no_such_job_and_bad_numbers_are_refused(imatgen):
    code, _, said = imatgen("logs", 4711)
    assert code == 2 and "there is no job 4711 of a campaign" in said
    assert imatgen("logs", "relax")[0] == 2 and imatgen("logs", 0)[0] == 2
    assert imatgen("logs", 4711, "--lines", 0)[0] == 2
    code, _, said = imatgen("logs", 1, "--follow", "--json")
    assert code == 2 and "leave one out" in said


def test_a_job_of_the_worker_without_slurm_has_output_of_its_own(machine, imatgen, monkeypatch):
    (machine.directory / "blocks").mkdir(exist_ok=True)
    campaign_id = machine.add(Flow([named("train", speak("of my own"))]), "worker")
    subprocess.run([machine.directory / "start-local.sh"], check=True, capture_output=True, timeout=30)
    try:
        for _ in range(600):
            (line,) = read_jobs(machine.directory, campaign_id)[1]
            if line.state == "COMPLETED":
                break
            time.sleep(0.1)
    finally:
        subprocess.run([machine.directory / "stop-dispatch.sh"], check=True, capture_output=True, timeout=30)
    code, text, _ = imatgen("logs", line.fw_id)
    assert code == 0 and "==> FW_job.out <==" in text and "of my own\n" in text and "of my own to stderr" in text


def test_a_job_of_another_launcher_without_slurm_says_how_to_keep_its_output(machine, imatgen):
    campaign_id = machine.add(Flow([named("label dataset", speak("x"))]), "local")
    machine.launch()
    (line,) = json.loads(imatgen("jobs", campaign_id, "--json")[1])
    assert line["state"] == "COMPLETED" and line["slurm_id"] == "" and line["seconds"] is not None
    code, _, said = imatgen("logs", line["fw_id"])
    assert code == 1 and "it ran without SLURM" in said and "--local_redirect" in said


def test_a_silent_slurm_is_a_warning_and_no_fault(machine, campaign, imatgen):
    (machine.programs / "squeue").write_text("#!/bin/sh\necho 'controller is down' >&2; exit 1\n")
    try:
        code, text, said = imatgen("jobs", campaign[0])
    finally:
        (machine.programs / "squeue").write_text('#!/bin/sh\ncat "$0.txt"\n')
    assert code == 0 and "COMPLETED" in text and "controller is down" in said


def test_following_a_running_job_prints_what_it_adds_and_ends_with_it(machine, imatgen, monkeypatch, tmp_path):
    (machine.programs / "sbatch").write_text(RUNS.replace("1700.error", "1700.error &"))
    campaign_id = machine.add(Flow([named("train", speak_until(str(tmp_path / "go")))]), "followed")
    machine.dispatch(1)
    here = "/unknown"
    for _ in range(200):
        (line,) = read_jobs(machine.directory, campaign_id)[1]
        here = line.directory
        if line.state == "RUNNING" and "begun" in (Path(here) / "FW_job-1700.out").read_text():
            break
        time.sleep(0.1)
    record = ["1700", "RUNNING", "None", "work", "0:05", here, "train"]
    (machine.programs / "squeue.txt").write_text(slurm.RECORD + slurm.FIELD.join(record))
    code, text, _ = imatgen("logs", line.fw_id)
    assert code == 0 and "RUNNING" in text and "begun" in text and "ended" not in text
    (tmp_path / "go").touch()
    code, text, _ = imatgen("logs", line.fw_id, "--follow")
    (machine.programs / "squeue.txt").write_text("")
    assert code == 0 and "ended" in text and text.count("begun") == 1
