"""A campaign on SLURM gives the results of a local run, and contains no password."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import bson
import pytest
from campaigns import CPU_ONLY, ONCE, nearly, rows_of, small_campaign, status, submit
from lab import Lab
from private_slurm import free_ports, wait_until

from imatgen_flows.managers.local import run_campaign

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module")
def at_home(tmp_path_factory):
    return run_campaign(small_campaign(), tmp_path_factory.mktemp("home") / "run")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, slurm):
    """A lab with a finished campaign, the id of the campaign, and its run directory."""
    root = tmp_path_factory.mktemp("finished")
    lab = Lab(root, slurm)
    try:
        lab.server_start()
        lab.configure(CPU_ONLY)
        campaign_id = submit(lab, small_campaign(), root / "run")
        lab.dispatch(timeout=400)
        yield lab, campaign_id, root / "run"
    finally:
        lab.close()


def test_it_completes_and_counts_everything(finished):
    lab, campaign_id, _ = finished
    said = status(lab, campaign_id)
    assert said["state"] == "COMPLETED"
    assert said["fireworks"] == {"COMPLETED": ONCE + 2 + 2}  # two batches, the ranking, and what hands it on
    assert sum(said["candidates"].values()) == 120
    assert said["relaxations"] == [10, 10]
    assert all(number > 0 for number in said["evaluations"].values())


def test_it_harvests_what_a_run_at_home_gives(finished, at_home):
    lab, campaign_id, run = finished
    said = lab.run("imatgen", "harvest", campaign_id).stdout
    assert "report.html" in said
    assert rows_of(run) == nearly(rows_of(at_home))
    ledgers = [json.loads((directory / "ledger.json").read_text()) for directory in (run, at_home)]
    assert ledgers[0] == ledgers[1]
    assert status(lab, campaign_id)["evaluations"] == ledgers[0]["evaluations"]


def test_the_run_directory_can_be_written_anywhere_from_the_stores_alone(finished, at_home, tmp_path):
    lab, campaign_id, _ = finished
    lab.run("imatgen", "harvest", campaign_id, "--directory", tmp_path / "again")
    assert rows_of(tmp_path / "again") == nearly(rows_of(at_home))
    assert (tmp_path / "again" / "report.html").is_file()


def test_jobs_ran_where_their_profiles_say(finished):
    lab, _, _ = finished
    rows = lab.launchpad.fireworks.find({}, {"name": 1, "fw_id": 1, "spec._category": 1})
    for row in rows:
        shown = lab.run("scontrol", "show", "job", lab.slurm_id(row["fw_id"])).stdout
        expected = "cpu" if row["spec"]["_category"] == "light" else "gpu"
        assert f"Partition={expected}" in shown


def test_nothing_is_left_to_repair(finished):
    lab, campaign_id, _ = finished
    assert "nothing to restart" in lab.run("imatgen", "retry", campaign_id).stdout


def test_people_read_names_and_the_campaign_in_fireworks_own_tools(finished):
    lab, campaign_id, _ = finished
    listed = json.loads(lab.run("lpad", "get_wflows", "-d", "more").stdout)
    listed = listed if isinstance(listed, dict) else listed[0]
    assert listed["name"].startswith(f"{campaign_id}: small oxides")
    names = " ".join(listed["states"])
    assert all(name in names for name in ("train_basis_autoencoder", "relax_batch_1_of_2", "rank_candidates")) or all(
        name in names for name in ("train basis autoencoder", "relax batch 1 of 2", "rank candidates")
    )


def test_the_web_page_of_fireworks_shows_the_campaign(finished):
    lab, campaign_id, _ = finished
    port = free_ports(1)[0]
    command = [lab.cluster.python / "lpad", "-c", lab.directory, "webgui", "--port", str(port), "-s"]
    environment = lab.environment | {"FW_CONFIG_FILE": str(lab.directory / "FW_config.yaml")}
    page = subprocess.Popen(
        list(map(str, command)), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:

        def read(path):
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read().decode()
            except OSError:
                return ""

        assert campaign_id in wait_until(lambda: read("/wf/COMPLETED/"), 30, 0.5)
        assert "train basis autoencoder" in read("/fw/COMPLETED/")
    finally:
        page.terminate()
        page.wait()


def test_the_password_is_in_the_files_that_must_have_it_and_nowhere_else(finished):
    lab, _, run = finished
    secret = (lab.directory / "launchpad" / "token").read_bytes().strip()
    assert len(secret) > 20
    allowed = {lab.directory / name for name in ("my_launchpad.yaml", "jobflow.yaml", "launchpad/token")}
    for root in (lab.directory, run, lab.work):
        for path in (path for path in root.rglob("*") if path.is_file() and path not in allowed):
            assert secret not in path.read_bytes(), path
    for path in allowed:
        assert path.stat().st_mode & 0o077 == 0, path
    database = lab.launchpad.db
    for name in database.list_collection_names():
        for document in database[name].find():
            assert secret not in bson.encode(document), name


def test_documents_are_small(finished):
    lab, _, _ = finished
    database = lab.launchpad.db
    sizes = {
        name: max((len(bson.encode(document)) for document in database[name].find()), default=0)
        for name in database.list_collection_names()
    }
    assert max(sizes.values()) < 200_000, sizes


def test_a_campaign_that_is_under_way_is_not_submitted_twice_and_can_be_cancelled(lab, tmp_path):
    run = tmp_path / "run"
    campaign_id = submit(lab, small_campaign(), run)
    again = lab.run("imatgen", "submit", run.with_suffix(".yaml"), "--directory", run, check=False)
    assert again.returncode == 2 and campaign_id in again.stderr
    blocker = lab.slurm.submit("sleep 300", "--ntasks=8")
    lab.submit_ready()
    assert set(lab.slurm.queue()) > {blocker}
    lab.run("imatgen", "cancel", campaign_id)
    wait_until(lambda: set(lab.slurm.queue()) == {blocker}, 30)
    lab.slurm.run("scancel", blocker)
    assert lab.ready() == 0
    assert submit(lab, small_campaign(), run) != campaign_id


def test_a_job_without_its_gpu_fails_early_and_clearly(lab, tmp_path):
    campaign_id = submit(lab, small_campaign(), tmp_path / "run")
    lab.dispatch(timeout=120)
    reasons = [line["reason"] for line in status(lab, campaign_id)["jobs"] if line["state"] == "FIZZLED"]
    assert reasons and all("sees no GPU" in reason for reason in reasons)
    assert "sees no GPU" in lab.run("imatgen", "status", campaign_id).stdout


def test_a_harvest_before_the_end_says_what_is_missing(lab, tmp_path):
    campaign_id = submit(lab, small_campaign(), tmp_path / "run")
    done = lab.run("imatgen", "harvest", campaign_id, check=False)
    assert done.returncode == 1 and "--partial" in done.stderr
    done = lab.run("imatgen", "harvest", campaign_id, "--partial", check=False)
    assert done.returncode == 1 and "no finished job `build dataset`" in done.stderr


def test_a_server_that_does_not_run_is_a_sentence(lab, tmp_path):
    lab.server_stop()
    done = lab.run("imatgen", "status", check=False)
    assert done.returncode == 1 and "imatgen launchpad start" in done.stderr and "Traceback" not in done.stderr
    config = tmp_path / "campaign.yaml"
    small_campaign().to_file(config)
    done = lab.run("imatgen", "submit", config, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_wrong_password_is_a_sentence(lab):
    path = Path(lab.directory) / "my_launchpad.yaml"
    secret = (lab.directory / "launchpad" / "token").read_text().strip()
    path.write_text(path.read_text().replace(secret, "wrong"))
    done = lab.run("imatgen", "status", check=False)
    assert done.returncode == 1 and "refuses user or password" in done.stderr and secret not in done.stderr


def test_a_campaign_of_another_version_is_refused(lab, tmp_path):
    campaign_id = submit(lab, small_campaign(), tmp_path / "run")
    lab.launchpad.workflows.update_one({}, {"$set": {"metadata.format": 99, "metadata.version": "9.9"}})
    for command in ("retry", "harvest", "cancel"):
        done = lab.run("imatgen", command, campaign_id, check=False)
        assert done.returncode == 2 and "submitted by imatgen-flows 9.9" in done.stderr
