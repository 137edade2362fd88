"""A search sees the documents of its beginning, whatever is changed while it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymongo.errors import OperationFailure

from imatgen_flows.launchpad.collection import Collection
from imatgen_flows.launchpad.errors import CommandError
from imatgen_flows.launchpad.storage import Storage

NUMBER = 100
SEARCHES = {
    "natural": ({}, None),
    "backwards": ({}, {"$natural": -1}),
    "by an index": ({}, {"n": 1}),
    "by it, descending": ({}, {"n": -1}),
    "in a range": ({"n": {"$gte": 20, "$lt": 80}}, None),
    "in a range and sorted": ({"n": {"$gte": 20}}, {"n": -1}),
    "sorted without an index": ({}, {"text": 1}),
    "of an array": ({}, {"tags": -1}),
}
CHANGES = {
    "update": lambda things: things.update({}, {"$inc": {"n": 1_000}, "$set": {"text": "z"}}, many=True),
    "delete": lambda things: things.delete({"n": {"$gte": 10}}),
    "insert": lambda things: [things.insert({"n": n, "text": "new", "tags": [n]}) for n in range(50)],
    "drop index": lambda things: [things.drop_index(name) for name in ("n", "tags")],
    "delete all and insert": lambda things: (things.delete({}), things.insert({"n": 5})),
}


@pytest.fixture
def things():
    made = Collection(1, "any", "things", Storage(Path(":memory:")))
    for field in ("n", "tags"):
        made.create_index({"key": {field: 1}, "name": field})
    for n in range(NUMBER):
        made.insert({"_id": n, "n": n * 37 % NUMBER, "text": f"{n * 61 % NUMBER:03}", "tags": [n % 7, n % 11]})
    return made


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("read", [1, 12, 50])
def test_what_is_found_is_what_was_there_at_the_beginning(things, search, change, read):
    expected = list(things.find(*SEARCHES[search]))
    found = things.find(*SEARCHES[search])
    first = [next(found) for _ in range(read)]
    CHANGES[change](things)
    assert first + list(found) == expected
    assert not things._snapshots


def test_a_search_that_is_given_up_leaves_nothing(things):
    found = things.find({})
    next(found)
    assert things._snapshots
    found.close()
    assert not things._snapshots


def test_a_search_that_makes_the_server_keep_too_much_is_ended(things, monkeypatch):
    monkeypatch.setattr("imatgen_flows.launchpad.snapshots.KEPT_BYTES", 1_000)
    found = things.find({})
    next(found)
    things.update({}, {"$inc": {"n": 1}}, many=True)
    with pytest.raises(CommandError, match="more was changed meanwhile") as raised:
        list(found)
    assert raised.value.code == 175


def test_a_cursor_of_a_collection_that_is_dropped_ends_with_an_error(database):
    database.things.insert_many([{"_id": n} for n in range(500)])
    cursor = database.things.find(batch_size=10)
    next(cursor)
    database.things.drop()
    with pytest.raises(OperationFailure, match="was dropped") as raised:
        list(cursor)
    assert raised.value.code == 175
    database.things.insert_one({"_id": "new"})
    assert [row["_id"] for row in database.things.find()] == ["new"]


def test_a_collection_renamed_under_a_cursor_is_read_to_its_end(database):
    database.things.insert_many([{"_id": n} for n in range(500)])
    cursor = database.things.find(batch_size=10)
    next(cursor)
    database.things.rename("others")
    assert len(list(cursor)) == 499
