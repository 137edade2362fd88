"""Durability under kills, full disks and many clients."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from pymongo.errors import OperationFailure, PyMongoError

from imatgen_flows import launchpad
from imatgen_flows.launchpad.control import Endpoint, ServerFiles
from imatgen_flows.launchpad.engine import DatabaseEngine
from imatgen_flows.launchpad.server import Server

KILLS = 12

CLAIM = """
import json, os, sys
from pymongo import MongoClient
login = json.loads(sys.stdin.read())
with MongoClient(**login) as client:
    tasks = client["crowd"].tasks
    claimed = []
    while task := tasks.find_one_and_update(
        {"state": "READY"}, {"$set": {"state": "RUNNING", "by": os.getpid()}, "$inc": {"claims": 1}}, sort=[("_id", 1)]
    ):
        claimed.append(task["_id"])
print(json.dumps(claimed))
"""


@pytest.fixture
def directory(tmp_path):
    yield tmp_path / "launchpad"
    launchpad.stop(tmp_path / "launchpad")


def test_of_many_processes_one_claims_each_document(endpoint, client):
    client["crowd"].tasks.insert_many([{"_id": n, "state": "READY", "claims": 0} for n in range(200)])
    login = {name: getattr(endpoint, name) for name in ("host", "port", "username", "password")}
    command = [sys.executable, "-c", CLAIM]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for worker in workers:
        worker.stdin.write(json.dumps(login))
        worker.stdin.close()
    claimed = [json.loads(worker.stdout.read()) for worker in workers]
    assert [worker.wait() for worker in workers] == [0] * 8
    for worker in workers:
        worker.stdout.close()
    assert sorted(sum(claimed, [])) == list(range(200))
    assert client["crowd"].tasks.distinct("claims") == [1]


def test_every_acknowledged_write_survives_kills(directory, connect):
    dice = random.Random(7)
    acknowledged = []

    def write(endpoint):
        with connect(endpoint) as client:
            database = client["stream"]
            while True:
                number = len(acknowledged)
                try:
                    database.log.replace_one({"_id": number}, {"text": "x" * dice.randrange(20_000)}, upsert=True)
                    database.counter.find_one_and_update(
                        {"_id": 1}, {"$inc": {"a": 1, "b": 1}, "$push": {"seen": number}}, upsert=True
                    )
                except PyMongoError:
                    return
                acknowledged.append(number)

    for _ in range(KILLS):
        endpoint = launchpad.start(directory)
        writer = threading.Thread(target=write, args=(endpoint,))
        before = len(acknowledged)
        writer.start()
        while writer.is_alive() and len(acknowledged) <= before + 10:  # a slow disk acknowledges few
            time.sleep(0.005)
        time.sleep(dice.uniform(0, 0.2))
        os.kill(launchpad.status(directory).pid, signal.SIGKILL)
        writer.join()
    endpoint = launchpad.start(directory)
    with connect(endpoint) as client:
        found = {row["_id"] for row in client["stream"].log.find({}, {"_id": 1})}
        counter = client["stream"].counter.find_one()
    assert len(acknowledged) > 10 * KILLS
    assert set(acknowledged) <= found and len(found - set(acknowledged)) <= 1
    assert set(acknowledged) <= set(counter["seen"])
    assert counter["a"] == counter["b"] == len(counter["seen"])  # each update is there whole or not at all
    assert len(acknowledged) <= counter["a"] <= len(acknowledged) + KILLS


def test_a_command_is_one_transaction(directory, connect):
    """A kill within a command of many documents leaves all or none of them."""
    counts = []
    for attempt in range(6):
        endpoint = launchpad.start(directory)
        pid = launchpad.status(directory).pid
        kill = threading.Timer(0.06 * attempt, os.kill, (pid, signal.SIGKILL))
        with connect(endpoint) as client, suppress(PyMongoError):
            client.admin.command("ping")
            kill.start()
            client["batch"].rows.insert_many([{"attempt": attempt, "text": "x" * 1000} for _ in range(5_000)])
        kill.join()
        with connect(launchpad.start(directory)) as client:
            counts.append(client["batch"].rows.count_documents({"attempt": attempt}))
    assert set(counts) <= {0, 5_000}, counts


def test_a_disk_that_refuses_loses_nothing_and_recovers(directory, connect):
    endpoint = launchpad.start(directory)
    pid = launchpad.status(directory).pid
    with connect(endpoint) as client:
        things = client["full"].things
        things.insert_many([{"_id": n, "text": "x" * 1000} for n in range(100)])
        things.create_index("n", unique=True, sparse=True)
        size = ServerFiles(directory).database.with_name("database.sqlite-wal").stat().st_size
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 50_000, hard))
        for write in (
            lambda: things.insert_one({"_id": "new", "n": 1, "text": "x" * 1_000_000}),
            lambda: things.update_many({}, {"$set": {"text": "y" * 10_000}}),
            lambda: things.find_one_and_update({"_id": 5}, {"$set": {"text": "y" * 1_000_000}}),
            lambda: client["full"].others.insert_one({"text": "x" * 1_000_000}),
        ):
            with pytest.raises(OperationFailure, match="cannot write .* Nothing was changed"):
                write()
            assert things.count_documents({"text": "x" * 1000}) == things.count_documents({}) == 100
            assert client["full"].list_collection_names() == ["things"]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        things.insert_one({"_id": "new", "n": 1, "text": "x" * 1_000_000})  # the value is not thought taken
    os.kill(pid, signal.SIGKILL)
    with connect(launchpad.start(directory)) as client:
        assert client["full"].things.count_documents({}) == 101
        assert client["full"].things.find_one({"n": 1})["_id"] == "new"


def test_a_full_disk_is_called_one(tmp_path, connect):
    engine = DatabaseEngine(tmp_path / "database.sqlite")
    endpoint = Endpoint("127.0.0.1", 0, "imatgen", "secret")
    with Server(endpoint, engine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        with connect(Endpoint("127.0.0.1", server.server_address[1], "imatgen", "secret")) as client:
            client["full"].things.insert_one({"_id": 1})
            engine._storage.connection.execute("PRAGMA max_page_count = 20")
            with pytest.raises(OperationFailure, match="full. Nothing was changed. Free some space") as raised:
                client["full"].things.insert_one({"text": "x" * 1_000_000})
            assert raised.value.code == 14031
            engine._storage.connection.execute("PRAGMA max_page_count = 1000000")
            client["full"].things.insert_one({"_id": 2, "text": "x" * 1_000_000})
            assert client["full"].things.count_documents({}) == 2
        server.shutdown()
        thread.join()
    engine.close()
