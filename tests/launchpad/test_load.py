"""Many documents, large files and long searches: what they cost, and what others wait."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import gridfs
import pytest
from bson import encode
from pymongo.errors import OperationFailure

from imatgen_flows.launchpad.commands import Commands
from imatgen_flows.launchpad.control import ServerFiles
from imatgen_flows.launchpad.engine import DatabaseEngine

NUMBER = 8_000


@pytest.fixture(scope="module")
def many(client):
    """Small documents, with two indexes."""
    things = client["load"].many
    things.create_index("value")
    things.create_index([("group", 1), ("value", -1)])
    things.insert_many(
        {"_id": n, "value": n * 7919 % NUMBER, "group": n % 5, "name": f"job {n}"} for n in range(NUMBER)
    )
    return things


def shortest(work, times=5):
    """The shortest of several times in s: the one in which the machine did nothing else."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


@contextmanager
def another_client(connect, endpoint):
    """Find one document again and again; gives the seconds that it took."""
    taken, done, ready = [], threading.Event(), threading.Event()

    def find():
        with connect(endpoint) as client:
            client["other"].small.replace_one({"_id": 1}, {}, upsert=True)
            ready.set()
            while not done.wait(0.005):
                start = time.perf_counter()
                assert client["other"].small.find_one({"_id": 1})
                taken.append(time.perf_counter() - start)

    thread = threading.Thread(target=find)
    thread.start()
    ready.wait(10)
    try:
        yield taken
    finally:
        done.set()
        thread.join()


def memory(server_directory, which="VmRSS"):
    """Resident memory of the server in MB."""
    status = Path(f"/proc/{ServerFiles(server_directory).running()}/status").read_text()
    return int(status.split(f"{which}:")[1].split()[0]) / 1e3


def nbytes(server_directory):
    return sum(path.stat().st_size for path in server_directory.glob("database*"))


@pytest.mark.parametrize(
    "search",
    [
        lambda many: many.find().sort("value", 1).limit(20),
        lambda many: many.find().sort("value", -1).limit(20),
        lambda many: many.find({"value": {"$gte": 100, "$lt": 120}}),
        lambda many: many.find({"value": {"$gt": 4_000}}).sort("value", 1).limit(20),
        lambda many: many.find({"group": 3}).sort("value", -1).limit(20),
        lambda many: many.find({"group": 3, "value": {"$lt": 100}}),
        lambda many: many.find({"name": {"$ne": "x"}, "group": 3}).sort("value", 1).limit(20),
    ],
    ids=["sort", "descending", "range", "range-sort", "equal-sort", "equal-range", "filter-sort"],
)
def test_an_index_gives_sorts_and_ranges(many, search):
    scan = shortest(lambda: list(many.find({"name": "job 77"})), 3)
    assert shortest(lambda: list(search(many))) < scan / 3


def test_all_documents_come_in_the_order_of_an_index(many):
    rows = list(many.find({}, sort=[("value", -1)]))
    assert [row["value"] for row in rows] == list(range(NUMBER - 1, -1, -1))
    rows = list(many.find({"value": {"$gte": 10}}, sort=[("group", 1), ("value", -1)]))
    assert rows == sorted(rows, key=lambda row: (row["group"], -row["value"])) and len(rows) == NUMBER - 10


def test_a_group_needs_no_more_than_a_few_searches(many):
    scan = shortest(lambda: list(many.find({"name": "job 77"})), 3)
    stage = {"_id": "$group", "n": {"$sum": 1}, "mean": {"$avg": "$value"}, "most": {"$max": "$value"}}
    assert shortest(lambda: list(many.aggregate([{"$group": stage}])), 3) < 3 * scan
    rows = {row["_id"]: row for row in many.aggregate([{"$group": stage}])}
    values = {number: [n * 7919 % NUMBER for n in range(number, NUMBER, 5)] for number in range(5)}
    for number, own in values.items():
        assert rows[number] == {"_id": number, "n": len(own), "mean": sum(own) / len(own), "most": max(own)}


