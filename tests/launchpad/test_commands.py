"""pymongo's client gets the replies that MongoDB gives."""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace
from datetime import datetime

import gridfs
import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex
from bson.son import SON
from pymongo import ASCENDING, DESCENDING, DeleteMany, DeleteOne, InsertOne, ReplaceOne, ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, WriteError

from imatgen_flows.launchpad import Endpoint
from imatgen_flows.launchpad.engine import DatabaseEngine
from imatgen_flows.launchpad.server import Server


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    """A server in this process."""
    endpoint = Endpoint("127.0.0.1", 0, "imatgen", "secret")
    engine = DatabaseEngine(tmp_path_factory.mktemp("engine") / "database.sqlite")
    with Server(endpoint, engine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield replace(endpoint, port=server.server_address[1])
        server.shutdown()
        thread.join()
    engine.close()


@pytest.fixture
def numbers(database):
    """Ten documents, inserted out of order."""
    collection = database["numbers"]
    collection.insert_many([{"_id": n, "n": n, "odd": n % 2, "tags": [n, -n]} for n in (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)])
    return collection


def ids(documents):
    return [document["_id"] for document in documents]


def test_values_of_all_types_come_back(database):
    document = {
        "_id": ObjectId(),
        "values": [1, 2**40, Int64(3), 1.5, "é", b"\0", None, True, [], {}, datetime(2026, 1, 2, 3, 4, 5, 6000)],
        "other": {"uuid": Binary.from_uuid(uuid.uuid4()), "decimal": Decimal128("1.10"), "regex": Regex("a.b", "i")},
    }
    database.things.insert_one(document)
    found = database.things.find_one({"_id": document["_id"]})
    assert found == document
    assert list(found["other"]) == ["uuid", "decimal", "regex"]  # fields keep their order


def test_find_sorts_skips_limits_and_projects(numbers):
    assert ids(numbers.find()) == [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    assert ids(numbers.find().sort("n", ASCENDING).skip(2).limit(3)) == [2, 3, 4]
    assert ids(numbers.find(sort=[("odd", ASCENDING), ("n", DESCENDING)])) == [8, 6, 4, 2, 0, 9, 7, 5, 3, 1]
    assert ids(numbers.find(sort=[("$natural", DESCENDING)], limit=2)) == [7, 8]
    assert ids(numbers.find().skip(8)) == [8, 7]
    assert numbers.find_one({"n": 4}, {"odd": 1}) == {"_id": 4, "odd": 0}
    assert numbers.find_one({"n": 4}, {"_id": 0, "tags": 0}) == {"n": 4, "odd": 0}
    assert numbers.find_one({"n": 4}, {"tags": {"$slice": -1}, "n": 1})["tags"] == [-4]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"n": {"$gt": 2, "$lte": 4}}, [3, 4]),
        ({"n": {"$in": [1, 99, 7]}}, [1, 7]),
        ({"n": {"$nin": [0, 1, 2, 3]}, "odd": 1}, [5, 7, 9]),  # codespell:ignore nin
        ({"$or": [{"n": 1}, {"n": 2}], "odd": 0}, [2]),
        ({"$and": [{"n": 1}, {"odd": 1}]}, [1]),
        ({"tags": -6}, [6]),
        ({"tags": {"$elemMatch": {"$gt": 7, "$lt": 9}}}, [8]),
        ({"missing": None, "n": 3}, [3]),
        ({"missing": {"$exists": True}}, []),
        ({"n": {"$ne": 3}, "odd": {"$not": {"$eq": 0}}}, [1, 5, 7, 9]),
        ({"n": 3.0}, [3]),
        ({"n": "3"}, []),
    ],
)
@pytest.mark.parametrize("indexed", [False, True])
def test_filters_find_the_same_with_and_without_indexes(numbers, query, expected, indexed):
    if indexed:
        for fields in ("n", "odd", "tags", "missing"):
            numbers.create_index(fields)
    assert ids(numbers.find(query, sort=[("n", 1)])) == expected
    assert numbers.count_documents(query) == len(expected)


def test_an_index_follows_updates_and_deletions(numbers):
    numbers.create_index([("tags", 1), ("n", 1)])
    numbers.update_one({"n": 3}, {"$push": {"tags": 100}})
    numbers.update_many({"odd": 0}, {"$set": {"tags": [7]}})
    numbers.delete_one({"n": 7})
    assert ids(numbers.find({"tags": 100})) == [3]
    assert ids(numbers.find({"tags": 7}).sort("n")) == [0, 2, 4, 6, 8]
    assert numbers.find_one({"tags": 4}) is None


