"""Filters and sorts answer as MongoDB's manual says: the documents, by their values, that a query finds."""

from __future__ import annotations

import math
from datetime import datetime

import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

DAY = datetime(2026, 1, 2)
NUMBER = ObjectId("65a000000000000000000000")
OF_ALL_TYPES = [
    1,
    1.5,
    Int64(2**40),
    Decimal128("1"),
    "1",
    {"x": 1},
    [1, "a"],
    b"b",
    NUMBER,
    True,
    False,
    DAY,
    None,
    Regex("^a"),
    Timestamp(5, 1),
    MinKey(),
    MaxKey(),
]
ALL = range(len(OF_ALL_TYPES))


def found(database, values, query, **options):
    """Store each value as the field `v`, or each document as it is, and return the positions of what a query finds."""
    rows = [
        {"_id": n, **(value if isinstance(value, dict) and "$v" not in value else {"v": value})}
        for n, value in enumerate(values)
    ]
    database.things.insert_many(rows)
    return [row["_id"] for row in database.things.find(query, **options)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
        ({"v": 1}, [0, 3, 6]),
        ({"v": 1.0}, [0, 3, 6]),
        ({"v": Decimal128("1.0")}, [0, 3, 6]),
        ({"v": True}, [9]),
        ({"v": False}, [10]),
        ({"v": {"$in": [True, "1"]}}, [4, 9]),
        ({"v": None}, [12]),
        ({"v": {"$ne": None}}, [n for n in ALL if n != 12]),
        ({"v": {"$gt": 1}}, [1, 2]),
        ({"v": {"$gte": 1}}, [0, 1, 2, 3, 6]),
        ({"v": {"$lt": 2}}, [0, 1, 3, 6]),
        ({"v": {"$gt": ""}}, [4, 6]),
        ({"v": {"$gte": False}}, [9, 10]),
        ({"v": {"$lt": True}}, [10]),
        ({"v": {"$gt": datetime(2026, 1, 1)}}, [11]),
        ({"v": {"$lt": datetime(2026, 1, 1)}}, []),
        ({"v": {"$gte": None}}, [12]),
        ({"v": {"$gt": None}}, []),
        ({"v": {"$gt": {}}}, [5]),
        ({"v": {"$gt": []}}, [6]),
        ({"v": {"$gt": Timestamp(5, 0)}}, [14]),
        ({"v": {"$gt": b"a"}}, [7]),
        ({"v": {"$gt": MinKey()}}, [n for n in ALL if n != 15]),
        ({"v": {"$lt": MaxKey()}}, [n for n in ALL if n != 16]),
        ({"v": {"$gte": ObjectId("0" * 24)}}, [8]),
        # https://www.mongodb.com/docs/manual/reference/operator/query/type/
        ({"v": {"$type": "number"}}, [0, 1, 2, 3, 6]),
        ({"v": {"$type": "int"}}, [0, 6]),
        ({"v": {"$type": 18}}, [2]),
        ({"v": {"$type": "double"}}, [1]),
        ({"v": {"$type": "decimal"}}, [3]),
        ({"v": {"$type": ["string", "bool"]}}, [4, 6, 9, 10]),
        ({"v": {"$type": "array"}}, [6]),
        ({"v": {"$type": "object"}}, [5]),
        ({"v": {"$type": "null"}}, [12]),
        ({"v": {"$type": "date"}}, [11]),
        ({"v": {"$type": "timestamp"}}, [14]),
        ({"v": {"$type": "binData"}}, [7]),
        ({"v": {"$type": "regex"}}, [13]),
        ({"v": {"$type": "minKey"}}, [15]),
        ({"v": Regex("^a")}, [6, 13]),
        ({"v": {"$eq": Regex("^a")}}, [13]),
        ({"v": {"$not": Regex("^a")}}, [n for n in ALL if n not in (6, 13)]),
        ({"$nor": [{"v": {"$type": "number"}}, {"v": {"$type": "bool"}}]}, [4, 5, 7, 8, 11, 12, 13, 14, 15, 16]),
    ],
    ids=repr,
)
def test_types_are_told_apart(database, query, expected):
    rows = [{"_id": n, "v": value} for n, value in enumerate(OF_ALL_TYPES)]
    database.things.insert_many(rows)
    assert [row["_id"] for row in database.things.find(query)] == expected


