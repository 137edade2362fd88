"""Stages, accumulators and expressions give what MongoDB's manual says."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from bson import Decimal128, Int64, ObjectId, encode

DAY = datetime(2014, 2, 3, 16, 5, 7, 123000)
SALES = [
    {"_id": 1, "item": "a", "price": 10, "n": 2},
    {"_id": 2, "item": "b", "price": 20, "n": 1},
    {"_id": 3, "item": "a", "price": None},
    {"_id": 4, "price": 5, "n": 10},
]
ITEMS = [{"_id": 1, "t": ["x", "y"]}, {"_id": 2, "t": []}, {"_id": 3, "t": None}, {"_id": 4}, {"_id": 5, "t": "z"}]
WHOLE = {"_id": None}


@pytest.mark.parametrize(
    ("documents", "pipeline", "expected"),
    [
        # https://www.mongodb.com/docs/manual/reference/operator/aggregation-pipeline/
        (
            SALES,
            [{"$group": {"_id": "$item", "n": {"$sum": "$n"}}}],
            [{"_id": "a", "n": 2}, {"_id": "b", "n": 1}, {"_id": None, "n": 10}],
        ),
        (SALES, [{"$group": {**WHOLE, "a": {"$avg": "$price"}}}], [{"_id": None, "a": 35 / 3}]),
        (
            SALES,
            [{"$group": {**WHOLE, "a": {"$max": "$price"}, "b": {"$min": "$price"}}}],
            [{"_id": None, "a": 20, "b": 5}],
        ),
        (
            SALES,
            [{"$group": {**WHOLE, "a": {"$max": "$none"}, "b": {"$avg": "$none"}}}],
            [{"_id": None, "a": None, "b": None}],
        ),
        (SALES, [{"$group": {**WHOLE, "a": {"$push": "$n"}}}], [{"_id": None, "a": [2, 1, 10]}]),
        (
            SALES,
            [{"$group": {**WHOLE, "a": {"$first": "$item"}, "b": {"$last": "$item"}}}],
            [{"_id": None, "a": "a", "b": None}],
        ),
        (SALES, [{"$group": {**WHOLE, "a": {"$count": {}}}}], [{"_id": None, "a": 4}]),
        (SALES, [{"$group": {"_id": {"i": "$item"}}}, {"$match": {"_id": {}}}], [{"_id": {}}]),
        (
            [{"v": 1}, {"v": True}, {"v": 1.0}],
            [{"$group": {"_id": "$v", "n": {"$sum": 1}}}],
            [{"_id": 1, "n": 2}, {"_id": True, "n": 1}],
        ),
        ([{"v": {"x": 1, "y": 2}}, {"v": {"y": 2, "x": 1}}], [{"$group": {"_id": "$v"}}, {"$count": "n"}], [{"n": 2}]),
        (
            [{"v": 1}, {"v": 1.0}, {"v": True}],
            [{"$group": {**WHOLE, "a": {"$addToSet": "$v"}}}, {"$project": {"_id": 0, "n": {"$size": "$a"}}}],
            [{"n": 2}],
        ),
        (
            [{"v": {"x": 1}}, {"v": {"y": 2}}],
            [{"$group": {**WHOLE, "a": {"$mergeObjects": "$v"}}}],
            [{"_id": None, "a": {"x": 1, "y": 2}}],
        ),
        ([{"v": 2}, {"v": 4}], [{"$group": {**WHOLE, "a": {"$stdDevPop": "$v"}}}], [{"_id": None, "a": 1.0}]),
        (
            SALES,
            [{"$match": {"n": {"$gt": 1}}}, {"$sort": {"n": -1}}, {"$project": {"n": 1}}],
            [{"_id": 4, "n": 10}, {"_id": 1, "n": 2}],
        ),
        (SALES, [{"$sort": {"_id": -1}}, {"$skip": 1}, {"$limit": 1}, {"$project": {"_id": 1}}], [{"_id": 3}]),
        (SALES, [{"$match": {"item": "a"}}, {"$count": "n"}], [{"n": 2}]),
        (SALES, [{"$match": {"item": "none"}}, {"$count": "n"}], []),
        (SALES, [{"$sortByCount": "$item"}, {"$limit": 1}], [{"_id": "a", "count": 2}]),
        (SALES[:1], [{"$addFields": {"total": {"$multiply": ["$price", "$n"]}}}], [{**SALES[0], "total": 20}]),
        (SALES[:1], [{"$set": {"item": "$$REMOVE"}}, {"$unset": ["n", "price"]}], [{"_id": 1}]),
        (SALES[:1], [{"$set": {}}], SALES[:1]),
        (
            [{"_id": 1, "a": [{"x": 1}, {"x": 2}]}],
            [{"$set": {"a.y": 0}}],
            [{"_id": 1, "a": [{"x": 1, "y": 0}, {"x": 2, "y": 0}]}],
        ),
        ([{"_id": 1, "a": {"b": 2}}], [{"$replaceRoot": {"newRoot": "$a"}}], [{"b": 2}]),
        (ITEMS, [{"$unwind": "$t"}], [{"_id": 1, "t": "x"}, {"_id": 1, "t": "y"}, {"_id": 5, "t": "z"}]),
        (
            ITEMS[1:4],
            [{"$unwind": {"path": "$t", "preserveNullAndEmptyArrays": True}}],
            [{"_id": 2}, {"_id": 3, "t": None}, {"_id": 4}],
        ),
        (
            ITEMS[:1],
            [{"$unwind": {"path": "$t", "includeArrayIndex": "i"}}, {"$match": {"i": 1}}],
            [{"_id": 1, "t": "y", "i": Int64(1)}],
        ),
        (
            SALES,
            [{"$facet": {"a": [{"$count": "n"}], "b": [{"$match": {"item": "none"}}]}}],
            [{"a": [{"n": 4}], "b": []}],
        ),
        (
            SALES,
            [{"$bucket": {"groupBy": "$price", "boundaries": [0, 10, 30], "default": "?"}}],
            [{"_id": 0, "count": 1}, {"_id": 10, "count": 2}, {"_id": "?", "count": 1}],
        ),
        (ITEMS[:1], [{"$unionWith": "things"}, {"$count": "n"}], [{"n": 2}]),
        (SALES, [{"$project": {"_id": 0, "n": 1}}, {"$match": {"n": None}}], [{}]),
        # fields of arrays are arrays of fields; positions are no fields
        ([{"_id": 1, "a": [{"x": 1}, {}, 5, {"x": 3}]}], [{"$project": {"v": "$a.x"}}], [{"_id": 1, "v": [1, 3]}]),
        ([{"_id": 1, "a": [7, 8]}], [{"$project": {"v": "$a.0"}}], [{"_id": 1, "v": []}]),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_pipeline_gives(database, documents, pipeline, expected):
    database.things.insert_many([dict(document) for document in documents])
    rows = list(database.things.aggregate(pipeline))
    assert list(map(encode, rows)) == list(map(encode, expected))


def test_documents_of_another_collection_are_joined(database):
    database.things.insert_many([{"_id": 1, "k": 1}, {"_id": 2, "k": [1, 2]}, {"_id": 3}, {"_id": 4, "k": True}])
    database.others.insert_many([{"_id": "a", "f": 1}, {"_id": "b", "f": 2}, {"_id": "c", "f": None}, {"_id": "d"}])
    join = {"from": "others", "localField": "k", "foreignField": "f", "as": "o"}
    rows = database.things.aggregate([{"$lookup": join}])
    assert [[other["_id"] for other in row["o"]] for row in rows] == [["a"], ["a", "b"], ["c", "d"], []]
    piped = {**join, "pipeline": [{"$project": {"_id": 0, "f": 1}}, {"$sort": {"f": -1}}, {"$limit": 1}]}
    assert [row["o"] for row in database.things.aggregate([{"$lookup": piped}])][1] == [{"f": 2}]
    absent = {"from": "absent", "localField": "k", "foreignField": "f", "as": "o"}
    assert next(database.things.aggregate([{"$lookup": absent}]))["o"] == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # https://www.mongodb.com/docs/manual/reference/operator/aggregation/ ; `$i` 7, `$f` 2.5, `$s` "abc", `$a` [3, 1, 2]
        ({"$add": ["$i", 1]}, 8),
        ({"$add": ["$i", "$none"]}, None),
        ({"$add": ["$d", 1000]}, DAY + timedelta(seconds=1)),
        ({"$add": [2**31 - 1, 1]}, Int64(2**31)),
        ({"$add": [Int64(2**63 - 1), 1]}, float(2**63)),
        ({"$subtract": ["$i", "$f"]}, 4.5),
        ({"$subtract": ["$d", "$d"]}, Int64(0)),
        ({"$multiply": ["$i", Decimal128("0.1")]}, Decimal128("0.7")),
        ({"$divide": ["$i", 2]}, 3.5),
        ({"$divide": [6, 2]}, 3.0),
        ({"$mod": [-7, 4]}, -3),
        ({"$abs": -7}, 7),
        ({"$ceil": 2.1}, 3.0),
        ({"$floor": -2.1}, -3.0),
        ({"$round": [2.5]}, 2.0),
        ({"$round": [1234.567, 2]}, 1234.57),
        ({"$round": [1250, -2]}, 1200),
        ({"$trunc": [-2.7]}, -2.0),
        ({"$pow": [2, 10]}, 1024),
        ({"$pow": [2, -1]}, 0.5),
        ({"$sqrt": 25}, 5.0),
        ({"$ln": 1}, 0.0),
        ({"$log10": 100}, 2.0),
        ({"$log": [8, 2]}, 3.0),
        ({"$exp": 0}, 1.0),
        ({"$max": ["$i", "$none", None, 3]}, 7),
        ({"$min": ["$none", None]}, None),
        ({"$max": "$a"}, 3),
        ({"$sum": ["$i", "text", 1]}, 8),
        ({"$avg": "$a"}, 2.0),
        ({"$eq": [1, True]}, False),
        ({"$eq": [1, 1.0]}, True),
        ({"$eq": ["$none", None]}, False),
        ({"$gt": ["$none", None]}, False),
        ({"$gt": ["text", 5]}, True),
        ({"$cmp": ["$i", 8]}, -1),
        ({"$ne": [{"x": 1, "y": 2}, {"y": 2, "x": 1}]}, True),
        ({"$and": [1, "text", {}]}, True),
        ({"$and": []}, True),
        ({"$or": [0, None, "$none"]}, False),
        ({"$not": [0]}, True),
        ({"$cond": [{"$gt": ["$i", 5]}, "big", "small"]}, "big"),
        ({"$cond": {"if": "$none", "then": 1, "else": 2}}, 2),
        ({"$ifNull": ["$none", None, "else"]}, "else"),
        ({"$switch": {"branches": [{"case": False, "then": 1}, {"case": True, "then": 2}]}}, 2),
        ({"$let": {"vars": {"x": 2}, "in": {"$multiply": ["$$x", "$i"]}}}, 14),
        ({"$arrayElemAt": ["$a", -1]}, 2),
        ({"$first": "$a"}, 3),
        ({"$last": "$a"}, 2),
        ({"$size": "$a"}, 3),
        ({"$in": [True, [1, 2]]}, False),
        ({"$in": [1.0, "$a"]}, True),
        ({"$slice": ["$a", 2]}, [3, 1]),
        ({"$slice": ["$a", -2]}, [1, 2]),
        ({"$slice": ["$a", 1, 1]}, [1]),
        ({"$concatArrays": ["$a", [9]]}, [3, 1, 2, 9]),
        ({"$reverseArray": "$a"}, [2, 1, 3]),
        ({"$sortArray": {"input": "$a", "sortBy": 1}}, [1, 2, 3]),
        ({"$range": [0, 6, 2]}, [0, 2, 4]),
        ({"$map": {"input": "$a", "as": "x", "in": {"$add": ["$$x", 1]}}}, [4, 2, 3]),
        ({"$filter": {"input": "$a", "cond": {"$gt": ["$$this", 1]}}}, [3, 2]),
        ({"$reduce": {"input": "$a", "initialValue": 0, "in": {"$add": ["$$value", "$$this"]}}}, 6),
        ({"$zip": {"inputs": [[1, 2], ["a", "b"]]}}, [[1, "a"], [2, "b"]]),
        ({"$indexOfArray": ["$a", 1]}, 1),
        ({"$isArray": "$a"}, True),
        ({"$setIsSubset": [[1], "$a"]}, True),
        ({"$setEquals": [[1, 2, 2], [2, 1]]}, True),
        ({"$mergeObjects": [{"x": 1}, None, {"x": 2, "y": 3}]}, {"x": 2, "y": 3}),
        ({"$objectToArray": {"x": 1}}, [{"k": "x", "v": 1}]),
        ({"$arrayToObject": [[["x", 1]]]}, {"x": 1}),
        ({"$getField": "i"}, 7),
        ({"$concat": ["$s", "-", "x"]}, "abc-x"),
        ({"$concat": ["$s", None]}, None),
        ({"$substr": ["$s", 1, -1]}, "bc"),
        ({"$substrCP": ["$s", 0, 2]}, "ab"),
        ({"$substr": ["$d", 0, 10]}, "2014-02-03"),
        ({"$toUpper": "$s"}, "ABC"),
        ({"$toLower": "$none"}, ""),
        ({"$strLenCP": "é"}, 1),
        ({"$strLenBytes": "é"}, 2),
        ({"$split": ["a-b-c", "-"]}, ["a", "b", "c"]),
        ({"$trim": {"input": "  x "}}, "x"),
        ({"$ltrim": {"input": "xxa", "chars": "x"}}, "a"),
        ({"$replaceAll": {"input": "aba", "find": "a", "replacement": "c"}}, "cbc"),
        ({"$replaceOne": {"input": "aba", "find": "a", "replacement": "c"}}, "cba"),
        ({"$regexMatch": {"input": "$s", "regex": "B", "options": "i"}}, True),
        ({"$regexFind": {"input": "$s", "regex": "b(c)"}}, {"match": "bc", "idx": 1, "captures": ["c"]}),
        ({"$indexOfCP": ["$s", "c"]}, 2),
        ({"$strcasecmp": ["$s", "ABC"]}, 0),
        ({"$type": "$none"}, "missing"),
        ({"$type": "$i"}, "int"),
        ({"$type": "$a"}, "array"),
        ({"$isNumber": "$f"}, True),
        ({"$toInt": "12"}, 12),
        ({"$toInt": 2.9}, 2),
        ({"$toDouble": "1.5"}, 1.5),
        ({"$toLong": True}, Int64(1)),
        ({"$toString": 2.5}, "2.5"),
        ({"$toString": "$d"}, "2014-02-03T16:05:07.123Z"),
        ({"$toBool": "false"}, True),
        ({"$toObjectId": "5ab9cbfa31c2ab715d42129e"}, ObjectId("5ab9cbfa31c2ab715d42129e")),
        ({"$toDate": Int64(0)}, datetime(1970, 1, 1)),
        ({"$convert": {"input": "x", "to": "int", "onError": -1}}, -1),
        ({"$convert": {"input": None, "to": "int", "onNull": 0}}, 0),
        ({"$year": "$d"}, 2014),
        ({"$month": "$d"}, 2),
        ({"$dayOfMonth": "$d"}, 3),
        ({"$dayOfWeek": "$d"}, 2),
        ({"$dayOfYear": "$d"}, 34),
        ({"$hour": {"date": "$d", "timezone": "-05:00"}}, 11),
        ({"$millisecond": "$d"}, 123),
        ({"$isoWeek": "$d"}, 6),
        ({"$dateToString": {"format": "%Y-%m-%d %H:%M:%S.%L", "date": "$d"}}, "2014-02-03 16:05:07.123"),
        ({"$dateToString": {"format": "%H:%M %z", "date": "$d", "timezone": "+04:30"}}, "20:35 +0430"),
        ({"$dateToString": {"date": None, "onNull": "none"}}, "none"),
        ({"$dateFromString": {"dateString": "2017-02-08T12:10:40.787Z"}}, datetime(2017, 2, 8, 12, 10, 40, 787000)),
        ({"$dateFromString": {"dateString": "2017-02-08", "timezone": "+02:00"}}, datetime(2017, 2, 7, 22)),
        ({"$dateFromString": {"dateString": "$d", "onError": "$d"}}, DAY),
        ({"$dateFromParts": {"year": 2017, "month": 2, "day": 8}}, datetime(2017, 2, 8)),
        ({"$dateAdd": {"startDate": datetime(2021, 1, 31), "unit": "month", "amount": 1}}, datetime(2021, 2, 28)),
        ({"$dateSubtract": {"startDate": "$d", "unit": "hour", "amount": 1}}, DAY - timedelta(hours=1)),
        ({"$dateDiff": {"startDate": datetime(2020, 12, 31), "endDate": datetime(2021, 1, 1), "unit": "year"}}, Int64(1)),
        ({"$dateTrunc": {"date": "$d", "unit": "month"}}, datetime(2014, 2, 1)),
        ({"$literal": "$i"}, "$i"),
        (["$i", "$none"], [7, None]),
        ({"x": "$none", "y": "$i"}, {"y": 7}),
        ("$$ROOT.i", 7),
        ("$$CURRENT.s", "abc"),
    ],
    ids=repr,
)  # fmt: skip
def test_an_expression_gives(database, expression, expected):
    database.things.insert_one({"_id": 1, "i": 7, "f": 2.5, "s": "abc", "a": [3, 1, 2], "d": DAY})
    [row] = database.things.aggregate([{"$replaceRoot": {"newRoot": {"v": expression}}}])
    assert encode(row) == encode({"v": expected})


@pytest.mark.parametrize("expression", ["$none", "$$REMOVE", {"$arrayElemAt": [[1], 5]}, {"$first": [[]]}], ids=repr)
def test_an_expression_without_a_value_sets_nothing(database, expression):
    database.things.insert_one({"_id": 1})
    assert list(database.things.aggregate([{"$project": {"v": expression}}])) == [{"_id": 1}]


def test_sets_have_each_value_once(database):
    database.things.insert_one({"_id": 1})
    fields = {
        "u": {"$setUnion": [[1, True], [1.0, 2]]},
        "i": {"$setIntersection": [[1, 2], [2, 3]]},
        "d": {"$setDifference": [[1, 2], [2]]},
    }
    [row] = database.things.aggregate([{"$project": fields}])
    assert (sorted(row["u"], key=repr), row["i"], row["d"]) == ([1, 2, True], [2], [1])


def test_now_is_one_time_for_all(database):
    database.things.insert_many([{}, {}])
    rows = list(database.things.aggregate([{"$set": {"a": "$$NOW"}}, {"$set": {"b": "$$NOW"}}]))
    assert len({row[name] for row in rows for name in "ab"}) == 1
    assert abs(rows[0]["a"].replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=1)


def test_what_is_no_number_is_not_compared_with_numbers(database):
    database.things.insert_many([{"v": math.nan}, {"v": 1}])
    assert [row["v"] for row in database.things.aggregate([{"$match": {"v": {"$gt": 0}}}])] == [1]


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        ({"$foo": 1}, 40324),
        ({"$match": {}, "$sort": {"a": 1}}, 40323),
        ({"$limit": 0}, 15958),
        ({"$limit": -1}, 5107201),
        ({"$skip": -1}, 5107200),
        ({"$sort": {"v": 2}}, 15975),
        ({"$group": {"n": {"$sum": 1}}}, 15955),
        ({"$group": {"_id": 1, "n": {"$foo": 1}}}, 15952),
        ({"$group": {"_id": 1, "n": 5}}, 40234),
        ({"$unwind": "t"}, 28818),
        ({"$replaceRoot": {"newRoot": "$v"}}, 40228),
        ({"$project": {}}, 51272),
        ({"$project": {"a": 1, "b": 0}}, 31254),
        ({"$project": {"a": {"$foo": 1}}}, 168),
        ({"$project": {"a": {"$add": [1], "$sum": 2}}}, 15983),
        ({"$project": {"a": "$$unknown"}}, 17276),
        ({"$project": {"a": {"$subtract": [1]}}}, 16020),
        ({"$project": {"a": {"$add": ["text", 1]}}}, 14),
        ({"$project": {"a": {"$divide": [1, 0]}}}, 2),
        ({"$project": {"a": {"$size": "$none"}}}, 17124),
        ({"$project": {"a": {"$in": [1, 5]}}}, 40081),
        ({"$project": {"a": {"$arrayElemAt": [5, 0]}}}, 28689),
        ({"$project": {"a": {"$concat": [1]}}}, 16702),
        ({"$project": {"a": {"$concatArrays": [1]}}}, 28664),
        ({"$project": {"a": {"$mergeObjects": [1]}}}, 40400),
        ({"$project": {"a": {"$toInt": "x"}}}, 241),
        ({"$project": {"a": {"$sqrt": -1}}}, 28714),
        ({"$project": {"a": {"$abs": "x"}}}, 28765),
        ({"$project": {"a": {"$year": "text"}}}, 16006),
        ({"$project": {"a": {"$switch": {"branches": [{"case": False, "then": 1}]}}}}, 40066),
        ({"$changeStream": {}}, 40573),
        ({"$out": "other"}, 238),
        ({"$merge": {"into": "other"}}, 238),
        ({"$graphLookup": {}}, 238),
        ({"$setWindowFields": {}}, 238),
        ({"$project": {"a": {"$function": {}}}}, 238),
        ({"$group": {"_id": 1, "a": {"$accumulator": {}}}}, 238),
        ({"$lookup": {"from": "o", "let": {"x": 1}, "pipeline": [], "as": "a"}}, 238),
    ],
    ids=repr,
)
def test_a_malformed_or_unsupported_stage_is_refused(database, refusal, stage, code):
    database.things.insert_one({"v": 1})
    assert refusal(lambda: list(database.things.aggregate([stage]))) == code
