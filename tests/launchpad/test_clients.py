"""FireWorks, maggma and jobflow, unchanged, with host, port, user and password alone."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from fireworks import Firework, FWorker, LaunchPad, PyTask, Workflow
from fireworks.core.rocket_launcher import launch_rocket, rapidfire
from fireworks.features.fw_report import FWReport
from fireworks.utilities import fw_serializers
from jobflow import Flow, JobStore, job
from jobflow.managers.fireworks import flow_to_workflow
from maggma.stores import GridFSStore, JointStore, MongoStore


@pytest.fixture
def login(endpoint, database):
    return {
        "host": endpoint.host,
        "port": endpoint.port,
        "username": endpoint.username,
        "password": endpoint.password,
        "database": database.name,
    }


@pytest.fixture
def launchpad(login, database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # or FireWorks looks for it in all its packages, of which some hold tests with markers that we do not know
    monkeypatch.setitem(fw_serializers.SAVED_FW_MODULES, "PyTask", PyTask.__module__)
    names = {key: value for key, value in login.items() if key != "database"}
    pad = LaunchPad(name=database.name, authsource="admin", **names)
    pad.reset("", require_password=False)
    yield pad
    pad.connection.close()


def chain(length=2, function="builtins.print", args=("done",)):
    fireworks = [Firework(PyTask(func=function, args=list(args)), name=f"step {n}") for n in range(length)]
    return Workflow(fireworks, dict(zip(fireworks, ([fw] for fw in fireworks[1:]), strict=False)))


def states(pad):
    return [row["state"] for row in pad.fireworks.find({}, {"state": 1}, sort=[("fw_id", 1)])]


def test_workflows_run_to_their_end(launchpad):
    for _ in range(2):
        launchpad.add_wf(chain())
    rapidfire(launchpad, FWorker(), sleep_time=0.01)
    assert states(launchpad) == ["COMPLETED"] * 4
    assert [row["state"] for row in launchpad.workflows.find()] == ["COMPLETED"] * 2
    assert launchpad.launches.count_documents({"state": "COMPLETED"}) == 4


def test_many_workflows_added_at_once_are_all_there(launchpad):
    launchpad.bulk_add_wfs([chain() for _ in range(20)])
    assert sorted(states(launchpad)) == ["READY"] * 20 + ["WAITING"] * 20


def test_a_fizzled_firework_is_rerun(launchpad, tmp_path):
    launchpad.add_wf(chain(2, "os.mkdir", [str(tmp_path / "absent" / "below")]))
    rapidfire(launchpad, FWorker(), sleep_time=0.01)
    assert states(launchpad) == ["WAITING", "FIZZLED"] or states(launchpad) == ["FIZZLED", "WAITING"]
    lost = launchpad.get_fw_ids({"state": "FIZZLED"})
    (tmp_path / "absent").mkdir()
    launchpad.rerun_fw(lost[0])
    launch_rocket(launchpad, FWorker())
    assert "COMPLETED" in states(launchpad)


def test_lost_runs_are_found_and_rerun(launchpad):
    launchpad.add_wf(chain(1))
    _fw, launch = launchpad.checkout_fw(FWorker(), ".")
    assert states(launchpad) == ["RUNNING"]
    long_ago = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=2)
    launchpad.launches.update_one(
        {"launch_id": launch}, {"$set": {"state_history.$[].updated_on": long_ago.isoformat()}}
    )
    lost, fw_ids, _ = launchpad.detect_lostruns(expiration_secs=3600, rerun=True)
    assert lost == [launch] and len(fw_ids) == 1
    assert states(launchpad) == ["READY"]
    rapidfire(launchpad, FWorker(), sleep_time=0.01)
    assert states(launchpad) == ["COMPLETED"]


def test_reservations_priorities_and_categories_are_heeded(launchpad):
    fireworks = [
        Firework(PyTask(func="builtins.print", args=["x"]), spec={"_priority": p, "_category": c})
        for p, c in ((1, "cpu"), (5, "gpu"), (3, "cpu"))
    ]
    for firework in fireworks:
        launchpad.add_wf(Workflow([firework]))
    reserved, launch = launchpad.reserve_fw(FWorker(category="cpu"), ".")
    assert reserved.spec["_priority"] == 3
    launchpad.set_reservation_id(launch, "77")
    assert launchpad.get_fw_ids_from_reservation_id("77") == [reserved.fw_id]
    assert launchpad.detect_unreserved(expiration_secs=-1, rerun=True) == [launch]
    launchpad.set_priority(reserved.fw_id, 9)
    assert launchpad.checkout_fw(FWorker(), ".")[0].fw_id == reserved.fw_id


def test_workflows_are_shown_paused_defused_and_deleted(launchpad):
    first, *_ = launchpad.add_wf(chain(2)).values()
    shown = launchpad.get_wf_summary_dict(first, mode="all")
    assert shown["state"] == "READY" and len(shown["states"]) == 2
    assert FWReport(launchpad).get_stats(coll="fireworks", interval="days", num_intervals=2)
    launchpad.pause_wf(first)
    launchpad.resume_fw(first)
    launchpad.defuse_wf(first)
    launchpad.archive_wf(first)
    assert states(launchpad) == ["ARCHIVED"] * 2
    launchpad.delete_wf(first)
    assert launchpad.workflows.count_documents({}) == 0
    launchpad.tuneup()
    launchpad.maintain(infinite=False)


def test_the_stock_commands_work(launchpad, tmp_path):
    launchpad.to_file(str(tmp_path / "my_launchpad.yaml"))
    content = yaml.safe_load((tmp_path / "my_launchpad.yaml").read_text())
    assert content["port"] == launchpad.port
    launchpad.add_wf(chain(2))

    def run(*command):
        program = Path(sys.executable).parent / command[0]
        done = subprocess.run([program, *command[1:]], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        return done.stdout

    assert '"state": "READY"' in run("lpad", "get_wflows")
    run("rlaunch", "-l", "my_launchpad.yaml", "rapidfire", "--nlaunches", "2")
    assert '"state": "COMPLETED"' in run("lpad", "get_wflows", "-d", "more")
    assert "COMPLETED : 2" in run("lpad", "report", "-c", "fireworks").replace("'", "")


@pytest.fixture
def documents(login):
    with MongoStore(collection_name="documents", key="uuid", **login) as store:
        yield store


def test_a_store_of_documents_works(documents):
    rows = [
        {"uuid": str(n), "index": n % 3, "nested": {"n": n}, "last_updated": datetime(2026, 1, 1 + n)} for n in range(9)
    ]
    documents.ensure_index("uuid", unique=True)
    documents.update(rows)
    documents.update([rows[0] | {"index": 7}], key=["uuid"])
    assert documents.count() == 9 and documents.count({"index": 7}) == 1
    assert documents.query_one({"uuid": "4"})["nested"] == {"n": 4}
    assert [row["uuid"] for row in documents.query({"nested.n": {"$gt": 6}}, sort={"uuid": -1}, limit=1)] == ["8"]
    assert sorted(documents.distinct("index")) == [0, 1, 2, 7]
    groups = {str(key["index"]): len(rows) for key, rows in documents.groupby("index")}
    assert groups == {"0": 2, "1": 3, "2": 3, "7": 1}
    assert documents.last_updated == datetime(2026, 1, 9)
    assert set(documents.newer_in(documents)) == set()
    documents.remove_docs({"index": 1})
    assert documents.count() == 6


def test_a_store_of_files_works(login):
    with GridFSStore(collection_name="blobs", key="uuid", **login) as store:
        big = list(range(200_000))
        store.update([{"uuid": "a", "data": big}, {"uuid": "b", "data": {"x": 1}}], key=["uuid"])
        store.update([{"uuid": "b", "data": {"x": 2}}], key=["uuid"])
        assert store.query_one({"uuid": "a"})["data"] == big
        assert store.query_one({"uuid": "b"})["data"] == {"x": 2}
        assert store.count() == 2 and sorted(store.distinct("uuid")) == ["a", "b"]
        store.remove_docs({"uuid": "a"})
        assert [row["uuid"] for row in store.query()] == ["b"]


@job(data=["curve"])
def measure(n):
    return {"n": n, "curve": list(range(n))}


@job
def add_up(values):
    return sum(values)


def test_jobs_hand_their_results_on_through_the_stores(launchpad, login, monkeypatch):
    store = JobStore(
        MongoStore(collection_name="outputs", **login),
        additional_stores={"data": GridFSStore(collection_name="outputs_data", **login)},
    )
    monkeypatch.setattr("jobflow.SETTINGS.JOB_STORE", store)
    parts = [measure(n) for n in (10, 50_000)]
    total = add_up([part.output["n"] for part in parts])
    launchpad.add_wf(flow_to_workflow(Flow([*parts, total])))
    rapidfire(launchpad, FWorker(), sleep_time=0.01)
    assert set(states(launchpad)) == {"COMPLETED"}
    with store:
        assert store.get_output(total.uuid) == 50_010
        assert store.get_output(parts[1].uuid, load=True)["curve"] == list(range(50_000))
        assert "blob_uuid" in store.query_one({"uuid": parts[0].uuid}, load=False)["output"]["curve"]
        store.update([{"uuid": total.uuid, "index": 1, "output": 1}], key=["uuid", "index"])
        assert store.count({"uuid": total.uuid}) == 1


def test_a_worker_waits_for_nothing_when_nothing_is_ready(launchpad):
    before = time.monotonic()
    assert launch_rocket(launchpad, FWorker()) is False
    assert time.monotonic() - before < 1


def test_stores_of_several_collections_are_joined(login, database):
    when = datetime(2026, 1, 1)
    database.first.insert_many([{"task_id": n, "a": n, "last_updated": when + timedelta(days=n)} for n in range(3)])
    database.second.insert_many([{"task_id": n, "b": -n, "last_updated": when + timedelta(days=9)} for n in range(2)])
    with JointStore(collection_names=["first", "second"], key="task_id", **login) as store:
        assert store.count() == 3 and store.count({"a": {"$gt": 0}}) == 2
        assert store.query_one({"task_id": 1})["second"]["b"] == -1
        assert store.query_one({"task_id": 2}).get("second") is None
        assert store.query_one({"task_id": 2})["last_updated"] == when + timedelta(days=2)
        assert store.query_one({"task_id": 0})["last_updated"] == when + timedelta(days=9)
        assert [row["task_id"] for row in store.query(properties=["task_id"], limit=2)] == [0, 1]
        assert {str(key): len(rows) for key, rows in store.groupby("a")} == {
            "{'a': 0}": 1,
            "{'a': 1}": 1,
            "{'a': 2}": 1,
        }
    with JointStore(collection_names=["first", "second"], key="task_id", merge_at_root=True, **login) as store:
        assert store.query_one({"task_id": 1})["b"] == -1


@pytest.mark.parametrize("update", [{"$set": {"state": "DONE"}}, [{"$set": {"state": "DONE"}}, {"$set": {}}]], ids=repr)
def test_locks_of_jobflow_remote_are_taken_once_and_released(database, update):
    locked = pytest.importorskip("jobflow_remote.utils.db").MongoLock
    jobs = database.jobs
    jobs.insert_one({"uuid": "a", "state": "READY", "lock_id": None})
    with locked(jobs, {"uuid": "a"}, get_locked_doc=True, projection=["state"]) as lock:
        assert lock.locked_document["state"] == "READY"
        with locked(jobs, {"uuid": "a"}, get_locked_doc=True) as second:
            assert second.locked_document is None and second.unavailable_document["lock_id"] == lock.lock_id
        with locked(jobs, {"uuid": "a"}) as third:
            assert third.locked_document is None and third.unavailable_document is None
        lock.update_on_release = update
    released = jobs.find_one({}, {"_id": 0})
    assert released == {"uuid": "a", "state": "DONE", "lock_id": None, "lock_time": None}


def test_updates_and_reports_of_jobflow_remote_work(database):
    now = datetime(2026, 5, 6, 7)
    rows = [
        {"uuid": str(n), "db_id": str(n), "state": ("READY", "RUNNING")[n % 2], "updated_on": now} for n in range(4)
    ]
    database.jobs.insert_many(rows)
    database.flows.insert_one({"uuid": "f", "jobs": ["0", "1"], "ids": [["0", "0", 1], ["1", "1", 1]]})
    ready = {"$eq": ["$state", "READY"]}
    change = {
        "state": {"$cond": {"if": ready, "then": "PAUSED", "else": "$state"}},
        "exec_config": {"$mergeObjects": ["$none", {"x": 1}]},
    }
    assert database.jobs.update_many({}, [{"$set": change}]).modified_count == 4
    day = {"$dateToString": {"format": "%Y-%m-%d", "date": "$updated_on", "timezone": "+00:00"}}
    paused = {"$sum": {"$cond": [{"$eq": ["$state", "PAUSED"]}, 1, 0]}}
    [trend] = database.jobs.aggregate(
        [{"$match": {"updated_on": {"$gte": now}}}, {"$group": {"_id": day, "paused": paused}}]
    )
    assert trend == {"_id": "2026-05-06", "paused": 2}
    join = {"from": "jobs", "localField": "jobs", "foreignField": "uuid", "as": "jobs_list"}
    join["pipeline"] = [{"$sort": {"db_id": -1}}, {"$project": {"state": 1, "db_id": 1}}]
    [flow] = database.flows.aggregate(
        [{"$lookup": join}, {"$project": {"uuid": 1, "jobs_list.db_id": 1, "jobs_list.state": 1}}]
    )
    assert [job["db_id"] for job in flow["jobs_list"]] == ["1", "0"] and set(flow["jobs_list"][0]) == {"db_id", "state"}
    assert database.flows.find_one({"ids": {"$elemMatch": {"0": {"$in": ["1"]}}}})["uuid"] == "f"
    assert database.flows.find_one({"ids": {"$elemMatch": {"0": "7"}}}) is None
    database.auxiliary.insert_one({"next_id": 1})
    assert (
        database.auxiliary.find_one_and_update({"next_id": {"$exists": True}}, {"$inc": {"next_id": 3}})["next_id"] == 1
    )
    lasting = {"$set": {"duration": {"$subtract": [now + timedelta(seconds=2), "$updated_on"]}}}
    assert next(database.jobs.aggregate([lasting]))["duration"] == 2000


def test_fireworks_sorts_by_dates_that_are_strings_or_dates(launchpad):
    launchpad.add_wf(chain(2))
    assert launchpad.get_fw_ids({}, sort=[("updated_on", -1)], limit=1, launches_mode=False)
    assert launchpad.get_wf_ids({}, sort=[("created_on", 1)]) and launchpad.get_fw_ids_in_wfs(sort=[("fw_id", 1)])
    assert launchpad.get_fw_ids({}, count_only=True) == 2
    assert launchpad.update_spec([1], {"x.y": 1}) is None and launchpad.fireworks.find_one({"fw_id": 1})["spec"][
        "x"
    ] == {"y": 1}
