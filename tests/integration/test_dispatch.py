"""Fireworks on SLURM: each job runs in the partition and with the resources of its profile."""

from __future__ import annotations

import json

import pytest
from jobflow import Flow
from lab_jobs import relaxation_processes, wait_for_signal, where

from imatgen_flows.managers.cluster_files import manager_config
from imatgen_flows.managers.fireworks import CampaignLaunchPad
from imatgen_flows.managers.records import FORMAT
from imatgen_flows.managers.slurm import live_jobs

pytestmark = pytest.mark.slurm


def outputs(lab, *jobs):
    """Read what jobs returned."""
    return [lab.store.get_output(job.uuid) for job in jobs]


def test_two_jobs_at_once_each_see_a_gpu_of_their_own(lab, tmp_path):
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    jobs = [where(str(meeting), 2) for _ in range(2)]
    lab.add(Flow(jobs), "gpu_relax")
    assert set(lab.dispatch().values()) == {"COMPLETED"}
    assert {output["CUDA_VISIBLE_DEVICES"] for output in outputs(lab, *jobs)} == {"0", "1"}


def test_each_profile_gets_its_partition_walltime_cores_memory_and_gpus(lab):
    jobs = {name: where() for name in ("light", "gpu_train", "gpu_relax", "cpu_vasp")}
    numbers = {name: lab.add(Flow([job]), name)[0] for name, job in jobs.items()}
    assert set(lab.dispatch().values()) == {"COMPLETED"}

    given = {}
    for name, number in numbers.items():
        job = lab.slurm.job(lab.slurm_id(number))
        given[name] = (job["Partition"], job["TimeLimit"], job["TRES"], job.get("TresPerNode", ""), job["Requeue"])
    assert given == {
        "light": ("cpu", "00:05:00", "cpu=1,mem=1G,node=1,billing=1", "", "0"),
        "gpu_train": ("gpu", "00:20:00", "cpu=2,mem=3G,node=1,billing=2", "gres:gpu:1", "0"),
        "gpu_relax": ("gpu", "00:10:00", "cpu=1,mem=2G,node=1,billing=1", "gres:gpu:1", "0"),
        "cpu_vasp": ("cpu", "01:00:00", "cpu=4,mem=4G,node=1,billing=4", "", "0"),
    }
    seen = dict(zip(jobs, outputs(lab, *jobs.values()), strict=True))
    assert {name: output["IMATGEN_DEVICE"] for name, output in seen.items()} == {
        "light": "cpu", "gpu_train": "cuda", "gpu_relax": "cuda", "cpu_vasp": "cpu"
    }  # fmt: skip
    assert [seen[name]["SLURM_JOB_ID"] for name in jobs] == [lab.slurm_id(number) for number in numbers.values()]


def test_a_job_of_relaxations_starts_a_process_for_each_core_that_it_asked_for(lab):
    lab.configure({"gpu_relax": {"cores": 4, "memory": "8G", "gpu_optional": True}})
    job = relaxation_processes(16)
    lab.add(Flow([job]), "gpu_relax")
    assert set(lab.dispatch().values()) == {"COMPLETED"}
    assert outputs(lab, job) == [{"workers": 4, "processes": 4, "cpus": "4"}]


