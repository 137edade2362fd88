"""The order of all values: MongoDB's types, and bytes that compare as MongoDB compares values.

Equality, comparison, sorting and grouping derive from `key`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Context, Decimal, Inexact
from enum import IntEnum
from typing import Any
from uuid import UUID

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from bson.son import SON


class Kind(IntEnum):
    """The kinds of values that are compared with each other, in their order; the first byte of a key."""

    MIN_KEY = 0x08
    EMPTY = 0x0C  # how an empty array is sorted: before null
    NULL = 0x10
    NUMBER = 0x18
    STRING = 0x20
    DOCUMENT = 0x28
    ARRAY = 0x30
    BINARY = 0x38
    OBJECT_ID = 0x40
    BOOLEAN = 0x48
    DATE = 0x50
    TIMESTAMP = 0x58
    REGEX = 0x60
    REFERENCE = 0x68
    CODE = 0x70
    SCOPED_CODE = 0x78
    MAX_KEY = 0xF8


END = b"\0"  # of a document or an array; lower than the first byte of any key
END_OF_TEXT = b"\0\0"
ZERO_IN_TEXT = b"\0\xff"  # higher than the end of a text, lower than any other byte in it
EXACT = b"\x80"  # a number that is its nearest double
LARGEST = struct.unpack(">d", b"\x7f\xef\xff\xff\xff\xff\xff\xff")[0]
SMALL = 2**53  # integers up to it are doubles
SIGN = 1 << 63
ALL = (1 << 64) - 1
# the difference between a double and a Decimal128 has fewer digits than this
DECIMALS = Context(prec=8_000, Emax=999_999, Emin=-999_999, traps=[Inexact])
FLAGS = (
    (re.IGNORECASE, "i"),
    (re.LOCALE, "l"),
    (re.MULTILINE, "m"),
    (re.DOTALL, "s"),
    (re.UNICODE, "u"),
    (re.VERBOSE, "x"),
)
INVERTED = bytes(range(255, -1, -1))

EMPTY_ARRAY = bytes([Kind.EMPTY])
NULL = bytes([Kind.NULL])


def key(value: Any) -> bytes:
    """Encode a value so that the order of keys is the order of values, and equal keys are equal values.

    No key is the start of another one: keys can be joined, and inverted for the opposite order.

    Parameters
    ----------
    value : any that BSON decodes to; None stands for a missing value too

    Raises
    ------
    TypeError
        Where the value is of no type of BSON.

    Examples
    --------
    >>> key(1) == key(1.0), key(True) == key(1), key(2) < key("1") < key([0])
    (True, False, True)
    """
    encode = ENCODERS.get(type(value))
    return encode(value) if encode else _key_of_subclass(value)


def invert(encoded: bytes) -> bytes:
    """Return a key whose order among inverted keys is the opposite one."""
    return encoded.translate(INVERTED)


def kind(value: Any) -> Kind:
    """Return the kind of a value; MongoDB compares only values of one kind with `$lt` and its like."""
    return Kind(key(value)[0])


def _key_of_subclass(value: Any) -> bytes:
    for base, encode in SUBCLASSES:
        if isinstance(value, base):
            return encode(value)
    raise TypeError(f"{type(value).__name__} is no type of BSON")


def _constant(kind: Kind) -> Callable[[Any], bytes]:
    encoded = bytes([kind])
    return lambda _: encoded


def _double(value: float) -> bytes:
    """Encode a double; negative numbers have their bits inverted, and NaN is before all."""
    if math.isnan(value):
        return _number(0, EXACT)
    [bits] = struct.unpack(">Q", struct.pack(">d", value or 0.0))  # -0.0 is 0.0
    return _number(bits ^ ALL if bits & SIGN else bits | SIGN, EXACT)


def _number(bits: int, rest: bytes) -> bytes:
    return struct.pack(">BQ", Kind.NUMBER, bits) + rest


def _integer(value: int) -> bytes:
    if -SMALL <= value <= SMALL:
        return _double(float(value))
    return _decimal(Decimal(int(value)))


def _decimal128(value: Decimal128) -> bytes:
    return _decimal(value.to_decimal())


def _decimal(value: Decimal) -> bytes:
    """Encode a number by the double nearest to it, and what it is more or less than that."""
    if value.is_nan():
        return _double(math.nan)
    if value.is_infinite():
        return _double(math.inf if value > 0 else -math.inf)
    nearest = min(max(float(value), -LARGEST), LARGEST)
    return _double(nearest)[:-1] + _rest(DECIMALS.subtract(value, Decimal(nearest)))


def _rest(value: Decimal) -> bytes:
    """Encode what a number is more (or, inverted, less) than its nearest double: power of ten, then digits."""
    if not value:
        return EXACT
    digits = "".join(map(str, value.as_tuple().digits)).rstrip("0").encode()
    size = struct.pack(">H", value.adjusted() + 0x8000) + digits + END
    return b"\x81" + size if value > 0 else b"\x7f" + invert(size)


def _text(value: str | bytes) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return (encoded.replace(b"\0", ZERO_IN_TEXT) if b"\0" in encoded else encoded) + END_OF_TEXT


def _string(value: str) -> bytes:
    return b"\x20" + _text(value)


def _document(value: Mapping[str, Any]) -> bytes:
    """Encode the fields in their order: the kind of each, then its name, then its value."""
    parts = [b"\x28"]
    for name, item in value.items():
        encoded = key(item)
        parts += (encoded[:1], _text(name), encoded[1:])
    return b"".join((*parts, END))


def _array(value: list) -> bytes:
    return b"".join((b"\x30", *map(key, value), END))


def _binary(value: bytes) -> bytes:
    subtype = value.subtype if isinstance(value, Binary) else 0
    return struct.pack(">BIB", Kind.BINARY, len(value), subtype) + value


def _object_id(value: ObjectId) -> bytes:
    return b"\x40" + value.binary


def _boolean(value: bool) -> bytes:
    return b"\x48\x01" if value else b"\x48\x00"


def _date(value: datetime | DatetimeMS) -> bytes:
    milliseconds = int(value if isinstance(value, DatetimeMS) else DatetimeMS(value))
    return struct.pack(">BQ", Kind.DATE, milliseconds + SIGN)


def _timestamp(value: Timestamp) -> bytes:
    return struct.pack(">BII", Kind.TIMESTAMP, value.time, value.inc)


def _regex(value: Regex | re.Pattern) -> bytes:
    flags = "".join(letter for flag, letter in FLAGS if value.flags & flag)
    return bytes([Kind.REGEX]) + _text(value.pattern) + _text(flags)


def _code(value: Code) -> bytes:
    if value.scope is None:
        return bytes([Kind.CODE]) + _text(str(value))
    return bytes([Kind.SCOPED_CODE]) + _text(str(value)) + _document(value.scope)


# every type of value that is decoded from BSON, or that a client of Python may hold
ENCODERS: dict[type, Callable[[Any], bytes]] = {
    MinKey: _constant(Kind.MIN_KEY),
    type(None): _constant(Kind.NULL),
    int: _integer,
    Int64: _integer,
    float: _double,
    Decimal128: _decimal128,
    str: _string,
    dict: _document,
    SON: _document,
    RawBSONDocument: _document,
    DBRef: lambda value: _document(value.as_doc()),
    list: _array,
    tuple: _array,
    bytes: _binary,
    Binary: _binary,
    UUID: lambda value: _binary(Binary.from_uuid(value)),
    ObjectId: _object_id,
    bool: _boolean,
    datetime: _date,
    DatetimeMS: _date,
    Timestamp: _timestamp,
    Regex: _regex,
    re.Pattern: _regex,
    Code: _code,
    MaxKey: _constant(Kind.MAX_KEY),
}
SUBCLASSES: tuple[tuple[type, Callable[[Any], bytes]], ...] = (
    (Mapping, _document),
    (Code, _code),
    *((base, ENCODERS[base]) for base in (bool, int, float, str, list, tuple, bytes, datetime, ObjectId)),
)