def test_update_operators_that_fireworks_uses(database):
    states = database["states"]
    states.insert_one({"_id": 1, "a": {"b": 1}, "log": [{"state": "READY"}], "locked": True, "n": 1})
    done = states.update_one(
        {"_id": 1},
        {
            "$set": {"a.c": [1], "new.deep": 2},
            "$unset": {"locked": ""},
            "$push": {"log": {"state": "COMPLETED"}},
            "$inc": {"n": 2, "m": 1},
            "$addToSet": {"set": 1},
        },
    )
    assert (done.matched_count, done.modified_count) == (1, 1)
    states.update_one({"_id": 1}, {"$set": {"log.0.state": "RUNNING"}})
    assert states.find_one() == {
        "_id": 1,
        "a": {"b": 1, "c": [1]},
        "log": [{"state": "RUNNING"}, {"state": "COMPLETED"}],
        "n": 3,
        "new": {"deep": 2},
        "m": 1,
        "set": [1],
    }
    states.update_one({"_id": 1}, {"$pull": {"log": {"state": "RUNNING"}}, "$push": {"set": {"$each": [2, 3]}}})
    assert states.find_one({}, {"log": 1, "set": 1}) == {"_id": 1, "log": [{"state": "COMPLETED"}], "set": [1, 2, 3]}
    states.update_one({"log.state": "COMPLETED"}, {"$set": {"log.$.state": "FIZZLED"}})
    assert states.find_one()["log"] == [{"state": "FIZZLED"}]
    unchanged = states.update_one({"_id": 1}, {"$set": {"n": 3}})
    assert (unchanged.matched_count, unchanged.modified_count) == (1, 0)


def test_an_upsert_starts_from_its_filter(database):
    things = database["things"]
    done = things.update_one(
        {"a.b": 1, "c": {"$eq": 2}, "d": {"$gt": 3}, "$and": [{"e": 5}]},
        {"$set": {"x": 1}, "$setOnInsert": {"y": 2}},
        upsert=True,
    )
    assert done.upserted_id is not None and done.matched_count == 0
    expected = {"_id": done.upserted_id, "a": {"b": 1}, "c": 2, "e": 5, "x": 1, "y": 2}
    assert things.find_one() == expected
    things.update_one({"c": 2}, {"$set": {"x": 3}, "$setOnInsert": {"y": 4}}, upsert=True)
    assert things.find_one() == expected | {"x": 3}
    assert things.replace_one({"_id": "mine"}, {"z": 1}, upsert=True).upserted_id == "mine"
    assert things.find_one({"_id": "mine"}) == {"_id": "mine", "z": 1}


def test_find_one_and_update_returns_before_or_after(numbers):
    assert numbers.find_one_and_update({"n": 3}, {"$set": {"n": 30}})["n"] == 3
    after = numbers.find_one_and_update({"n": 30}, {"$inc": {"n": 1}}, return_document=ReturnDocument.AFTER)
    assert after["n"] == 31
    claimed = numbers.find_one_and_update({"odd": 0}, {"$set": {"odd": 2}}, {"n": 1}, sort=[("n", DESCENDING)])
    assert claimed == {"_id": 8, "n": 8}
    assert numbers.find_one_and_update({"n": 99}, {"$set": {"n": 0}}) is None
    new = numbers.find_one_and_update({"n": 99}, {"$set": {"m": 1}}, upsert=True, return_document=ReturnDocument.AFTER)
    assert (new["n"], new["m"]) == (99, 1)


def test_find_one_and_replace_and_delete(numbers):
    assert numbers.find_one_and_replace({"n": 3}, {"n": -3})["n"] == 3
    assert numbers.find_one({"_id": 3}) == {"_id": 3, "n": -3}
    assert numbers.find_one_and_replace({"n": 50}, {"n": 51}, upsert=True) is None
    assert numbers.count_documents({"n": 51}) == 1
    assert numbers.find_one_and_delete({}, sort=[("n", 1)])["_id"] == 3
    assert numbers.delete_many({"odd": 1}).deleted_count == 4
    assert numbers.delete_one({"odd": 0}).deleted_count == 1


def test_bulk_writes_report_what_they_did(database):
    things = database["things"]
    requests = [
        InsertOne({"_id": 1}),
        InsertOne({"_id": 2}),
        UpdateOne({"_id": 1}, {"$set": {"a": 1}}),
        ReplaceOne({"_id": 3}, {"b": 1}, upsert=True),
        DeleteOne({"_id": 2}),
        DeleteMany({"absent": 1}),
    ]
    done = things.bulk_write(requests, ordered=False)
    counts = (done.inserted_count, done.matched_count, done.modified_count, done.upserted_count, done.deleted_count)
    assert counts == (2, 1, 1, 1, 1)
    assert list(things.find()) == [{"_id": 1, "a": 1}, {"_id": 3, "b": 1}]


