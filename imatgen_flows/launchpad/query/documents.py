"""Documents, and the types of their values as MongoDB names them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, decode, encode
from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions
from bson.datetime_ms import DatetimeConversion, DatetimeMS

Document = dict[str, Any]

# dates outside the range of Python, and UUIDs of any kind, are passed through unchanged
CODEC: CodecOptions = DEFAULT_CODEC_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)

# number and name of each type, as `$type` takes them
TYPES = {
    1: "double",
    2: "string",
    3: "object",
    4: "array",
    5: "binData",
    6: "undefined",
    7: "objectId",
    8: "bool",
    9: "date",
    10: "null",
    11: "regex",
    12: "dbPointer",
    13: "javascript",
    14: "symbol",
    15: "javascriptWithScope",
    16: "int",
    17: "timestamp",
    18: "long",
    19: "decimal",
    -1: "minKey",
    127: "maxKey",
}
NUMBERS = ("double", "int", "long", "decimal")
NAMES: tuple[tuple[Any, str], ...] = (
    (type(None), "null"),
    (bool, "bool"),
    (Int64, "long"),
    (float, "double"),
    (Code, "javascript"),
    (str, "string"),
    ((Mapping, DBRef), "object"),
    ((list, tuple), "array"),
    (ObjectId, "objectId"),
    ((datetime, DatetimeMS), "date"),
    (Decimal128, "decimal"),
    (bytes, "binData"),
    ((Regex, re.Pattern), "regex"),
    (Timestamp, "timestamp"),
    (MinKey, "minKey"),
    (MaxKey, "maxKey"),
)


class Missing:
    """The value of a field that a document does not have."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "missing"


MISSING: Any = Missing()


def copy(document: Document) -> Document:
    """Return a deep copy of a document."""
    return decode(encode(document, codec_options=CODEC), CODEC)


def type_name(value: Any) -> str:
    """Return MongoDB's name of the type of a value, as the operator `$type` returns it."""
    if value is MISSING:
        return "missing"
    if type(value) is int:
        return "int" if fits(value, 32) else "long"
    if isinstance(value, Code) and value.scope is not None:
        return "javascriptWithScope"
    return next((name for kind, name in NAMES if isinstance(value, kind)), type(value).__name__)


def fits(value: int, bits: int) -> bool:
    """Whether a whole number fits into a number of bits, one of them its sign."""
    return -(1 << (bits - 1)) <= value < 1 << (bits - 1)


def is_number(value: Any) -> bool:
    """Whether a value is a number, which a truth value is not."""
    return isinstance(value, int | float | Decimal128) and not isinstance(value, bool)


def is_true(value: Any) -> bool:
    """Whether a value counts as true in an expression or a projection: all but false, null, missing and zero."""
    if isinstance(value, Decimal128):
        return value.to_decimal() != 0
    return value is not None and value is not MISSING and not (isinstance(value, int | float) and value == 0)


def is_date(value: Any) -> bool:
    """Whether a value is a date."""
    return isinstance(value, datetime | DatetimeMS)


def operator_of(value: Any) -> str | None:
    """Return the operator that a document begins with, or None where it is a value."""
    if isinstance(value, dict):
        first = next(iter(value), "")
        return first if first.startswith("$") else None
    return None
