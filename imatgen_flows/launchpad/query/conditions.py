"""The operators that compare a value with an operand: `$eq`, `$gt`, `$type`, `$mod` and their like.

Each makes a test of one value; `filters` applies it to the values at a path, and to the elements of arrays among them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import datetime
from typing import Any

from bson import Int64, MaxKey, MinKey, ObjectId

from imatgen_flows.launchpad.errors import BAD_VALUE, CommandError
from imatgen_flows.launchpad.ordering import Kind, key
from imatgen_flows.launchpad.query import patterns
from imatgen_flows.launchpad.query.documents import MISSING, NUMBERS, TYPES, is_number, type_name
from imatgen_flows.launchpad.query.numbers import as_float, as_whole

Test = Callable[[Any], bool]

FAST_NUMBERS = {int, float, Int64}
PLAIN = {str, ObjectId, datetime}  # types of which a value equals no value of another type
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def equals(wanted: Any) -> Test:
    """Test whether a value equals another; null equals a missing one too."""
    kind = type(wanted)
    if wanted is None:
        return lambda value: value is None or value is MISSING
    if kind in PLAIN:
        return lambda value: type(value) is kind and value == wanted
    if kind is bool:
        return lambda value: value is wanted
    encoded = key(wanted)
    if kind in FAST_NUMBERS and not math.isnan(wanted):
        return lambda value: (
            value == wanted if type(value) in FAST_NUMBERS else is_number(value) and key(value) == encoded
        )
    return lambda value: value is not MISSING and key(value) == encoded


def matches_value(wanted: Any) -> Test:
    """Test whether a value equals another, or matches it where that one is a regular expression."""
    return regex(wanted) if patterns.is_pattern(wanted) else equals(wanted)


def regex(wanted: Any, options: str | None = None) -> Test:
    """Test whether a string matches a regular expression, or a value is the same regular expression."""
    search = patterns.of_value(wanted, options).search
    itself = key(wanted) if patterns.is_pattern(wanted) else None

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return search(value) is not None
        return itself is not None and patterns.is_pattern(value) and key(value) == itself

    return test


def compare(name: str, wanted: Any) -> Test:
    """Test the order of a value and another one of its kind."""
    decide = ORDERS[name]
    kind, equal = type(wanted), name in ("$gte", "$lte")
    if patterns.is_pattern(wanted):
        raise CommandError(BAD_VALUE, f"Can't have RegEx as arg to predicate over field '{name}'.")
    if wanted is None or (is_number(wanted) and math.isnan(as_float(wanted))):
        return equals(wanted) if equal else lambda _: False
    simple: set[type] = {kind} if kind in (str, ObjectId) else set()
    fast = FAST_NUMBERS if kind in FAST_NUMBERS else simple
    encoded = key(wanted)
    bracket = encoded[0]
    everything = isinstance(wanted, MinKey | MaxKey)
    nan = key(math.nan)

    def test(value: Any) -> bool:
        if type(value) in fast:
            return decide(value, wanted)
        if value is MISSING:
            return False
        found = key(value)
        return (found[0] == bracket or everything) and found != nan and decide(found, encoded)

    return test


def one_of(wanted: Any) -> Test:
    """Test whether a value equals one of a list, or matches a regular expression in it."""
    if not isinstance(wanted, list):
        raise CommandError(BAD_VALUE, "$in needs an array")
    if any(isinstance(item, dict) and next(iter(item), "").startswith("$") for item in wanted):
        raise CommandError(BAD_VALUE, "cannot nest $ under $in")
    searches = [regex(item) for item in wanted if patterns.is_pattern(item)]
    others = [item for item in wanted if not patterns.is_pattern(item)]
    null = None in others
    strings = {item for item in others if type(item) is str}
    keys = {key(item) for item in others}

    def test(value: Any) -> bool:
        if value is MISSING:
            return null
        if type(value) is str:
            return value in strings or any(search(value) for search in searches)
        return key(value) in keys or any(search(value) for search in searches)

    return test


def has_type(wanted: Any) -> Test:
    """Test whether a value has one of some types, each given by its number or its name."""
    names: set[str] = set()
    for item in wanted if isinstance(wanted, list) else [wanted]:
        if isinstance(item, str):
            if item != "number" and item not in TYPES.values():
                raise CommandError(BAD_VALUE, f"Unknown type name alias: {item}")
            names.update(NUMBERS if item == "number" else [item])
        elif as_whole(item) in TYPES:
            names.add(TYPES[as_whole(item) or 0])
        else:
            raise CommandError(BAD_VALUE, f"Invalid numerical type code: {item}")
    return lambda value: type_name(value) in names


def modulo(wanted: Any) -> Test:
    """Test the remainder of a number, whose fraction is cut off, after a division."""
    if not isinstance(wanted, list):
        raise CommandError(BAD_VALUE, "malformed mod, needs to be an array")
    if len(wanted) != 2:
        raise CommandError(BAD_VALUE, f"malformed mod, {'not enough' if len(wanted) < 2 else 'too many'} elements")
    if not all(is_number(item) and math.isfinite(as_float(item)) for item in wanted):
        raise CommandError(BAD_VALUE, "malformed mod, divisor and remainder must be numbers")
    divisor, remainder = (int(as_float(item)) if not isinstance(item, int) else int(item) for item in wanted)
    if divisor == 0:
        raise CommandError(BAD_VALUE, "divisor cannot be 0")

    def test(value: Any) -> bool:
        if not is_number(value) or not math.isfinite(as_float(value)):
            return False
        number = int(value) if isinstance(value, int) else int(as_float(value))
        return abs(number) % abs(divisor) * (-1 if number < 0 else 1) == remainder

    return test


def bits(name: str, wanted: Any) -> Test:
    """Test the bits of a whole number or of binary data, at positions or in a mask."""
    if isinstance(wanted, list):
        positions = [as_whole(item) for item in wanted]
        if any(item is None or item < 0 for item in positions):
            raise CommandError(BAD_VALUE, f"bit positions of {name} must be integers >= 0")
        mask = sum(1 << item for item in set(positions) if item is not None)
    elif isinstance(wanted, bytes):
        mask = int.from_bytes(wanted, "little")
    else:
        whole = as_whole(wanted)
        if whole is None or whole < 0:
            raise CommandError(BAD_VALUE, f"{name} takes an Array, a number, or a BinData but received: {wanted!r}")
        mask = whole
    decide: dict[str, Test] = {
        "$bitsAllSet": lambda held: held & mask == mask,
        "$bitsAllClear": lambda held: held & mask == 0,
        "$bitsAnySet": lambda held: held & mask != 0,
        "$bitsAnyClear": lambda held: held & mask != mask,
    }

    def test(value: Any) -> bool:
        held = int.from_bytes(value, "little") if isinstance(value, bytes) else as_whole(value)
        return held is not None and decide[name](held)

    return test


def is_array(value: Any) -> bool:
    """Whether a value is an array."""
    return value is not MISSING and key(value)[0] == Kind.ARRAY