@pytest.mark.parametrize(("ordered", "kept"), [(True, [1]), (False, [1, 2])])
def test_a_bulk_write_with_a_fault_names_it(database, ordered, kept):
    with pytest.raises(BulkWriteError) as raised:
        database.things.insert_many([{"_id": 1}, {"_id": 1}, {"_id": 2}], ordered=ordered)
    [fault] = raised.value.details["writeErrors"]
    assert (fault["index"], fault["code"], fault["keyValue"]) == (1, 11000, {"_id": 1})
    assert ids(database.things.find()) == kept


def test_aggregations_that_maggma_uses(numbers):
    grouped = numbers.aggregate([{"$match": {"n": {"$lt": 5}}}, {"$group": {"_id": "$odd", "n": {"$sum": "$n"}}}])
    assert {row["_id"]: row["n"] for row in grouped} == {0: 6, 1: 4}
    groups = numbers.aggregate(
        [{"$sort": {"n": -1}}, {"$group": {"_id": {"odd": "$odd"}, "docs": {"$push": {"n": "$n"}}}}, {"$limit": 1}]
    )
    assert next(groups)["docs"][0]["n"] in (8, 9)
    projected = numbers.aggregate([{"$match": {"n": 4}}, {"$project": {"double": {"$multiply": ["$n", 2]}}}])
    assert list(projected) == [{"_id": 4, "double": 8}]
    assert list(numbers.aggregate([{"$sort": {"n": 1}}, {"$skip": 8}, {"$count": "left"}])) == [{"left": 2}]


def test_a_pipeline_changes_nothing_that_is_stored(numbers):
    numbers.database.others.insert_one({"_id": 1, "n": 4, "x": {}})
    joined = [{"$lookup": {"from": "others", "localField": "n", "foreignField": "n", "as": "o"}}, {"$set": {"tags": 1}}]
    assert len(list(numbers.aggregate([{"$match": {"n": 4}}, *joined]))[0]["o"]) == 1
    assert numbers.find_one({"n": 4}) == {"_id": 4, "n": 4, "odd": 0, "tags": [4, -4]}


def test_distinct_values(numbers):
    assert sorted(numbers.distinct("odd")) == [0, 1]
    assert sorted(numbers.distinct("tags", {"n": {"$in": [1, 2]}})) == [-2, -1, 1, 2]
    assert numbers.distinct("absent") == []


def test_results_longer_than_a_batch_arrive_whole(database):
    things = database["things"]
    things.insert_many([{"_id": n, "text": "x" * 30_000} for n in range(1000)])  # 30 MB: several messages too
    assert ids(things.find()) == list(range(1000))
    assert ids(things.find(batch_size=7, limit=50)) == list(range(50))
    cursor = things.find(batch_size=10)
    first = next(cursor)
    things.delete_many({})
    assert [first["_id"], *ids(cursor)] == list(range(1000))  # what was there when it was opened


def test_a_cursor_that_is_closed_or_forgotten_is_gone(database, monkeypatch):
    database.things.insert_many([{} for _ in range(20)])

    def opened():
        cursor = database.things.find(batch_size=5)
        next(cursor)
        return cursor

    def more(cursor_id):
        return database.command({"getMore": cursor_id, "collection": "things"})

    read, closed, forgotten = opened(), opened(), opened()
    assert len(more(read.cursor_id)["cursor"]["nextBatch"]) == 15
    number = closed.cursor_id
    closed.close()
    monkeypatch.setattr("imatgen_flows.launchpad.cursors.LIFETIME", 0)
    opened()
    for gone in (number, forgotten.cursor_id):
        with pytest.raises(OperationFailure, match="not found") as raised:
            more(gone)
        assert raised.value.code == 43


def test_indexes_are_listed_and_dropped(numbers):
    numbers.create_index("n", unique=True, background=True)
    numbers.create_index([("odd", DESCENDING), ("n", ASCENDING)], name="both")
    numbers.create_index("n", unique=True)  # again
    information = numbers.index_information()
    assert set(information) == {"_id_", "n_1", "both"}
    assert information["n_1"]["unique"] and information["both"]["key"] == [("odd", -1), ("n", 1)]
    with pytest.raises(OperationFailure, match="exists already"):
        numbers.create_index("n", unique=False)
    numbers.drop_index("both")
    numbers.drop_indexes()
    assert set(numbers.index_information()) == {"_id_"}
    with pytest.raises(OperationFailure, match="no index"):
        numbers.drop_index("both")
    assert numbers.database["absent"].index_information() == {}


