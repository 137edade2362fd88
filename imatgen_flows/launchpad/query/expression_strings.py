"""Operators of expressions on strings."""

from __future__ import annotations

import re
from typing import Any

from imatgen_flows.launchpad.errors import BAD_VALUE, CONCATENATES_STRINGS, NO_STRING, CommandError
from imatgen_flows.launchpad.query import patterns
from imatgen_flows.launchpad.query.documents import Document, is_date, is_number, type_name
from imatgen_flows.launchpad.query.expression_arrays import whole_number
from imatgen_flows.launchpad.query.expression_dates import iso
from imatgen_flows.launchpad.query.expression_operators import MANY, Form, Plain, is_null, or_null, with_names
from imatgen_flows.launchpad.query.expression_types import number_text


def string(name: str, value: Any, code: int = NO_STRING) -> str:
    """Return a value that must be a string.

    Raises
    ------
    CommandError
        Where it is not; the message names the operator.
    """
    if not isinstance(value, str):
        raise CommandError(code, f"{name} requires a string, found: {type_name(value)}")
    return value


def _text(name: str, value: Any) -> str:
    """Return the string for a value that counts as one: null is empty, numbers and dates are written out."""
    if is_null(value):
        return ""
    if is_number(value):
        return number_text(value)
    return iso(value) if is_date(value) else string(name, value)


@or_null
def _concatenate(*parts: Any) -> str:
    for part in parts:
        if not isinstance(part, str):
            raise CommandError(CONCATENATES_STRINGS, f"$concat only supports strings, not {type_name(part)}")
    return "".join(parts)


def _part_of_bytes(value: Any, start: Any, length: Any) -> str:
    encoded = _text("$substrBytes", value).encode()
    begin, number = whole_number("$substrBytes", start), whole_number("$substrBytes", length)
    if begin < 0:
        raise CommandError(BAD_VALUE, f"$substrBytes: starting index must be non-negative (got: {begin})")
    try:
        return encoded[begin : None if number < 0 else begin + number].decode()
    except UnicodeDecodeError as error:
        raise CommandError(BAD_VALUE, "$substrBytes: the range begins or ends within a UTF-8 character") from error


def _part(value: Any, start: Any, length: Any) -> str:
    begin, number = whole_number("$substrCP", start), whole_number("$substrCP", length)
    if begin < 0 or number < 0:
        raise CommandError(BAD_VALUE, "$substrCP: start and length must be non-negative")
    return _text("$substrCP", value)[begin : begin + number]


def _index(name: str, encode: bool) -> Plain:
    def evaluate(value: Any, wanted: Any, start: Any = 0, end: Any = None) -> Any:
        if is_null(value):
            return None
        text, part = string(name, value), string(name, wanted)
        begin, last = whole_number(name, start), None if end is None else whole_number(name, end)
        if encode:
            return text.encode().find(part.encode(), begin, last)
        return text.find(part, begin, last)

    return Plain(evaluate, 2, 4)


@or_null
def _split(value: Any, separator: Any) -> list[str]:
    if not string("$split", separator):
        raise CommandError(BAD_VALUE, "$split requires a non-empty separator")
    return string("$split", value).split(separator)


def _compare(first: Any, second: Any) -> int:
    left, right = _text("$strcasecmp", first).upper(), _text("$strcasecmp", second).upper()
    return (left > right) - (left < right)


OPERATORS = {
    "$concat": Plain(_concatenate, 0, MANY),
    "$substr": Plain(_part_of_bytes, 3, 3),
    "$substrBytes": Plain(_part_of_bytes, 3, 3),
    "$substrCP": Plain(_part, 3, 3),
    "$indexOfBytes": _index("$indexOfBytes", True),
    "$indexOfCP": _index("$indexOfCP", False),
    "$split": Plain(_split, 2, 2),
    "$strcasecmp": Plain(_compare, 2, 2),
    "$strLenBytes": Plain(lambda value: len(string("$strLenBytes", value).encode())),
    "$strLenCP": Plain(lambda value: len(string("$strLenCP", value))),
    "$toLower": Plain(lambda value: _text("$toLower", value).lower()),
    "$toUpper": Plain(lambda value: _text("$toUpper", value).upper()),
}


# operators with named arguments


def _trim(name: str, left: bool, right: bool) -> Form:
    def evaluate(input: Any, chars: Any = None) -> Any:  # noqa: A002 (MongoDB's name of the argument)
        if is_null(input):
            return None
        text, letters = string(name, input), None if is_null(chars) else string(name, chars)
        text = text.lstrip(letters) if left else text
        return text.rstrip(letters) if right else text

    return with_names(name, evaluate, ("input",), ("chars",))


def _replace(name: str, count: int) -> Form:
    def evaluate(input: Any, find: Any, replacement: Any) -> Any:  # noqa: A002 (MongoDB's name of the argument)
        if any(is_null(value) for value in (input, find, replacement)):
            return None
        return string(name, input).replace(string(name, find), string(name, replacement), count)

    return with_names(name, evaluate, ("input", "find", "replacement"))


def _search(name: str) -> Form:
    """Make `$regexMatch`, `$regexFind` or `$regexFindAll`."""

    def evaluate(input: Any, regex: Any, options: Any = None) -> Any:  # noqa: A002 (MongoDB's name of the argument)
        if is_null(input) or is_null(regex):
            return {"$regexMatch": False, "$regexFind": None}.get(name, [])
        found = patterns.of_value(regex, None if is_null(options) else options).finditer(string(name, input))
        if name == "$regexFindAll":
            return [_described(item) for item in found]
        first = next(found, None)
        return first is not None if name == "$regexMatch" else first and _described(first)

    return with_names(name, evaluate, ("input", "regex"), ("options",))


def _described(found: re.Match[str]) -> Document:
    return {"match": found[0], "idx": found.start(), "captures": list(found.groups())}


FORMS: dict[str, Form] = {
    "$trim": _trim("$trim", True, True),
    "$ltrim": _trim("$ltrim", True, False),
    "$rtrim": _trim("$rtrim", False, True),
    "$replaceOne": _replace("$replaceOne", 1),
    "$replaceAll": _replace("$replaceAll", -1),
    **{name: _search(name) for name in ("$regexMatch", "$regexFind", "$regexFindAll")},
}
