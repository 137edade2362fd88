"""An index makes a search faster, and does not change its result."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from bson import Int64, ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from imatgen_flows.launchpad.collection import Collection
from imatgen_flows.launchpad.errors import CommandError
from imatgen_flows.launchpad.storage import Storage

LAUNCHPAD = "imatgen_flows.launchpad"
FIELDS = ("a", "b", "c.d")
SORTS = ({"a": 1}, {"a": -1}, {"b": -1, "a": 1}, {"b": 1, "a": -1}, {"c.d": -1}, {"a": 1, "b": 1}, {"_id": -1})
SAME = ObjectId()

scalars = st.sampled_from([0, 1, 1.0, Int64(1), True, False, None, "1", "x", SAME, datetime(2026, 1, 1), b"x", -0.5])
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.fixed_dictionaries({"e": scalars}))
parts = {"a": values, "b": values, "c": st.one_of(values, st.fixed_dictionaries({"d": values}))}
documents = st.fixed_dictionaries({}, optional=parts)
conditions = st.one_of(
    values,
    scalars.map(lambda value: {"$eq": value}),
    st.lists(scalars, max_size=3).map(lambda some: {"$in": some}),
    scalars.map(lambda value: {"$ne": value}),
)
ranges = st.dictionaries(
    st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.sampled_from([0.5, 2, -1, "1", "y"]), min_size=1, max_size=2
)
queries = st.dictionaries(st.sampled_from(FIELDS), st.one_of(conditions, ranges), min_size=1, max_size=2)
changes = st.one_of(
    st.tuples(st.just("insert"), documents),
    st.tuples(st.just("delete"), queries),
    st.tuples(st.just("update"), queries, st.fixed_dictionaries({"$set": st.fixed_dictionaries({"a": values})})),
    st.tuples(st.just("update"), queries, st.just({"$unset": {"b": ""}})),
)


def collection(*indexes):
    made = Collection(1, "any", "things", Storage(Path(":memory:")))
    for index in indexes:
        made.create_index({"key": index, "name": str(index)})
    return made


@settings(max_examples=150, deadline=None)
@given(st.lists(changes, max_size=12), st.lists(queries, min_size=1, max_size=5), st.booleans())
def test_what_is_found_does_not_depend_on_indexes(history, asked, many):
    """A few documents are sorted, many are read in the order of another index; the search is made to take any for many."""
    few = 1 if many else 1_000
    with patch(f"{LAUNCHPAD}.lookup.FEW", few), patch(f"{LAUNCHPAD}.snapshots.TRIED", few):
        compare(history, asked)


def compare(history, asked):
    plain, indexed = collection(), collection({"a": 1}, {"b": -1, "a": 1}, {"c.d": 1})
    for number, (kind, first, *more) in enumerate(history):
        for one in (plain, indexed):
            if kind == "insert":
                one.insert({"_id": number, **first})
            elif kind == "delete":
                one.delete(first, limit=1)
            else:
                one.update(first, more[0], many=True)
    assert list(plain.find({})) == list(indexed.find({}))
    for query in asked:
        assert list(plain.find(query)) == list(indexed.find(query))
        for sort in SORTS:
            assert list(plain.find(query, sort)) == list(indexed.find(query, sort))
            assert list(plain.find(query, sort, 2, 1)) == list(indexed.find(query, sort, 2, 1))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(scalars.filter(lambda value: value is not None)), max_size=12))
def test_a_unique_index_admits_each_value_once(offered):
    things = collection()
    things.create_index({"key": {"a": 1}, "name": "a", "unique": True})
    admitted = []
    for value in offered:
        taken = any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in admitted)
        try:
            things.insert({"a": value})
        except CommandError as error:
            assert taken and error.code == 11000
        else:
            assert not taken
            admitted.append(value)
    assert len(things) == len(admitted)


def test_a_filter_of_one_indexed_value_looks_at_no_other_document(monkeypatch):
    things = collection({"fw_id": 1}, {"nodes": 1})
    for number in range(1000):
        things.insert({"fw_id": number, "nodes": [number, number + 1]})
    looked_at = []

    def count(document):
        looked_at.append(document["fw_id"])
        return True

    monkeypatch.setattr("imatgen_flows.launchpad.collection.compiled", lambda query: count)
    list(things.find({"fw_id": 7, "state": "READY"}))
    list(things.find({"$and": [{"nodes": {"$in": [20, 30]}}]}))
    assert looked_at == [7, 19, 20, 29, 30]


def test_documents_are_found_in_the_order_they_were_inserted():
    things = collection({"state": 1})
    for number in range(20):
        things.insert({"_id": number, "state": "WAITING"})
    for number in (13, 2, 8):
        things.update({"_id": number}, {"$set": {"state": "READY"}})
    assert [row["_id"] for row in things.find({"state": "READY"})] == [2, 8, 13]


def test_what_was_found_stays_as_it_was():
    things = collection()
    things.insert({"_id": 1, "deep": {"list": [1]}})
    [found] = things.find({})
    things.update({"_id": 1}, {"$push": {"deep.list": 2}, "$set": {"deep.x": 1}})
    assert found == {"_id": 1, "deep": {"list": [1]}}
    with pytest.raises(CommandError):
        things.update({"_id": 1}, {"$set": {"deep.y": 1, "_id": 2}})
    assert list(things.find({})) == [{"_id": 1, "deep": {"list": [1, 2], "x": 1}}]
