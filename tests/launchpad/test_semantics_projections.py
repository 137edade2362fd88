"""Projections give the fields that MongoDB's manual says."""

from __future__ import annotations

import pytest
from bson import encode

NESTED = {"_id": 1, "a": {"x": 1, "y": 2}, "b": 3, "c": [{"x": 1, "y": 2}, {"x": 3}, 5]}
GRADES = {"_id": 1, "g": [70, 87, 90], "d": [{"k": 1, "m": 5}, {"k": 2, "m": 6}], "e": 1}


@pytest.mark.parametrize(
    ("document", "projection", "expected"),
    [
        # https://www.mongodb.com/docs/manual/reference/method/db.collection.find/#projection
        (NESTED, {"b": 1}, {"_id": 1, "b": 3}),
        (NESTED, {"b": True, "_id": 0}, {"b": 3}),
        (NESTED, {"b": 0, "c": 0}, {"_id": 1, "a": {"x": 1, "y": 2}}),
        (NESTED, {"_id": 0}, {"a": {"x": 1, "y": 2}, "b": 3, "c": [{"x": 1, "y": 2}, {"x": 3}, 5]}),
        (NESTED, {"_id": 1}, {"_id": 1}),
        (NESTED, {"c": 1, "a": 1, "_id": 0}, {"a": {"x": 1, "y": 2}, "c": [{"x": 1, "y": 2}, {"x": 3}, 5]}),
        (NESTED, {"a.x": 1}, {"_id": 1, "a": {"x": 1}}),
        (NESTED, {"a": {"x": 1}}, {"_id": 1, "a": {"x": 1}}),
        (NESTED, {"a.x": 0, "c": 0}, {"_id": 1, "a": {"y": 2}, "b": 3}),
        (NESTED, {"c.x": 1}, {"_id": 1, "c": [{"x": 1}, {"x": 3}]}),
        (NESTED, {"c.x": 0, "a": 0, "b": 0}, {"_id": 1, "c": [{"y": 2}, {}, 5]}),
        (NESTED, {"a.none": 1}, {"_id": 1, "a": {}}),
        (NESTED, {"b.none": 1}, {"_id": 1}),
        (NESTED, {"none": 1}, {"_id": 1}),
        # computed fields, since MongoDB 4.4
        (NESTED, {"b": 1, "sum": {"$add": ["$a.x", "$b"]}}, {"_id": 1, "b": 3, "sum": 4}),
        (NESTED, {"_id": 0, "n": "$a.y"}, {"n": 2}),
        (NESTED, {"_id": 0, "n": "text"}, {"n": "text"}),
        (NESTED, {"_id": 0, "n": {"$literal": 1}}, {"n": 1}),
        (NESTED, {"_id": 0, "n": "$none", "b": 1}, {"b": 3}),
        (NESTED, {"_id": 0, "n.m": "$b"}, {"n": {"m": 3}}),
        (NESTED, {"_id": "$b"}, {"_id": 3}),
        # https://www.mongodb.com/docs/manual/reference/operator/projection/slice/
        (GRADES, {"g": {"$slice": 1}, "d": 0, "e": 0}, {"_id": 1, "g": [70]}),
        (GRADES, {"g": {"$slice": -2}, "d": 0, "e": 0}, {"_id": 1, "g": [87, 90]}),
        (GRADES, {"g": {"$slice": [1, 1]}, "d": 0, "e": 0}, {"_id": 1, "g": [87]}),
        (GRADES, {"g": {"$slice": [-2, 1]}, "d": 0, "e": 0}, {"_id": 1, "g": [87]}),
        (GRADES, {"g": {"$slice": 1}}, {**GRADES, "g": [70]}),
        (GRADES, {"g": {"$slice": 1}, "e": 1}, {"_id": 1, "g": [70], "e": 1}),
        (GRADES, {"g": {"$slice": [5, 2]}, "e": 1}, {"_id": 1, "g": [], "e": 1}),
        (GRADES, {"e": {"$slice": 1}, "g": 0, "d": 0}, {"_id": 1, "e": 1}),
        # https://www.mongodb.com/docs/manual/reference/operator/projection/elemMatch/
        (GRADES, {"d": {"$elemMatch": {"k": 2}}}, {"_id": 1, "d": [{"k": 2, "m": 6}]}),
        (GRADES, {"g": {"$elemMatch": {"$gt": 80}}}, {"_id": 1, "g": [87]}),
        (GRADES, {"d": {"$elemMatch": {"k": 9}}, "e": 1}, {"_id": 1, "e": 1}),
    ],
    ids=repr,
)
def test_a_projection_gives(database, document, projection, expected):
    database.things.insert_one(document)
    assert encode(database.things.find_one({}, projection)) == encode(expected)


@pytest.mark.parametrize(
    ("query", "projection", "expected"),
    [
        # https://www.mongodb.com/docs/manual/reference/operator/projection/positional/
        ({"g": {"$gte": 85}}, {"g.$": 1}, {"_id": 1, "g": [87]}),
        ({"d.k": 2}, {"d.$": 1, "_id": 0}, {"d": [{"k": 2, "m": 6}]}),
        ({"d": {"$elemMatch": {"k": 2, "m": 6}}}, {"d.$": 1}, {"_id": 1, "d": [{"k": 2, "m": 6}]}),
        ({"g": 90, "e": 1}, {"e": 1, "g.$": 1}, {"_id": 1, "g": [90], "e": 1}),
    ],
    ids=repr,
)
def test_the_element_that_the_filter_found_is_projected(database, query, projection, expected):
    database.things.insert_one(GRADES)
    assert database.things.find_one(query, projection) == expected


@pytest.mark.parametrize(
    ("projection", "code"),
    [
        ({"a": 1, "b": 0}, 31254),
        ({"a": 0, "b": 1}, 31253),
        ({"a": 1, "a.x": 1}, 31250),
        ({"a.x": 1, "a": 1}, 31250),
        ({"a": {}}, 51270),
        ({"a": {"$foo": 1}}, 168),
        ({"a": {"$meta": "textScore"}}, 238),
        ({"a": {"$elemMatch": 5}}, 2),
    ],
    ids=repr,
)
def test_a_malformed_projection_is_refused(database, refusal, projection, code):
    database.things.insert_one(NESTED)
    assert refusal(lambda: database.things.find_one({}, projection)) == code