def test_a_constraint_and_further_options_are_asked_for_and_what_slurm_has_not_is_found_before(lab):
    options = ["--nice=7", "--comment=of-ours", "--mail-type=FAIL"]
    lab.configure({"light": {"constraint": "intel&fast", "sbatch": options}}, sbatch=["--nice=9", "--exclusive"])
    done = lab.run("imatgen", "check", "--cluster", lab.directory, check=False)
    assert "ok    sbatch options: SLURM would take the jobs of every profile" in done.stdout, done.stdout
    assert "ok    sbatch: job " in done.stdout
    flow, about = Flow([where()]), {"campaign_id": "asked", "name": "asked", "directory": str(lab.work)}
    flow.update_metadata({"campaign_id": "asked"})
    flow.update_config({"manager_config": manager_config("light", lab.cluster, lab.directory)}, dynamic=False)
    about |= {"campaign": {}, "submitted": "2026-01-01T00:00:00", "version": "0", "format": FORMAT}
    CampaignLaunchPad(lab.directory).add(flow, "asked", about)
    (number,) = lab.states()
    assert lab.dispatch() == {number: "COMPLETED"}
    job = lab.slurm.job(lab.slurm_id(number))
    assert (job["Features"], job["Nice"], job["OverSubscribe"], job["Comment"]) == ("intel&fast", "7", "NO", "of-ours")
    (listed,) = json.loads(lab.run("imatgen", "jobs", lab.work, "--json").stdout)
    assert (listed["slurm_id"], listed["node"]) == (lab.slurm_id(number), job["BatchHost"])
    printed = lab.run("imatgen", "logs", number).stdout
    assert printed.startswith(f"{number} where: COMPLETED on {job['BatchHost']}, SLURM job {listed['slurm_id']}")
    assert f"==> where-{listed['slurm_id']}." in printed or f"==> FW_job-{listed['slurm_id']}." in printed

    lab.configure({"light": {"constraint": "gold"}, "cpu_vasp": {"sbatch": ["--golden=yes"]}})
    done = lab.run("imatgen", "check", "--cluster", lab.directory, check=False)
    (said,) = [line for line in done.stdout.splitlines() if "sbatch options" in line]
    assert said.startswith("FAIL") and "light: " in said and "feature" in said.lower() and "cpu_vasp: " in said
    assert "golden" in said


def test_the_warning_reaches_python_before_the_walltime(lab):
    # SLURM looks at its jobs twice a minute, so it warns up to that much earlier than asked
    lab.configure({"light": {"walltime": "00:01:00"}}, warning=5)
    job = wait_for_signal(70)
    (number,) = lab.add(Flow([job]), "light")
    lab.submit_ready()
    lab.wait_for_state(number, "COMPLETED", "FIZZLED", timeout=120)
    (output,) = outputs(lab, job)
    assert output["came_after"] is not None and output["came_after"] < 60
    assert lab.slurm.wait_for(lab.slurm_id(number), "COMPLETED")["TimeLimit"] == "00:01:00"


def test_a_job_in_the_queue_is_found_by_the_id_that_fireworks_keeps_and_the_folder_it_was_submitted_from(
    lab, monkeypatch
):
    monkeypatch.setenv("SLURM_CONF", str(lab.slurm.configuration))
    blocker = lab.slurm.submit("sleep 100", "--ntasks=8")
    lab.slurm.wait_for(blocker, "RUNNING")
    (number,) = lab.add(Flow([where()]), "light")
    lab.submit_ready()
    job = live_jobs()[lab.slurm_id(number)]
    assert (job.state, job.partition) == ("PENDING", "cpu")
    assert job.directory.startswith(str(lab.directory / "blocks"))
    lab.slurm.run("scancel", blocker)
    assert lab.dispatch() == {number: "COMPLETED"}


def test_work_goes_on_after_the_database_was_restarted(lab):
    first, second = where(), where()
    lab.add(Flow([first]), "light")
    assert set(lab.dispatch().values()) == {"COMPLETED"}
    lab.server_restart()
    lab.add(Flow([second]), "light")
    assert set(lab.dispatch().values()) == {"COMPLETED"}
    assert all(outputs(lab, first, second))


def test_check_finds_that_slurm_has_everything_and_names_what_it_has_not(lab):
    done = lab.run("imatgen", "check", "--cluster", lab.directory, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    lab.configure({"gpu_train": {"partition": "gpuu"}, "cpu_vasp": {"cores": 64}, "light": {"walltime": "03:00:00"}})
    done = lab.run("imatgen", "check", "--cluster", lab.directory, check=False)
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "gpuu" in said and "64" in said and "3:00:00" in said, said


def test_check_does_not_take_a_controller_that_is_down_for_a_cluster_without_partitions(lab, tmp_path):
    nowhere = tmp_path / "slurm.conf"
    nowhere.write_text(lab.slurm.configuration.read_text().replace("SlurmctldPort=", "SlurmctldPort=1 #"))
    done = lab.run("imatgen", "check", "--cluster", lab.directory, check=False, SLURM_CONF=str(nowhere))
    assert done.returncode != 0
    assert "SLURM does not answer" in " ".join((done.stdout + done.stderr).split())
