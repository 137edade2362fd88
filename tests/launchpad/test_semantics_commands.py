"""Commands answer as MongoDB's manual says, or are refused by name."""

from __future__ import annotations

import uuid

import pytest
from bson import ObjectId
from fireworks.utilities.update_collection import update_path_in_collection
from pymongo import WriteConcern
from pymongo.errors import OperationFailure, WriteError


@pytest.fixture
def things(database):
    database.things.insert_many([{"_id": n, "n": n} for n in range(3)])
    database.things.create_index("n")
    return database.things


def test_a_collection_is_renamed_with_its_documents_and_indexes(things, database, client, refusal):
    things.rename("others")
    assert database.list_collection_names() == ["others"]
    assert database.others.count_documents({"n": 1}) == 1 and "n_1" in database.others.index_information()
    database.things.insert_one({"_id": "new"})
    assert refusal(lambda: database.others.rename("things")) == 48
    database.others.rename("things", dropTarget=True)
    assert [row["_id"] for row in database.things.find()] == [0, 1, 2]
    assert refusal(lambda: database.none.rename("x")) == 26
    assert refusal(lambda: database.things.rename("things")) == 20
    assert (
        refusal(lambda: client.admin.command("renameCollection", f"{database.name}.things", to=f"{database.name}.$x"))
        == 73
    )
    client.admin.command("renameCollection", f"{database.name}.things", to=f"{database.name}_b.things")
    assert client[f"{database.name}_b"].things.count_documents({}) == 3


def test_fireworks_replaces_paths_in_a_collection(database):
    database.launches.insert_many([{"launch_id": n, "dir": f"/old/{n}"} for n in range(3)])
    update_path_in_collection(database, "launches", {"/old/": "/new/"})
    assert [row["dir"] for row in database.launches.find()] == ["/new/0", "/new/1", "/new/2"]
    assert len(database.list_collection_names()) == 2


def test_sessions_work_and_transactions_are_refused(things, client, refusal):
    with client.start_session() as session:
        assert things.find_one({"n": 1}, session=session)["n"] == 1
        things.update_one({"n": 1}, {"$set": {"n": 9}}, session=session)
        session.start_transaction()
        with pytest.raises(OperationFailure, match="no transactions") as raised:
            things.find_one({}, session=session)
        assert raised.value.code == 20
    identity = client.admin.command("startSession")
    assert isinstance(identity["id"]["id"], uuid.UUID | bytes) and identity["timeoutMinutes"] == 30
    for command in ("refreshSessions", "endSessions", "killSessions"):
        assert client.admin.command(command, [identity["id"]])["ok"] == 1
    assert client.admin.command("hello")["logicalSessionTimeoutMinutes"] == 30
    assert refusal(lambda: client.admin.command("commitTransaction")) == 20


