"""Updates and upserts answer as MongoDB's manual says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from bson import Decimal128, Int64, Timestamp, encode
from pymongo import ReturnDocument

LONG = 2**63 - 1


def updated(database, document, change, query=None, **options):
    """Store a document, update it, and return it without its `_id`."""
    database.things.insert_one({"_id": 1, **document})
    database.things.update_one(query or {"_id": 1}, change, **options)
    [row] = database.things.find({"_id": 1})
    del row["_id"]
    return row


def same(first, second):
    """Whether documents have the same bytes: types and the order of fields count."""
    return encode(first) == encode(second)


@pytest.mark.parametrize(
    ("document", "change", "expected"),
    [
        # https://www.mongodb.com/docs/manual/reference/operator/update-field/
        ({"a": 1}, {"$set": {"b.c": 2}}, {"a": 1, "b": {"c": 2}}),
        ({}, {"$set": {"z": 1, "a": 2, "m": 3}}, {"a": 2, "m": 3, "z": 1}),  # in the order of the names
        ({"a": 1}, {"$set": {"a": True}}, {"a": True}),
        ({"a": [1]}, {"$set": {"a.3": 4}}, {"a": [1, None, None, 4]}),
        ({"a": [{"b": 1}]}, {"$set": {"a.0.b": 2, "a.0.c": 3}}, {"a": [{"b": 2, "c": 3}]}),
        ({}, {"$set": {"a.0": 1}}, {"a": {"0": 1}}),
        ({"a": 1}, {"$set": {}}, {"a": 1}),
        ({"a": {"b": 1}}, {"$unset": {"a.b": ""}}, {"a": {}}),
        ({"a": [1, 2]}, {"$unset": {"a.0": ""}}, {"a": [None, 2]}),
        ({"a": 5}, {"$unset": {"a.b": "", "c": 1}}, {"a": 5}),
        ({"a": 1, "b": 2}, {"$rename": {"a": "c"}}, {"b": 2, "c": 1}),
        ({"a": 1, "b": 2}, {"$rename": {"a": "b"}}, {"b": 1}),
        ({"a": {"x": 1}}, {"$rename": {"a.x": "b.y"}}, {"a": {}, "b": {"y": 1}}),
        ({"a": 1}, {"$rename": {"none": "b"}}, {"a": 1}),
        ({"a": 1}, {"$setOnInsert": {"b": 1}}, {"a": 1}),
        # numbers keep their types
        ({"a": 1}, {"$inc": {"a": 2}}, {"a": 3}),
        ({"a": Int64(1)}, {"$inc": {"a": 1}}, {"a": Int64(2)}),
        ({"a": 1}, {"$inc": {"a": Int64(1)}}, {"a": Int64(2)}),
        ({"a": 2**31 - 1}, {"$inc": {"a": 1}}, {"a": Int64(2**31)}),
        ({"a": 1}, {"$inc": {"a": 0.5}}, {"a": 1.5}),
        ({"a": 1}, {"$inc": {"a": Decimal128("0.1")}}, {"a": Decimal128("1.1")}),
        ({}, {"$inc": {"a.b": Int64(3)}}, {"a": {"b": Int64(3)}}),
        ({"a": 3}, {"$mul": {"a": 2}}, {"a": 6}),
        ({"a": 3}, {"$mul": {"a": 1.5}}, {"a": 4.5}),
        ({"a": 2**30}, {"$mul": {"a": 4}}, {"a": Int64(2**32)}),
        ({}, {"$mul": {"a": Int64(5)}}, {"a": Int64(0)}),
        ({"a": 5}, {"$max": {"a": 3, "b": 1}}, {"a": 5, "b": 1}),
        ({"a": 5}, {"$max": {"a": 9}}, {"a": 9}),
        ({"a": 5}, {"$min": {"a": 3, "b": 1}}, {"a": 3, "b": 1}),
        ({"a": 5}, {"$max": {"a": "text"}}, {"a": "text"}),  # strings are greater than numbers
        ({"a": 5}, {"$min": {"a": None}}, {"a": None}),
        ({"a": 13}, {"$bit": {"a": {"and": 10}}}, {"a": 8}),
        ({"a": 3}, {"$bit": {"a": {"or": 5}}}, {"a": 7}),
        ({"a": 1}, {"$bit": {"a": {"xor": 5}}}, {"a": 4}),
        # https://www.mongodb.com/docs/manual/reference/operator/update-array/
        ({}, {"$push": {"a": 1}}, {"a": [1]}),
        ({"a": [1]}, {"$push": {"a": [2, 3]}}, {"a": [1, [2, 3]]}),
        ({"a": [1]}, {"$push": {"a": {"$each": [2, 3]}}}, {"a": [1, 2, 3]}),
        ({"a": [1, 2]}, {"$push": {"a": {"$each": [0], "$position": 0}}}, {"a": [0, 1, 2]}),
        ({"a": [1, 2]}, {"$push": {"a": {"$each": [9], "$position": -1}}}, {"a": [1, 9, 2]}),
        ({"a": [1, 2]}, {"$push": {"a": {"$each": [3], "$slice": -2}}}, {"a": [2, 3]}),
        ({"a": [1, 2]}, {"$push": {"a": {"$each": [3], "$slice": 1}}}, {"a": [1]}),
        ({"a": [1, 2]}, {"$push": {"a": {"$each": [], "$slice": 0}}}, {"a": []}),
        ({"a": [3, 1]}, {"$push": {"a": {"$each": [2], "$sort": 1}}}, {"a": [1, 2, 3]}),
        (
            {"a": [{"s": 3}, {"s": 1}]},
            {"$push": {"a": {"$each": [{"s": 2}], "$sort": {"s": -1}, "$slice": 2}}},
            {"a": [{"s": 3}, {"s": 2}]},
        ),
        ({"a": [1]}, {"$push": {}}, {"a": [1]}),
        ({"a": [1]}, {"$addToSet": {"a": 1}}, {"a": [1]}),
        ({"a": [1]}, {"$addToSet": {"a": True}}, {"a": [1, True]}),
        ({"a": [1]}, {"$addToSet": {"a": {"$each": [1.0, 2, 2]}}}, {"a": [1, 2]}),
        (
            {"a": [{"x": 1, "y": 2}]},
            {"$addToSet": {"a": {"y": 2, "x": 1}}},
            {"a": [{"x": 1, "y": 2}, {"y": 2, "x": 1}]},
        ),
        ({}, {"$addToSet": {"a": [1, 2]}}, {"a": [[1, 2]]}),
        ({"a": [1, 2, 3]}, {"$pop": {"a": 1}}, {"a": [1, 2]}),
        ({"a": [1, 2, 3]}, {"$pop": {"a": -1}}, {"a": [2, 3]}),
        ({"b": 1}, {"$pop": {"a": 1}}, {"b": 1}),
        ({"a": [1, 2, 1.0, True]}, {"$pull": {"a": 1}}, {"a": [2, True]}),
        ({"a": [1, 5, 7]}, {"$pull": {"a": {"$gte": 5}}}, {"a": [1]}),
        ({"a": [1, 5, 7]}, {"$pull": {"a": {"$in": [1, 7]}}}, {"a": [5]}),
        ({"a": [{"x": 1, "y": 1}, {"x": 2}]}, {"$pull": {"a": {"x": 1}}}, {"a": [{"x": 2}]}),
        ({"a": [{"x": [{"k": 1}]}, {"x": []}]}, {"$pull": {"a": {"x": {"$elemMatch": {"k": 1}}}}}, {"a": [{"x": []}]}),
        ({"b": 1}, {"$pull": {"a.c": 1}}, {"b": 1}),
        ({"a": [1, 2, 3, 2]}, {"$pullAll": {"a": [2, 3]}}, {"a": [1]}),
        ({"a": [1, 2]}, {"$inc": {"a.$[]": 10}}, {"a": [11, 12]}),
        ({"a": [{"b": [1, 2]}, {"b": [3]}]}, {"$mul": {"a.$[].b.$[]": 2}}, {"a": [{"b": [2, 4]}, {"b": [6]}]}),
        # pipelines: https://www.mongodb.com/docs/manual/tutorial/update-documents-with-aggregation-pipeline/
        ({"a": 1}, [{"$set": {}}], {"a": 1}),
        ({"a": 1}, [{"$set": {"b": {"$add": ["$a", 1]}}}, {"$unset": "a"}], {"b": 2}),
        ({"a": 1, "b": 2}, [{"$set": {"a": "$$REMOVE"}}], {"b": 2}),
        ({"a": {"x": 1}}, [{"$set": {"a": {"y": 2}}}], {"a": {"x": 1, "y": 2}}),
        ({"a": 1, "b": 2}, [{"$project": {"a": 1}}], {"a": 1}),
        ({"a": {"x": 1}}, [{"$replaceWith": "$a"}], {"x": 1}),
        (
            {"a": 1},
            [{"$set": {"s": {"$cond": {"if": {"$gt": ["$lock", None]}, "then": "$s", "else": "x"}}}}],
            {"a": 1, "s": "x"},
        ),
        ({"a": 1}, [{"$set": {"a": {"$literal": "$b"}}}], {"a": "$b"}),
    ],
    ids=repr,
)
def test_an_update_gives(database, document, change, expected):
    assert same(updated(database, document, change), expected)


@pytest.mark.parametrize(
    ("document", "query", "change", "filters", "expected"),
    [
        # https://www.mongodb.com/docs/manual/reference/operator/update/positional/
        ({"a": [80, 85, 80]}, {"a": 85}, {"$set": {"a.$": 0}}, None, {"a": [80, 0, 80]}),
        ({"a": [{"g": 1}, {"g": 2}]}, {"a.g": 2}, {"$set": {"a.$.k": 9}}, None, {"a": [{"g": 1}, {"g": 2, "k": 9}]}),
        (
            {"a": [{"g": 80, "m": 75}, {"g": 85, "m": 90}]},
            {"a": {"$elemMatch": {"g": {"$lte": 90}, "m": {"$gt": 80}}}},
            {"$inc": {"a.$.m": 1}},
            None,
            {"a": [{"g": 80, "m": 75}, {"g": 85, "m": 91}]},
        ),
        ({"a": [1, 2, 3]}, {"a": {"$gt": 1}}, {"$unset": {"a.$": ""}}, None, {"a": [1, None, 3]}),
        # https://www.mongodb.com/docs/manual/reference/operator/update/positional-filtered/
        ({"a": [95, 110, 92]}, {}, {"$set": {"a.$[e]": 100}}, [{"e": {"$gte": 100}}], {"a": [95, 100, 92]}),
        (
            {"a": [{"g": 1, "m": 1}, {"g": 2, "m": 1}]},
            {},
            {"$set": {"a.$[e].m": 5}},
            [{"e.g": 2}],
            {"a": [{"g": 1, "m": 1}, {"g": 2, "m": 5}]},
        ),
    ],
    ids=repr,
)
def test_positional_operators_change_the_right_elements(database, document, query, change, filters, expected):
    assert same(updated(database, document, change, query or None, array_filters=filters), expected)


@pytest.mark.parametrize(
    ("document", "change", "code"),
    [
        ({"s": "text"}, {"$set": {"s.y": 1}}, 28),
        ({"s": None}, {"$set": {"s.y": 1}}, 28),
        ({"s": [1]}, {"$set": {"s.y": 1}}, 28),
        ({"p": 1}, {"$set": {"p": {}}, "$inc": {"p.q": 1}}, 40),
        ({}, {"$set": {"a": 1}, "$unset": {"a": ""}}, 40),
        ({}, {"$set": {"a": 1, "a.b": 1}}, 40),
        ({"a": 1}, {"$rename": {"a": "b"}, "$set": {"b": 1}}, 40),
        ({"a": [{"k": 1}]}, {"$set": {"a.$.k": 2}}, 2),
        ({"a": 1}, {"$set": {"a.$[]": 2}}, 2),
        ({}, {"$set": {"a.$[]": 2}}, 2),
        ({"a": [1]}, {"$set": {"a.$[e]": 2}}, 2),
        ({"a": "x"}, {"$inc": {"a": 1}}, 14),
        ({"a": None}, {"$inc": {"a": 1}}, 14),
        ({"a": True}, {"$inc": {"a": 1}}, 14),
        ({"a": 1}, {"$inc": {"a": "x"}}, 14),
        ({"a": "x"}, {"$mul": {"a": 1}}, 14),
        ({"a": Int64(LONG)}, {"$inc": {"a": 1}}, 2),
        ({"a": Int64(LONG)}, {"$mul": {"a": 2}}, 2),
        ({"a": 1}, {"$push": {"a": 1}}, 2),
        ({"a": [1]}, {"$push": {"a": {"$each": 5}}}, 2),
        ({"a": [1]}, {"$push": {"a": {"$each": [], "$foo": 1}}}, 2),
        ({"a": 1}, {"$addToSet": {"a": 1}}, 2),
        ({"a": 1}, {"$pull": {"a": 1}}, 2),
        ({"a": 1}, {"$pullAll": {"a": [1]}}, 2),
        ({"a": [1]}, {"$pullAll": {"a": 1}}, 2),
        ({"a": 1}, {"$pop": {"a": 1}}, 14),
        ({"a": [1]}, {"$pop": {"a": 2}}, 9),
        ({"a": 1}, {"$rename": {"a": "a"}}, 2),
        ({"a": 1}, {"$rename": {"a": 5}}, 2),
        ({"a": 1}, {"$bit": {"a": {"not": 1}}}, 2),
        ({"a": 1.5}, {"$bit": {"a": {"and": 1}}}, 2),
        ({"a": 1}, {"$currentDate": {"a": {"$type": "year"}}}, 2),
        ({}, {"$foo": {"a": 1}}, 9),
        ({}, {"$set": {"a": 1}, "b": 2}, 9),
        ({}, {"$set": 5}, 9),
        ({}, {"$set": {"": 1}}, 56),
        ({}, {"$set": {"a..b": 1}}, 56),
        ({}, {"$set": {"_id": 2}}, 66),
        ({}, {"$set": {"_id": True}}, 66),
        ({}, {"$unset": {"_id": ""}}, 66),
        ({}, [{"$set": {"_id": 2}}], 66),
        ({}, [{"$group": {"_id": 1}}], 72),
        ({}, [{"$set": {"a": {"$foo": 1}}}], 168),
    ],
    ids=repr,
)
def test_an_update_is_refused_and_changes_nothing(database, refusal, document, change, code):
    database.things.insert_one({"_id": 1, **document})
    assert refusal(lambda: database.things.update_one({"_id": 1}, change)) == code
    assert same(database.things.find_one(), {"_id": 1, **document})


@pytest.mark.parametrize(
    ("query", "change", "expected"),
    [
        # https://www.mongodb.com/docs/manual/reference/method/db.collection.update/#upsert-behavior
        ({"a": 1, "b": {"$gt": 5}}, {"$set": {"c": 1}}, {"a": 1, "c": 1}),
        ({"$or": [{"a": 1}]}, {"$set": {"c": 1}}, {"a": 1, "c": 1}),
        ({"$or": [{"a": 1}, {"a": 2}]}, {"$set": {"c": 1}}, {"c": 1}),
        ({"$and": [{"a": 1}, {"b.c": 2}]}, {"$set": {"d": 1}}, {"a": 1, "b": {"c": 2}, "d": 1}),
        ({"a": {"$eq": 1}}, {"$inc": {"a": 1}}, {"a": 2}),
        ({"a": 1}, {"$setOnInsert": {"b": 2}, "$set": {"c": 3}}, {"a": 1, "b": 2, "c": 3}),
        ({"a": {"$in": [1, 2]}}, {"$set": {"b": 1}}, {"b": 1}),
        ({"a": 1}, [{"$set": {"b": {"$add": ["$a", 1]}}}], {"a": 1, "b": 2}),
        ({"a": [1, 2]}, {"$push": {"a": 3}}, {"a": [1, 2, 3]}),
        ({"n": {"$exists": True}}, {"$set": {"n": []}}, {"n": []}),
    ],
    ids=repr,
)
def test_an_upsert_inserts(database, query, change, expected):
    done = database.things.update_one(query, change, upsert=True)
    assert same(database.things.find_one({}, {"_id": 0}), expected)
    assert (done.matched_count, done.modified_count, done.upserted_id is not None) == (0, 0, True)


def test_an_upsert_takes_its_id_from_the_filter_or_the_change(database, refusal):
    assert database.things.update_one({"_id": 7}, {"$set": {"a": 1}}, upsert=True).upserted_id == 7
    assert database.things.update_one({"b": 1}, {"$set": {"_id": 8}}, upsert=True).upserted_id == 8
    assert refusal(lambda: database.things.update_one({"_id": 9}, {"$set": {"_id": 10}}, upsert=True)) == 66
    assert (
        refusal(lambda: database.things.update_one({"$and": [{"a": 5}, {"a": 6}]}, {"$set": {"b": 1}}, upsert=True))
        == 54
    )
    assert database.things.count_documents({}) == 2


def test_an_unused_array_filter_is_refused(database, refusal):
    database.things.insert_one({"a": [1]})
    assert refusal(lambda: database.things.update_one({}, {"$set": {"b": 1}}, array_filters=[{"e": 1}])) == 9


def test_dates_are_set_by_the_server(database):
    row = updated(database, {}, {"$currentDate": {"a": True, "b": {"$type": "timestamp"}, "c": {"$type": "date"}}})
    assert isinstance(row["b"], Timestamp)
    assert abs(row["a"].replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=1)
    database.things.insert_many([{"n": 1}, {"n": 2}])
    database.things.update_many({"n": {"$gt": 0}}, [{"$set": {"at": "$$NOW", "n": "$$REMOVE"}}])
    [first, second] = database.things.find({"at": {"$exists": True}})
    assert "n" not in first and first["at"] == second["at"]
    assert abs(first["at"].replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=1)


def test_what_was_modified_is_counted_by_type_too(database):
    database.things.insert_one({"_id": 1, "a": 1})
    assert database.things.update_one({"_id": 1}, {"$set": {"a": 1}}).modified_count == 0
    assert database.things.update_one({"_id": 1}, {"$set": {"a": True}}).modified_count == 1
    assert database.things.find_one()["a"] is True
    assert database.things.update_one({"_id": 1}, {"$unset": {"b": ""}}).modified_count == 0
    assert database.things.update_one({"_id": 1}, {"$max": {"c": 1}}).modified_count == 1


@pytest.mark.parametrize("bad", [[1], {"$x": 1}], ids=repr)
def test_an_id_that_none_may_have_is_refused(database, refusal, bad):
    assert refusal(lambda: database.things.insert_one({"_id": bad})) in (2, 52, 53)
    assert refusal(lambda: database.things.replace_one({"a": 1}, {"_id": bad}, upsert=True)) in (2, 52, 53)


def test_find_and_modify_projects_sorts_and_filters_elements(database):
    database.things.insert_many([{"_id": n, "n": n, "a": [1, 5]} for n in range(3)])
    done = database.things.find_one_and_update(
        {"n": {"$lt": 9}},
        {"$set": {"a.$[e]": 0}},
        {"a": 1, "_id": 0},
        sort=[("n", -1)],
        array_filters=[{"e": {"$gt": 2}}],
        return_document=ReturnDocument.AFTER,
    )
    assert done == {"a": [1, 0]}
    assert database.things.find_one({"_id": 2})["a"] == [1, 0]