def test_unique_indexes_hold(numbers):
    numbers.create_index("n", unique=True)
    numbers.create_index([("odd", 1), ("pair", 1)], unique=True, partialFilterExpression={"pair": {"$exists": True}})
    numbers.create_index("rare", unique=True, sparse=True)
    for write in (
        lambda: numbers.insert_one({"n": 3}),
        lambda: numbers.update_one({"n": 4}, {"$set": {"n": 3}}),
        lambda: numbers.find_one_and_update({"n": 4}, {"$set": {"n": 3}}),
        lambda: numbers.replace_one({"n": 50}, {"n": 3}, upsert=True),
    ):
        with pytest.raises(DuplicateKeyError) as raised:
            write()
        assert raised.value.details["keyValue"] == {"n": 3}
    numbers.insert_one({"n": 10, "odd": 0, "pair": 1, "rare": True})
    numbers.insert_one({"n": 11, "odd": 0, "pair": True, "rare": 1})  # True is not 1
    with pytest.raises(DuplicateKeyError):
        numbers.insert_one({"n": 12, "odd": 0, "pair": 1})
    numbers.delete_one({"n": 3})
    numbers.insert_one({"n": 3})  # free again
    with pytest.raises(DuplicateKeyError):
        numbers.create_index("odd", unique=True)
    assert "odd_1" not in numbers.index_information()


def test_the_id_of_a_document_stays(numbers):
    with pytest.raises(WriteError, match="_id"):
        numbers.update_one({"n": 3}, {"$set": {"_id": 30}})
    with pytest.raises(WriteError, match="_id"):
        numbers.replace_one({"n": 3}, {"_id": 30})
    assert numbers.find_one({"n": 3})["_id"] == 3


def test_an_update_that_fails_half_way_leaves_its_document(numbers):
    numbers.insert_one({"_id": "text", "n": "text"})
    with pytest.raises(OperationFailure):
        numbers.update_one({"_id": "text"}, {"$set": {"a": 1}, "$inc": {"n": 1}})
    assert numbers.find_one({"_id": "text"}) == {"_id": "text", "n": "text"}


def test_documents_that_grow_too_large_are_refused(database):
    database.things.insert_one({"_id": 1, "text": ["x" * 9_000_000]})
    with pytest.raises(WriteError, match="too large"):
        database.things.update_one({"_id": 1}, {"$push": {"text": "x" * 9_000_000}})
    assert len(database.things.find_one()["text"]) == 1


def test_files_of_20_mb_survive_gridfs(database):
    content = bytes(range(256)) * (20 * 4096)
    files = gridfs.GridFS(database, "fs")
    number = files.put(content, filename="weights", metadata={"fw_id": 7})
    assert files.get(number).read() == content
    assert files.find_one({"metadata.fw_id": 7}).length == len(content) == 20 * 2**20
    assert files.list() == ["weights"]
    files.delete(number)
    assert database["fs.chunks"].count_documents({}) == 0


def test_databases_and_collections_are_listed_and_dropped(client, database):
    database["one"].insert_one({})
    database.create_collection("two")
    assert database.name in client.list_database_names()
    assert sorted(database.list_collection_names()) == ["one", "two"]
    assert database.list_collection_names(filter={"name": "two"}) == ["two"]
    database["one"].drop()
    database["one"].drop()  # again
    assert database.list_collection_names() == ["two"] and database["one"].count_documents({}) == 0
    client.drop_database(database.name)
    assert database.name not in client.list_database_names()
    assert client.server_info()["versionArray"][0] >= 4


def test_the_order_of_fields_in_a_sort_counts(numbers):
    assert next(numbers.find().sort(SON([("odd", -1), ("n", 1)])))["_id"] == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (lambda things: things.find_one({"$where": "this.n"}), "no `.where`"),
        (lambda things: list(things.aggregate([{"$out": "other"}])), "no `.out`"),
        (lambda things: things.create_index([("text", "text")]), "no text indexes"),
        (lambda things: things.create_index("date", expireAfterSeconds=5), "no expiring indexes"),
        (lambda things: things.find_one({}, collation={"locale": "de"}), "no `collation`"),
        (lambda things: things.find_one({"n": {"$sideways": 1}}), "sideways"),
        (lambda things: things.database.command("shutdown"), "no .shutdown"),
    ],
    ids=["code", "output", "text", "expiry", "collation", "operator", "command"],
)
def test_what_is_not_known_is_refused_by_name(numbers, command, said):
    with pytest.raises(OperationFailure, match=said):
        command(numbers)
    assert numbers.count_documents({}) == 10  # and the connection goes on