@pytest.mark.parametrize(
    ("values", "query", "expected"),
    [
        # equality with documents and arrays: https://www.mongodb.com/docs/manual/tutorial/query-embedded-documents/
        ([{"v": {"x": 1, "y": 2}}, {"v": {"y": 2, "x": 1}}], {"v": {"x": 1, "y": 2}}, [0]),
        ([{"v": {"x": 1, "y": 2}}, {"v": {"x": 1}}], {"v": {"x": 1}}, [1]),
        ([{"v": {"x": 1}}, {"v": {"x": True}}, {"v": {"x": 1.0}}], {"v": {"x": 1}}, [0, 2]),
        ([[1, 2], [2, 1], [1], [[1, 2]]], {"v": [1, 2]}, [0, 3]),
        ([[1, 2], [], None], {"v": []}, [1]),
        ([[1, True], [True]], {"v": 1}, [0]),
        # null: https://www.mongodb.com/docs/manual/tutorial/query-for-null-fields/
        ([{"w": 1}, {"v": None}, {"v": 0}, {"v": []}, {"v": [None]}], {"v": None}, [0, 1, 4]),
        ([{"w": 1}, {"v": None}], {"v": {"$type": 10}}, [1]),
        ([{"w": 1}, {"v": None}], {"v": {"$exists": False}}, [0]),
        ([{"w": 1}, {"v": None}], {"v": {"$exists": True}}, [1]),
        ([{"w": 1}, {"v": None}, {"v": 3}], {"v": {"$in": [None, 3]}}, [0, 1, 2]),
        ([{"w": 1}, {"v": 3}], {"v": {"$nin": [3]}}, [0]),  # codespell:ignore nin
        ([{"v": {"x": 1}}, {"v": 5}, {"v": [{"x": 1}, {}]}, {"v": [{"x": 1}]}], {"v.x": None}, [1, 2]),
        # arrays of documents: https://www.mongodb.com/docs/manual/tutorial/query-array-of-documents/
        ([[{"x": 1, "y": 2}], [{"x": 1}, {"y": 2}], [{"x": 2}]], {"v.x": 1, "v.y": 2}, [0, 1]),
        ([[{"x": 1, "y": 2}], [{"x": 1}, {"y": 2}]], {"v": {"$elemMatch": {"x": 1, "y": 2}}}, [0]),
        ([[{"x": 1}], [{"x": 3}], [{"x": 1}, {"x": 3}]], {"v.0.x": {"$lt": 2}}, [0, 2]),
        ([[5, 1], [1, 5]], {"v.1": 5}, [1]),
        ([[1, 9], [5], [4, 6]], {"v": {"$gt": 4, "$lt": 6}}, [0, 1, 2]),
        ([[1, 9], [5], [4, 6]], {"v": {"$elemMatch": {"$gt": 4, "$lt": 6}}}, [1]),
        ([[{"x": [1, 2]}], [{"x": [3]}]], {"v.x": 2}, [0]),
        ([[[7, "a"]], [[8, "b"]]], {"v": {"$elemMatch": {"0": 7}}}, [0]),
        ([[[7, "a"]], [[8, "b"]]], {"v": {"$elemMatch": {"0": {"$in": [8]}}}}, [1]),
        ([[], [1], [1, 2], 1], {"v": {"$size": 1}}, [1]),
        ([[], [1]], {"v": {"$size": 0}}, [0]),
        ([[1, 2, 3], [1, 3], 1, []], {"v": {"$all": [1, 2]}}, [0]),
        ([[1, 2], 1], {"v": {"$all": [1]}}, [0, 1]),
        ([[1, 2], 1], {"v": {"$all": []}}, []),
        ([[{"x": 1, "y": 1}, {"x": 2}], [{"x": 1}]], {"v": {"$all": [{"$elemMatch": {"x": 1, "y": 1}}]}}, [0]),
        ([[1, 2], [3]], {"v": {"$ne": 2}}, [1]),
        ([[1, 2], [3], "x"], {"v": {"$not": {"$gt": 2}}}, [0, 2]),
        # numbers: https://www.mongodb.com/docs/manual/reference/operator/query/mod/
        ([0, 3, 4, -4, 4.5, "4", None], {"v": {"$mod": [4, 0]}}, [0, 2, 3, 4]),
        ([7, -7], {"v": {"$mod": [4, -3]}}, [1]),
        ([math.nan, 1, -math.inf], {"v": {"$lt": 5}}, [1, 2]),
        ([math.nan, 1], {"v": math.nan}, [0]),
        ([2**53, Int64(2**53 + 1), float(2**53)], {"v": Int64(2**53 + 1)}, [1]),
        ([2**53, Int64(2**53 + 1)], {"v": {"$gt": float(2**53)}}, [1]),
        ([0.1, Decimal128("0.1")], {"v": Decimal128("0.1")}, [1]),
        ([54, 20, 20.0, Binary(b"C")], {"v": {"$bitsAllSet": [1, 5]}}, [0]),
        ([54, 20, 20.0, 1], {"v": {"$bitsAllClear": 35}}, [1, 2]),
        ([54, 20, 1], {"v": {"$bitsAnySet": [0, 1]}}, [0, 2]),
        ([3, 1, 0], {"v": {"$bitsAnyClear": 3}}, [1, 2]),
        # strings: https://www.mongodb.com/docs/manual/reference/operator/query/regex/
        (["abc", "ABC", "xab"], {"v": {"$regex": "^ab"}}, [0]),
        (["abc", "ABC", "xab"], {"v": {"$regex": "^ab", "$options": "i"}}, [0, 1]),
        (["abc", "ABC", "xab", ["x", "ab"]], {"v": Regex("^ab")}, [0, 3]),
        (["a\nb", "b"], {"v": {"$regex": "^b", "$options": "m"}}, [0, 1]),
        (["a\nb", "a b"], {"v": {"$regex": "a.b", "$options": "s"}}, [0, 1]),
        (["abc", "x"], {"v": {"$in": [Regex("^a"), "x"]}}, [0, 1]),
        (["abc", 5], {"v": {"$not": {"$regex": "^a"}}}, [1]),
        (["a", "B", "é", "z"], {"v": {"$gt": "Z"}}, [0, 2, 3]),
        # logic and expressions
        ([1, 2, 3], {"$or": [{"v": 1}, {"v": 3}]}, [0, 2]),
        ([1, 2, 3], {"$nor": [{"v": 1}, {"v": 3}]}, [1]),
        ([1, 2, 3], {"$and": [{"v": {"$gt": 1}}, {"v": {"$lt": 3}}]}, [1]),
        ([{"a": 3, "b": 2}, {"a": 1, "b": 2}], {"$expr": {"$gt": ["$a", "$b"]}}, [0]),
        ([1, 2], {"v": 1, "$comment": "why"}, [0]),
    ],
    ids=repr,
)
def test_a_query_finds(database, values, query, expected):
    assert found(database, values, query) == expected


