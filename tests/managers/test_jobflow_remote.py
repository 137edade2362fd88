"""The same campaign through jobflow-remote: each job requests its profile from SLURM, and receives SLURM's warning."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobflow import JobStore
from maggma.stores import MemoryStore
from pymatgen.core import Composition, Lattice, Structure

from imatgen_flows.candidates.states import State
from imatgen_flows.cluster import PROFILES, ClusterConfig
from imatgen_flows.crystals.arrays import CrystalArrays
from imatgen_flows.energetics.hull import Hull, HullEntry
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.flows import CampaignMaker
from imatgen_flows.flows.profiles import assign_profiles
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.candidate_table import extend_table
from imatgen_flows.jobs.documents import (
    CandidatesDocument,
    CandidateTable,
    DatasetDocument,
    LabelDocument,
    ReferenceDocument,
)
from imatgen_flows.managers.jobflow_remote import harvest_remote, remote_config, submit_remote

GPU_TRAIN_SCRIPT = """\
#!/bin/bash
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --account=vanadium
#SBATCH --gres=gpu:a100:1
#SBATCH --qos=short
#SBATCH --signal=B:USR1@90
#SBATCH --no-requeue
module load cuda
export PATH='/opt/my env/bin':"$PATH"
trap : USR1
jf() { exec jf "$@"; }
export IMATGEN_DEVICE=cuda
export IMATGEN_THREADS=8
export IMATGEN_WORKERS=8
export IMATGEN_ON_WALLTIME=continue
export OMP_NUM_THREADS=1
jf -fe execution run /work/job"""

LONG_STAGE = """\
import time
from pathlib import Path
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.documents import BatchDocument
from imatgen_flows.profiles import Profile

@cached_job(BatchDocument, profile=Profile.LIGHT, label="long stage")
def long_stage(store, scratch, started):
    Path(started).touch()
    time.sleep(60)
"""


@pytest.fixture
def cluster():
    def profile(partition, cores, walltime, **more):
        return {"partition": partition, "cores": cores, "memory": f"{4 * cores}G", "walltime": walltime} | more

    return ClusterConfig.model_validate(
        {
            "python": "/opt/my env/bin",
            "setup": ["module load cuda"],
            "profiles": {
                "light": profile("cpu", 2, "02:00:00"),
                "gpu_train": profile("gpu", 8, "12:00:00", gres="gpu:a100:1", account="vanadium", qos="short"),
                "gpu_relax": profile("gpu", 4, "04:00:00", gres="gpu:1", gpu_optional=True),
                "cpu_vasp": profile("cpu", 32, "1-00:00:00", nodes=2),
            },
            "warning": 90,
        }
    )


@pytest.fixture
def flow(tiny, cluster, tmp_path):
    flow = CampaignMaker(tiny()).make(tmp_path / "run")
    assign_profiles(flow, {name: remote_config(name, cluster) for name in PROFILES})
    return flow


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a worker for SLURM and three that cannot run campaigns; there is no other project."""
    settings = pytest.importorskip("jobflow_remote").SETTINGS
    slurm = {"type": "local", "scheduler_type": "slurm", "work_dir": str(tmp_path / "work")}
    batch = {"jobs_handle_dir": str(tmp_path / "batch"), "work_dir": str(tmp_path / "batch")}
    store = {"type": "MongoStore", "host": "localhost", "port": 27017, "database": "lab"}
    content = {
        "name": "oxides",
        "base_dir": str(tmp_path / "base"),
        "workers": {
            "cluster": slurm,
            "shell": slurm | {"scheduler_type": "shell"},
            "tidy": slurm | {"post_run": "rm -r scratch"},
            "batch": slurm | {"batch": batch, "max_jobs": 1},
        },
        "queue": {"store": store | {"collection_name": "jobs"}},
        "jobstore": {"docs_store": store | {"collection_name": "outputs"}},
    }
    (tmp_path / "projects").mkdir()
    (tmp_path / "projects" / "oxides.json").write_text(json.dumps(content))
    monkeypatch.setattr(settings, "projects_folder", str(tmp_path / "projects"))
    monkeypatch.setattr(settings, "project", None)
    return content