@pytest.mark.parametrize(
    ("command", "code"),
    [
        # an unknown field, or one that is not supported, is an error
        ({"find": "things", "filters": {}}, 40415),
        ({"insert": "things", "documents": [{}], "order": True}, 40415),
        ({"find": "things", "collation": {"locale": "de"}}, 238),
        ({"find": "things", "let": {"x": 1}}, 238),
        ({"find": "things", "tailable": True}, 238),
        ({"find": "things", "returnKey": True}, 238),
        ({"find": "things", "min": {"n": 1}}, 238),
        ({"find": "things", "readConcern": {"level": "snapshot"}}, 238),
        ({"find": "things", "skip": -1}, 51024),
        ({"find": "things", "limit": -1}, 51024),
        ({"find": "things", "batchSize": -1}, 51024),
        ({"find": "things", "hint": "none_1"}, 2),
        ({"find": "things", "hint": {"m": 1}}, 2),
        ({"find": "things", "filter": 5}, 14),
        ({"find": "things", "sort": {"n": 5}}, 15975),
        ({"find": 5}, 73),
        ({"count": "things", "query": {"n": {"$foo": 1}}}, 2),
        ({"count": "things", "hint": "none_1"}, 2),
        ({"count": "things", "skip": -1}, 51024),
        ({"distinct": "things", "key": 5}, 14),
        ({"aggregate": "things", "pipeline": []}, 9),
        ({"aggregate": "things", "pipeline": {}, "cursor": {}}, 14),
        ({"aggregate": 1, "pipeline": [], "cursor": {}}, 238),
        ({"aggregate": "things", "pipeline": [], "cursor": {}, "hint": "none_1"}, 2),
        ({"getMore": 12345, "collection": "things"}, 43),
        ({"findAndModify": "things", "query": {}}, 9),
        ({"findAndModify": "things", "remove": True, "update": {"$set": {"a": 1}}}, 9),
        ({"findAndModify": "things", "remove": True, "new": True}, 9),
        ({"insert": "things", "documents": [{}], "writeConcern": {"w": 2}}, 2),
        ({"insert": "things", "documents": [{}], "writeConcern": {"w": "tag"}}, 2),
        ({"create": "new", "capped": True, "size": 1000}, 238),
        ({"create": "new", "validator": {"n": {"$gt": 1}}}, 238),
        ({"create": "new", "viewOn": "things", "pipeline": []}, 238),
        ({"create": "new", "timeseries": {"timeField": "t"}}, 238),
        ({"create": "new", "foo": 1}, 40415),
        ({"create": "things"}, 48),
        ({"create": "a$b"}, 73),
        ({"drop": "none"}, 26),
        ({"listIndexes": "none"}, 26),
        ({"dropIndexes": "things", "index": "none_1"}, 27),
        ({"dropIndexes": "things", "index": "_id_"}, 72),
        ({"createIndexes": "things", "indexes": []}, 2),
        ({"createIndexes": "things", "indexes": [{"key": {}, "name": "a"}]}, 67),
        ({"createIndexes": "things", "indexes": [{"key": {"a": 0}, "name": "a"}]}, 67),
        ({"createIndexes": "things", "indexes": [{"key": {"n": 1}, "name": "other"}]}, 85),
        ({"createIndexes": "things", "indexes": [{"key": {"m": 1}, "name": "n_1"}]}, 86),
        ({"createIndexes": "things", "indexes": [{"key": {"a": "2dsphere"}, "name": "a"}]}, 238),
        ({"createIndexes": "things", "indexes": [{"key": {"a": 1}, "name": "a", "collation": {"locale": "de"}}]}, 238),
        ({"createIndexes": "things", "indexes": [{"key": {"$**": 1}, "name": "a"}]}, 238),
        ({"createUser": "me", "pwd": "x", "roles": []}, 238),
        ({"collMod": "things"}, 238),
        ({"mapReduce": "things"}, 238),
        ({"explain": {"find": "things"}}, 238),
        ({"getParameter": 1, "foo": 1}, 40415),
        ({"getParameter": 1}, 72),
        ({"replSetGetStatus": 1}, 76),
        ({"nothing": 1}, 59),
    ],
    ids=repr,
)
def test_a_command_is_refused(things, database, refusal, command, code):
    assert refusal(lambda: database.command(command)) == code
    assert things.count_documents({}) == 3 and "new" not in database.list_collection_names()


@pytest.mark.parametrize(
    "command",
    [
        "createUser",
        "dropUser",
        "usersInfo",
        "collMod",
        "explain",
        "mapReduce",
        "fsync",
        "setParameter",
        "killOp",
        "reIndex",
    ],
)
def test_what_is_not_supported_is_named(database, command):
    with pytest.raises(OperationFailure, match=f"no `{command}`"):
        database.command(command, "things")


@pytest.mark.parametrize(
    ("write", "code"),
    [
        (lambda things: things.update_one({}, {"$set": {"a": 1}}, hint="none_1"), 2),
        (lambda things: things.delete_one({}, hint="none_1"), 2),
        (lambda things: things.delete_many({"n": {"$foo": 1}}), 2),
        (lambda things: things.update_one({}, {"$set": {"a": 1}}, collation={"locale": "de"}), 238),
        (lambda things: things.replace_one({}, {"a": 1}, let={"x": 1}), 238),
        (lambda things: things.insert_one({"_id": [1]}), 2),
        (lambda things: things.replace_one({"_id": 1}, {"_id": 2}), 66),
    ],
)
def test_a_write_is_refused(things, write, code):
    with pytest.raises(OperationFailure) as raised:
        write(things)
    assert raised.value.code in ((2, 53) if isinstance(raised.value, WriteError) and code == 2 else (code,))
    assert [(row["_id"], row["n"]) for row in things.find()] == [(0, 0), (1, 1), (2, 2)]