@pytest.mark.parametrize(
    ("values", "sort", "expected"),
    [
        # https://www.mongodb.com/docs/manual/reference/method/cursor.sort/ : the order of types, and arrays
        ([[3, 9], [5], [1, 6]], [("v", 1)], [2, 0, 1]),
        ([[3, 9], [5], [1, 6]], [("v", -1)], [0, 2, 1]),
        ([2, [], {"w": 1}, None], [("v", 1), ("_id", 1)], [1, 2, 3, 0]),
        ([[{"x": 4}, {"x": 1}], [{"x": 2}]], [("v.x", 1)], [0, 1]),
        ([[{"x": 4}, {"x": 1}], [{"x": 2}]], [("v.x", -1)], [0, 1]),
        ([True, "a", 5, {"v": {}}, None, DAY, NUMBER, b"", [0]], [("v", 1), ("_id", 1)], [4, 8, 2, 1, 3, 7, 6, 0, 5]),
        ([MaxKey(), 1, MinKey()], [("v", 1)], [2, 1, 0]),
        ([1, math.nan, -math.inf], [("v", 1)], [1, 2, 0]),
        ([Decimal128("2.5"), 3, 2, Int64(1)], [("v", 1)], [3, 2, 0, 1]),
        (["b", "B", "a"], [("v", 1)], [1, 2, 0]),
        ([{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 0, "b": 0}], [("a", 1), ("b", -1)], [2, 1, 0]),
        ([{"v": {"a": 2}}, {"v": {"a": 1, "b": 1}}], [("v", 1)], [1, 0]),
    ],
    ids=repr,
)
def test_a_sort_orders(database, values, sort, expected):
    assert found(database, values, {}, sort=sort) == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"v": {"$sideways": 1}}, 2),
        ({"$sideways": 1}, 2),
        ({"v": {"$gt": 1, "x": 2}}, 2),
        ({"v": {"$in": 5}}, 2),
        ({"v": {"$in": [{"$gt": 1}]}}, 2),
        ({"v": {"$nin": 5}}, 2),  # codespell:ignore nin
        ({"v": {"$all": 5}}, 2),
        ({"v": {"$not": 5}}, 2),
        ({"v": {"$not": {}}}, 2),
        ({"v": {"$mod": [4]}}, 2),
        ({"v": {"$mod": [4, 1, 1]}}, 2),
        ({"v": {"$mod": [0, 1]}}, 2),
        ({"v": {"$elemMatch": 5}}, 2),
        ({"v": {"$type": "text"}}, 2),
        ({"v": {"$options": "i"}}, 2),
        ({"v": {"$regex": "("}}, 51091),
        ({"v": {"$ne": Regex("a")}}, 2),
        ({"$or": []}, 2),
        ({"$and": {}}, 2),
        ({"$nor": [5]}, 2),
        ({"$where": "true"}, 238),
        ({"$jsonSchema": {}}, 238),
        ({"$text": {"$search": "x"}}, 238),
        ({"v": {"$near": [0, 0]}}, 238),
        ({"v": {"$geoWithin": {}}}, 238),
    ],
    ids=repr,
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_malformed_or_unsupported_query_is_refused(database, refusal, query, code, exists):
    if exists:
        database.things.insert_one({"v": 1})
    assert refusal(lambda: database.things.find_one(query)) == code


def test_indexes_find_what_a_scan_finds(database):
    rows = [{"_id": n, "v": value} for n, value in enumerate(OF_ALL_TYPES)]
    database.things.insert_many(rows)
    queries = [{"v": value} for value in OF_ALL_TYPES] + [{"v": {"$in": [value, "other"]}} for value in OF_ALL_TYPES]
    before = [[row["_id"] for row in database.things.find(query)] for query in queries]
    database.things.create_index("v")
    assert [[row["_id"] for row in database.things.find(query)] for query in queries] == before