@pytest.fixture
def queue(project, monkeypatch):
    """The project's queue store, initialised, without a server."""
    mongomock = pytest.importorskip("mongomock_ng")
    client = mongomock.MongoClient()
    monkeypatch.setattr("maggma.stores.mongolike.MongoClient", lambda *_, **__: client)
    from jobflow_remote.jobs.jobcontroller import JobController

    JobController.from_project_name("oxides").reset()
    return client["lab"]["jobs"]


def script_of(config, command="jf -fe execution run /work/job"):
    """Return the batch script, as jobflow-remote's runner writes it."""
    queue = pytest.importorskip("jobflow_remote.remote.queue")
    from jobflow_remote.config.base import ExecutionConfig
    from qtoolkit.io.slurm import SlurmIO

    before = ExecutionConfig.model_validate(config["exec_config"])
    return queue.QueueManager(SlurmIO(), host=None).get_submission_script(
        command, config["resources"], pre_run=before.pre_run, export=before.export
    )


def walltimes(flow):
    return {job.name: job.config.manager_config["resources"]["time"] for job, _ in flow.iterflow()}


def candidates(store, number):
    """Make a given number of samples that are chosen to be relaxed."""
    crystal = CrystalArrays.of(Structure(Lattice.cubic(4), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    unique = {"state": State.UNIQUE.value, "formula": "VO", "count_matches": True, "residual": 0.0, "repaired": 0}
    rows = [unique | {"sample": f"s{row}", "id": str(row), "latent_row": row} for row in range(number)]
    table = extend_table(store, CandidateTable(), rows, [(row["sample"], crystal) for row in rows])
    given = {"round": 0, "batch": 0, "source": "generator", "planned": number, "given": number, "made": 0}
    chosen = {
        "chosen": store.put_json("chosen", [row["sample"] for row in rows]),
        "allocation": store.put_json("allocation", [given]),
    }
    return CandidatesDocument(key="propose_candidates-0", candidates=table, counts={}, to_relax=number, extra=chosen)


def warn(script, started, **environment):
    """Run a batch script, send its process SLURM's warning when a file appears, and wait for its end."""
    command = ["bash", "-c", script]
    process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not started.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=60)
    return process.returncode


def test_each_job_of_the_campaign_asks_for_its_profile(flow, cluster):
    asked = {name: cluster.profiles[name].slurm_walltime for name in PROFILES}
    found = walltimes(flow)
    assert found["train VAE"] == found["sample candidates"] == asked["gpu_train"]
    assert found["label dataset"] == found["relax references"] == asked["gpu_relax"]
    assert found["build dataset"] == found["screen"] == found["finish round"] == asked["light"]


def test_jobs_made_while_the_campaign_runs_ask_for_theirs(flow, cluster, tmp_path):
    data = pytest.importorskip("jobflow_remote.jobs.data")
    (screen,) = (job for job, _ in flow.iterflow() if job.name == "screen")
    artifacts = ArtifactStore(tmp_path / "run" / "artifacts")
    nothing = artifacts.put_lines("nothing", [])
    labels = LabelDocument(key="label_dataset-0", potential="toy", labels=nothing, counts={})
    dataset = DatasetDocument(
        key="build_dataset-0", elements=["O", "V"], crystals=nothing, packed=nothing, exclusions=nothing, counts={}
    )
    elements = Hull([HullEntry("V", Composition("V"), 0.0), HullEntry("O", Composition("O"), 0.0)])
    references = ReferenceDocument(
        key="extend_hull-0",
        potential="toy",
        hull=artifacts.put_json("hull", elements.to_dict()),
        phases=nothing,
        counts={},
    )
    screen.function_kwargs |= {
        "candidates": candidates(artifacts, 5),
        "data": {"dataset": dataset, "labels": labels, "evaluated": labels, "references": references},
    }
    with JobStore(MemoryStore()) as store:
        made = screen.run(store).replace
    documents = [
        # what the runner writes down for a job of a job that has the profile `light`
        data.get_initial_job_doc_dict(job, parents, "1", "cluster", None, screen.config.manager_config["resources"], 0)
        for job, parents in made.iterflow()
    ]
    found = {document["job"]["name"]: document["resources"] for document in documents}
    assert list(found) == ["relax batch 1 of 2", "relax batch 2 of 2", "rank candidates", "store_inputs"]
    assert (
        found["relax batch 1 of 2"] == found["relax batch 2 of 2"] == remote_config("gpu_relax", cluster)["resources"]
    )
    assert found["rank candidates"] == found["store_inputs"] == remote_config("light", cluster)["resources"]
    assert documents[0]["exec_config"]["export"]["IMATGEN_DEVICE"] == "auto"
    assert documents[2]["exec_config"]["export"]["IMATGEN_DEVICE"] == "cpu"


def test_a_profile_becomes_this_batch_script(cluster):
    lines = [line for line in script_of(remote_config("gpu_train", cluster)).splitlines() if line]
    assert lines == GPU_TRAIN_SCRIPT.splitlines()


def test_every_profile_becomes_a_batch_script_that_bash_can_read(cluster):
    for name in PROFILES:
        script = script_of(remote_config(name, cluster))
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
        assert script.count("#SBATCH") >= 8
        assert "$$" not in script


def test_vasp_gets_one_process_a_core_and_its_command(cluster, tmp_path):
    vasp = cluster.model_copy(update={"vasp": "srun --mpi=pmix vasp_std", "potcars": tmp_path / "it's here"})
    script = script_of(remote_config("cpu_vasp", vasp), "env")
    for line in ("--nodes=2", "--ntasks-per-node=32", "--cpus-per-task=1"):
        assert f"#SBATCH {line}\n" in script
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    assert "ATOMATE2_VASP_CMD=srun --mpi=pmix vasp_std\n" in done.stdout
    assert f"PMG_VASP_PSP_DIR={tmp_path}/it's here\n" in done.stdout


def test_the_warning_before_the_walltime_reaches_the_job_and_another_continues_it(cluster, tmp_path, monkeypatch):
    data = pytest.importorskip("jobflow_remote.remote.data")
    (tmp_path / "long_stage.py").write_text(LONG_STAGE)
    monkeypatch.syspath_prepend(tmp_path)
    started, work = tmp_path / "started", tmp_path / "work"
    work.mkdir()
    job = importlib.import_module("long_stage").long_stage(str(tmp_path / "artifacts"), started=str(started))
    job.hosts = ["flow"]
    job.update_config({"manager_config": remote_config("light", cluster), "pass_manager_config": False})
    store = data.get_remote_store(JobStore(MemoryStore()), work, None)
    (work / "jfremote_in.json").write_bytes(data.get_remote_in_file(job, store).read())

    here = cluster.model_copy(update={"python": Path(sys.executable).parent, "setup": []})
    script = script_of(remote_config("light", here), f"jf -fe execution run {work}")
    assert warn(script, started, PYTHONPATH=str(tmp_path), HOME=str(tmp_path)) == 0
    written = json.loads((work / "jfremote_out.json").read_text())
    assert not written["error"]
    (again,) = written["response"]["replace"]["jobs"]
    assert (again["uuid"], again["index"], again["name"]) == (job.uuid, 2, job.name)
    assert again["config"]["manager_config"] == job.config.manager_config


def test_a_worker_that_starts_jobs_its_own_way_does_not_die_of_the_warning(cluster, tmp_path):
    here = cluster.model_copy(update={"setup": []})
    script = script_of(remote_config("light", here), f"cd {tmp_path}\ntouch started\nsleep 1\ntouch ended")
    assert warn(script, tmp_path / "started") == 0
    assert (tmp_path / "ended").exists()


def test_what_is_submitted_waits_in_the_queue_with_its_resources(tiny, cluster, queue, tmp_path):
    flow = CampaignMaker(tiny()).make(tmp_path / "run")
    ids = submit_remote(flow, cluster, "cluster")
    documents = {document["job"]["name"]: document for document in queue.find()}
    assert sorted(document["db_id"] for document in documents.values()) == sorted(ids)
    assert len(ids) == len(list(flow.iterflow()))
    trained = documents["train VAE"]
    assert trained["resources"] == remote_config("gpu_train", cluster)["resources"]
    assert trained["exec_config"]["export"]["IMATGEN_DEVICE"] == "cuda"
    assert {document["worker"] for document in documents.values()} == {"cluster"}
    assert documents["build dataset"]["state"] == "READY"
    assert trained["state"] == "WAITING"


@pytest.mark.parametrize(
    ("worker", "project_name", "said"),
    [
        ("nowhere", None, "no worker `nowhere`; it has: batch, cluster, shell, tidy"),
        ("", None, "Choose one with --worker"),
        ("cluster", "oxide", "no project `oxide` in .*; there: oxides"),
        ("shell", None, "`scheduler_type` is not slurm"),
        ("batch", None, "`batch` is set: it would ignore the resources"),
        ("tidy", None, "`post_run` is set, and would never be run"),
    ],
)
def test_a_worker_or_project_that_will_not_do_is_named(flow, cluster, project, worker, project_name, said):
    with pytest.raises(InputError, match=said):
        submit_remote(flow, cluster, worker, project_name)


def test_of_several_projects_one_must_be_chosen(flow, cluster, project, tmp_path):
    (tmp_path / "projects" / "other.json").write_text(json.dumps(project | {"name": "sulfides"}))
    with pytest.raises(
        InputError, match="no default project in .*; there: oxides, sulfides. Choose one with --project"
    ):
        submit_remote(flow, cluster, "cluster")


def test_a_queue_store_that_was_never_set_up_is_said(flow, cluster, queue):
    queue.database["jf_auxiliary"].drop()
    with pytest.raises(ImatgenError, match="jf admin reset"):
        submit_remote(flow, cluster, "cluster")


def test_a_queue_store_that_does_not_answer_is_said(flow, cluster, queue, monkeypatch):
    from pymongo.errors import ServerSelectionTimeoutError

    def silent(*_, **__):
        raise ServerSelectionTimeoutError("localhost:27017: connection refused")

    monkeypatch.setattr("maggma.stores.mongolike.MongoClient", silent)
    with pytest.raises(ImatgenError, match="does not answer: .*connection refused"):
        submit_remote(flow, cluster, "cluster")


def test_without_jobflow_remote_the_cure_is_said(flow, cluster, monkeypatch):
    monkeypatch.setitem(sys.modules, "jobflow_remote", None)
    with pytest.raises(InputError, match="pip install 'imatgen-flows\\[jobflow-remote\\]'"):
        submit_remote(flow, cluster, "cluster")


@pytest.mark.slow
def test_the_run_directory_is_written_from_the_artifacts_alone(tiny, run_once_trained, tmp_path):
    run, moved = run_once_trained(tiny(), tmp_path / "run"), tmp_path / "elsewhere"
    shutil.copytree(run / "artifacts", moved / "artifacts")
    shutil.copy(run / "campaign.yaml", moved)
    assert harvest_remote(moved) == moved
    for name in ("candidates.parquet", "ledger.json", "metrics.json", "hull.json", "latent.json", "dataset.json"):
        assert (moved / name).read_bytes() == (run / name).read_bytes()
    assert {path.name for path in (moved / "structures").iterdir()} == {
        path.name for path in (run / "structures").iterdir()
    }
    seconds = [json.loads((where / "provenance.json").read_text())["seconds"] for where in (run, moved)]
    assert seconds[0] == pytest.approx(seconds[1])


def test_a_campaign_that_is_not_at_its_end_is_not_harvested(tiny, tmp_path):
    with pytest.raises(InputError, match="is no run directory"):
        harvest_remote(tmp_path)
    tiny().to_file(tmp_path / "campaign.yaml")
    ArtifactStore(tmp_path / "artifacts").finish("build_dataset-0", {"key": "build_dataset-0"})
    with pytest.raises(ImatgenError, match="not come to its end: 1 jobs are finished"):
        harvest_remote(tmp_path)
    assert not (tmp_path / "ledger.json").exists()