def test_hints_name_an_index(things):
    assert things.count_documents({"n": 1}, hint="n_1") == 1
    assert things.find_one({"n": 1}, hint=[("n", 1)])["n"] == 1
    assert len(list(things.find(hint=[("$natural", 1)]))) == 3
    assert things.update_one({"n": 1}, {"$set": {"m": 1}}, hint="n_1").modified_count == 1


def test_write_concerns_of_one_server_are_accepted(database):
    for concern in (WriteConcern(1), WriteConcern("majority"), WriteConcern(0), WriteConcern(1, j=True)):
        database.get_collection("things", write_concern=concern).insert_one({})
    assert database.things.count_documents({}) == 4


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ({"dbStats": 1}, {"collections": 1, "objects": 3, "views": 0, "indexes": 2, "scaleFactor": 1}),
        ({"collStats": "things"}, {"count": 3, "nindexes": 2, "capped": False}),
        ({"collStats": "none"}, {"count": 0, "size": 0}),
        ({"validate": "things"}, {"valid": True, "nrecords": 3, "nIndexes": 2}),
        ({"count": "things", "query": {"n": {"$gt": 0}}, "limit": -1}, {"n": 1}),
        ({"count": "things", "skip": 2}, {"n": 1}),
        ({"count": "none"}, {"n": 0}),
        ({"distinct": "things", "key": "n"}, {"values": [0, 1, 2]}),
        ({"create": "other", "capped": False}, {"ok": 1}),
        ({"drop": "things"}, {"nIndexesWas": 2}),
        (
            {"createIndexes": "things", "indexes": [{"key": {"n": 1}, "name": "n_1"}]},
            {"note": "all indexes already exist"},
        ),
        ({"createIndexes": "things", "indexes": [{"key": {"n": -1}, "name": "n_-1"}]}, {"numIndexesAfter": 3}),
        ({"findAndModify": "things", "query": {"n": 9}, "remove": True}, {"value": None, "lastErrorObject": {"n": 0}}),
        ({"getParameter": 1, "featureCompatibilityVersion": 1}, {"featureCompatibilityVersion": {"version": "6.0"}}),
        ({"currentOp": 1}, {"inprog": []}),
    ],
    ids=repr,
)
def test_a_command_answers(things, database, command, expected):
    reply = database.command(command)
    assert {name: reply[name] for name in expected} == expected


def test_the_server_says_what_it_is(client, endpoint):
    status, host = client.admin.command("serverStatus"), client.admin.command("hostInfo")
    assert status["uptime"] >= 0 and status["version"] == client.server_info()["version"]
    assert host["system"]["numCores"] >= 1
    [user] = client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"]
    assert user == {"user": endpoint.username, "db": "admin"}


def test_distinct_values_differ_as_mongodb_says(database):
    values = [1, 1.0, True, "1", [2, 1], {"x": 1, "y": 2}, {"y": 2, "x": 1}, None]
    database.things.insert_many([{"v": value} for value in values] + [{}])
    found = database.things.distinct("v")
    assert [repr(value) for value in found] == ["1", "True", "'1'", "2", repr(values[5]), repr(values[6]), "None"]


def test_keys_of_a_unique_index_differ_as_mongodb_says(database, refusal):
    database.things.create_index("v", unique=True)
    database.things.insert_many([{"v": 1}, {"v": True}, {"v": {"x": 1, "y": 2}}, {"v": {"y": 2, "x": 1}}, {}])
    for taken in (1.0, {"x": 1, "y": 2}, None):
        assert refusal(lambda taken=taken: database.things.insert_one({"v": taken})) == 11000
    assert refusal(lambda: database.things.insert_one({"_id": database.things.find_one()["_id"]})) == 11000
    database.things.insert_one({"_id": ObjectId(), "v": 2})
