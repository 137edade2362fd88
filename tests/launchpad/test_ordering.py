"""Keys compare as MongoDB compares values: held against a comparison written from its manual."""

from __future__ import annotations

import math
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from imatgen_flows.launchpad.ordering import EMPTY_ARRAY, invert, key

# https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
ORDER = [
    (MinKey,),
    (type(None),),
    (float, int, Decimal128),
    (str,),
    (dict,),
    (list,),
    (bytes,),
    (ObjectId,),
    (bool,),
    (datetime,),
    (Timestamp,),
    (Regex,),
    (MaxKey,),
]


def rank(value):
    exact = [position for position, types in enumerate(ORDER) if type(value) in types]
    return (exact or [position for position, types in enumerate(ORDER) if isinstance(value, types)])[0]


def as_number(value):
    """Return a number that compares exactly: NaN first, then the infinite ones about all fractions."""
    value = value.to_decimal() if isinstance(value, Decimal128) else value
    if value != value or value in (math.inf, -math.inf):
        return (0, 0) if value != value else (1 if value < 0 else 3, 0)
    return 2, Fraction(value)


def sign(first, second):
    return (first > second) - (first < second)


def compare(first, second):
    """Compare two values by the rules of the manual, one step at a time."""
    if rank(first) != rank(second):
        return sign(rank(first), rank(second))
    if isinstance(first, dict):
        for (name, value), (other_name, other) in zip(first.items(), second.items(), strict=False):
            for left, right in ((rank(value), rank(other)), (name.encode(), other_name.encode())):
                if left != right:
                    return sign(left, right)
            if difference := compare(value, other):
                return difference
        return sign(len(first), len(second))
    if isinstance(first, list):
        different = (compare(*pair) for pair in zip(first, second, strict=False))
        return next((found for found in different if found), sign(len(first), len(second)))
    simple = {
        bool: lambda value: value,
        str: lambda value: value.encode(),
        bytes: lambda value: (len(value), value.subtype if isinstance(value, Binary) else 0, bytes(value)),
        Regex: lambda value: (value.pattern.encode(), value.flags),
        MinKey: lambda _: 0,
        MaxKey: lambda _: 0,
        type(None): lambda _: 0,
        (int, float, Decimal128): as_number,
    }
    for types, convert in simple.items():
        if isinstance(first, types):
            return sign(convert(first), convert(second))
    return sign(first, second)


LONG = st.integers(-(2**63), 2**63 - 1)
near = st.builds(
    lambda n, d: max(-(2**63), min(2**63 - 1, n + d)), st.sampled_from([2**53, -(2**53), 2**62]), st.integers(-3, 3)
)
decimals = st.builds(
    lambda digits, exponent: Decimal128(f"{digits}E{exponent}"),
    st.integers(-(10**34) + 1, 10**34 - 1),
    st.one_of(st.integers(-6100, 6100), st.integers(-20, 3)),
)
numbers = st.one_of(
    LONG,
    near,
    near.map(float),
    st.integers(-3, 3),
    st.floats(),
    st.sampled_from([0.1, -0.0, 0.5, 2.0**53, 1e308, math.inf, -math.inf]),
    near.map(lambda n: Decimal128(str(n))),
    decimals,
    st.sampled_from(["0.1", "0", "-0", "NaN", "Infinity", "-Infinity", "1E+6000", "1E-6000", "0.50"]).map(Decimal128),
)
texts = st.text(st.sampled_from("\0\1aé\uffff🂡"), max_size=3)
names = st.text(st.sampled_from("ab1"), min_size=1, max_size=2)
scalars = st.one_of(
    numbers,
    texts,
    st.none(),
    st.booleans(),
    st.sampled_from([MinKey(), MaxKey(), ObjectId("0" * 24), ObjectId("f" * 24), Timestamp(1, 2), Timestamp(2, 1)]),
    st.binary(max_size=3),
    st.builds(Binary, st.binary(max_size=2), st.sampled_from([0, 5, 128])),
    st.datetimes(datetime(1, 1, 1), datetime(9999, 1, 1)).map(lambda date: date.replace(microsecond=0)),
    st.sampled_from([Regex("a"), Regex("a", "i"), Regex("b")]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.tuples(values, values), st.tuples(numbers, numbers), st.tuples(texts, texts)))
def test_keys_compare_as_their_values(pair):
    first, second = pair
    assert sign(key(first), key(second)) == compare(first, second)
    assert sign(invert(key(first)), invert(key(second))) == -compare(first, second)


@settings(max_examples=100, deadline=None)
@given(values)
def test_a_value_that_was_stored_has_the_same_key(value):
    wrapped = {"": Int64(value) if type(value) is int else value}
    assert key(decode(encode(wrapped))[""]) == key(value)


def test_the_kinds_of_values_follow_each_other():
    ordered = [
        MinKey(),
        None,
        math.nan,
        -math.inf,
        -1,
        0.5,
        Decimal128("1E+4000"),
        math.inf,
        "",
        "a",
        {},
        {"a": 1},
        [],
        [None],
        b"",
        ObjectId(),
        False,
        True,
        datetime(2026, 1, 1),
        Timestamp(0, 0),
        Regex("a"),
        MaxKey(),
    ]
    assert all(key(first) < key(second) for first, second in pairwise(ordered))
    assert key(MinKey()) < EMPTY_ARRAY < key(None)


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (1, 1.0, True),
        (1, Int64(1), True),
        (1, Decimal128("1.00"), True),
        (0.0, -0.0, True),
        (True, 1, False),
        (False, 0, False),
        (2**53 + 1, float(2**53), False),
        (Int64(2**53 + 1), Decimal128("9007199254740993"), True),
        (0.1, Decimal128("0.1"), False),
        ({"x": 1, "y": 2}, {"y": 2, "x": 1}, False),
        ({"x": 1}, {"x": True}, False),
        ([1], [1.0], True),
        ("1", 1, False),
        (b"a", Binary(b"a", 128), False),
        (math.nan, Decimal128("NaN"), True),
    ],
)
def test_equal_values_have_equal_keys(first, second, equal):
    assert (key(first) == key(second)) is equal


def test_what_is_no_value_of_bson_is_refused():
    with pytest.raises(TypeError, match="object is no type of BSON"):
        key(object())