@pytest.mark.parametrize(
    "work",
    [
        lambda many: many.count_documents({"name": "x"}),
        lambda many: list(many.aggregate([{"$group": {"_id": "$name", "n": {"$sum": 1}}}, {"$limit": 1}])),
        lambda many: list(many.find().sort("name", 1).limit(1)),
        lambda many: many.update_many({"name": "x"}, {"$set": {"y": 1}}),
    ],
    ids=["scan", "group", "sort", "update"],
)
def test_a_long_search_leaves_the_database_to_others(many, connect, endpoint, work):
    with another_client(connect, endpoint) as taken:
        start = time.perf_counter()
        while len(taken) < 10:
            work(many)
        long = time.perf_counter() - start
    assert sorted(taken)[len(taken) // 2] < max(0.05, long / 5)


# time limits


EXPONENTIAL = ("^(a|a)+$", "^(a|aa)+$")


def test_a_regular_expression_that_would_not_end_is_ended(connect, endpoint, database):
    database.texts.insert_many([{"_id": n, "text": "a" * 60 + "b"} for n in range(3)])
    with another_client(connect, endpoint) as taken:
        for pattern in EXPONENTIAL:
            for work in (
                lambda query: database.texts.find_one(query, max_time_ms=200),
                lambda query: database.texts.update_many(query, {"$set": {"found": True}}),
            ):
                with pytest.raises(OperationFailure, match="exceeded time limit") as raised:
                    work({"text": {"$regex": pattern}})
                assert raised.value.code == 50
    assert sorted(taken)[len(taken) * 9 // 10] < 0.1
    assert database.texts.count_documents({"found": True}) == 0
    assert database.texts.count_documents({"text": {"$regex": "^a+b$"}}) == 3  # an ordinary one


def test_a_search_ends_when_its_time_is_over(many):
    for work in (
        lambda: many.find_one({"name": "x"}, max_time_ms=1),
        lambda: list(many.find({"name": {"$ne": "x"}}, sort=[("name", 1)], max_time_ms=1)),
        lambda: list(many.aggregate([{"$group": {"_id": "$name"}}], maxTimeMS=1)),
        lambda: many.database.command("count", "many", query={"name": "x"}, maxTimeMS=1),
    ):
        with pytest.raises(OperationFailure, match="exceeded time limit") as raised:
            work()
        assert (raised.value.code, raised.value.details["codeName"]) == (50, "MaxTimeMSExpired")
    assert many.find_one({"_id": 1}, max_time_ms=10_000)


@pytest.mark.parametrize("wanted", [-1, "1", 2**31, True, {}])
def test_a_time_that_is_none_is_refused(many, wanted):
    with pytest.raises(OperationFailure, match="maxTimeMS must be") as raised:
        many.database.command("find", "many", maxTimeMS=wanted)
    assert raised.value.code == 2


def test_no_command_goes_on_for_ever(tmp_path):
    engine = DatabaseEngine(tmp_path / "database.sqlite")
    commands = Commands(engine)
    commands.run({"insert": "things", "documents": [{"_id": n, "text": "x" * 100} for n in range(100)], "$db": "any"})
    find = {"find": "things", "filter": {"text": "y"}, "$db": "any"}
    assert commands.run(find)["ok"] == 1
    with patch("imatgen_flows.launchpad.deadlines.LONGEST", 0.0):
        assert commands.run(find)["code"] == 50
        assert commands.run({**find, "maxTimeMS": 10_000})["code"] == 50
    group = {"$group": {"_id": "$text", "all": {"$push": "$_id"}}}
    aggregate = {"aggregate": "things", "pipeline": [group], "cursor": {}, "$db": "any"}
    assert commands.run(aggregate)["ok"] == 1
    with patch("imatgen_flows.launchpad.reading.PIPELINE_BYTES", 5_000):
        assert commands.run(aggregate)["code"] == 292
        assert commands.run({**aggregate, "pipeline": [{"$match": {"_id": 7}}, group]})["ok"] == 1
        assert commands.run({**aggregate, "pipeline": [{"$sort": {"_id": 1}}, {"$limit": 9}, group]})["ok"] == 1
    engine.close()


# memory and disk


def test_memory_does_not_grow_with_large_files_and_their_space_is_given_back(database, server_directory):
    files, part = gridfs.GridFS(database, "fs"), 40 * 2**20
    numbers = [files.put(bytes(part)) for _ in range(4)]
    assert nbytes(server_directory) > 4 * part
    assert len(files.get(numbers[1]).read()) == part
    assert memory(server_directory, "VmHWM") < 300
    database["fs.chunks"].drop()
    end = time.monotonic() + 30
    while nbytes(server_directory) > 50e6 and time.monotonic() < end:
        time.sleep(0.1)
    assert nbytes(server_directory) < 50e6


def test_documents_are_not_kept_in_memory(database, server_directory):
    rows = [{"n": n, "text": f"{n:0100}"} for n in range(10_000)]
    size = sum(len(encode(row)) for row in rows) / 1e6
    before = memory(server_directory)
    for _ in range(3):
        database.things.insert_many(rows)
        for row in rows:
            del row["_id"]
        assert sum(1 for _ in database.things.find()) % 10_000 == 0
    assert memory(server_directory) - before < 40 + 4 * size  # the cache of pages is 32 MB
