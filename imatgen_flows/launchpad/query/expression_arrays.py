"""Operators of expressions on arrays, sets and documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from imatgen_flows.launchpad.errors import (
    BAD_ARGUMENTS,
    BAD_VALUE,
    CONCATENATES_ARRAYS,
    IN_NEEDS_ARRAY,
    MERGES_OBJECTS,
    NO_ARRAY,
    NOT_SET,
    SIZE_NEEDS_ARRAY,
    TYPE_MISMATCH,
    CommandError,
)
from imatgen_flows.launchpad.ordering import key
from imatgen_flows.launchpad.query.documents import MISSING, Document, is_true, type_name
from imatgen_flows.launchpad.query.expression_operators import MANY, Plain, comparable, is_null, or_null
from imatgen_flows.launchpad.query.numbers import as_whole


def array(name: str, value: Any, code: int = NO_ARRAY) -> list:
    """Return a value that must be an array.

    Raises
    ------
    CommandError
        Where it is not; the message names the operator.
    """
    if not isinstance(value, list):
        raise CommandError(code, f"The argument to {name} must be an array, but was of type: {type_name(value)}")
    return value


def whole_number(name: str, value: Any) -> int:
    """Return a value that must be a whole number.

    Raises
    ------
    CommandError
        Where it is not; the message names the operator.
    """
    number = as_whole(value)
    if number is None:
        raise CommandError(BAD_VALUE, f"{name} takes a whole number, not {value!r} of type {type_name(value)}")
    return number


def unique(values: Iterable[Any]) -> list[Any]:
    """Return values without repetitions."""
    return list({key(value): value for value in reversed(list(values))}.values())[::-1]


@or_null
def _element_at(values: Any, position: Any) -> Any:
    items, index = array("$arrayElemAt", values), whole_number("$arrayElemAt", position)
    return items[index] if -len(items) <= index < len(items) else MISSING


def _end(name: str, index: int) -> Plain:
    @or_null
    def evaluate(values: Any) -> Any:
        items = array(name, values)
        return items[index] if items else MISSING

    return Plain(evaluate)


@or_null
def _concatenate(*arrays: Any) -> Any:
    return [item for part in arrays for item in array("$concatArrays", part, CONCATENATES_ARRAYS)]


def _in(value: Any, values: Any) -> bool:
    wanted = comparable(value)
    return any(comparable(item) == wanted for item in array("$in", values, IN_NEEDS_ARRAY))


def _index_of(values: Any, wanted: Any, start: Any = 0, end: Any = None) -> Any:
    if is_null(values):
        return None
    items = array("$indexOfArray", values)
    last = len(items) if end is None else min(len(items), whole_number("$indexOfArray", end))
    positions = range(whole_number("$indexOfArray", start), last)
    return next((position for position in positions if comparable(items[position]) == comparable(wanted)), -1)


def _range(start: Any, end: Any, step: Any = 1) -> list[int]:
    if whole_number("$range", step) == 0:
        raise CommandError(BAD_VALUE, "$range requires a non-zero step value")
    return list(range(whole_number("$range", start), whole_number("$range", end), whole_number("$range", step)))


@or_null
def _slice(values: Any, first: Any, second: Any = None) -> Any:
    items, start = array("$slice", values), whole_number("$slice", first)
    if second is None:
        return items[:start] if start >= 0 else items[start:]
    number = whole_number("$slice", second)
    if number <= 0:
        raise CommandError(BAD_VALUE, f"Third argument to $slice must be positive: {number}")
    begin = start if start >= 0 else max(0, len(items) + start)
    return items[begin : begin + number]


def _sliced(values: Any, *numbers: Any) -> Any:
    return None if any(number is None for number in numbers) else _slice(values, *numbers)


# documents


def merged(documents: Iterable[Any]) -> Document:
    """Merge documents, the later ones over the earlier; null counts as none.

    Raises
    ------
    CommandError
        Where one is no document.
    """
    result: Document = {}
    for item in documents:
        if is_null(item):
            continue
        if not isinstance(item, dict):
            raise CommandError(
                MERGES_OBJECTS, f"$mergeObjects requires object inputs, but input {item!r} is of type {type_name(item)}"
            )
        result.update(item)
    return result


def _merge(*documents: Any) -> Document:
    first = documents[0]
    return merged(first if len(documents) == 1 and isinstance(first, list) else documents)


@or_null
def _object_to_array(value: Any) -> list[Document]:
    if not isinstance(value, dict):
        raise CommandError(TYPE_MISMATCH, f"$objectToArray requires a document input, found: {type_name(value)}")
    return [{"k": name, "v": item} for name, item in value.items()]


@or_null
def _array_to_object(values: Any) -> Document:
    result: Document = {}
    for item in array("$arrayToObject", values):
        pair = [item.get("k"), item.get("v", MISSING)] if isinstance(item, dict) else item
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str) or pair[1] is MISSING:
            raise CommandError(BAD_VALUE, "$arrayToObject takes pairs [k, v], or documents with fields k and v")
        result[pair[0]] = pair[1]
    return result


# sets


def _as_set(name: str, value: Any) -> dict[bytes, Any]:
    return {key(item): item for item in array(name, value, NOT_SET)}


@or_null
def _union(*sets: Any) -> list:
    return unique(item for part in sets for item in array("$setUnion", part, NOT_SET))


@or_null
def _intersection(*sets: Any) -> list:
    if not sets:
        return []
    others = [_as_set("$setIntersection", part) for part in sets]
    return [item for known, item in others[0].items() if all(known in other for other in others)]


@or_null
def _difference(first: Any, second: Any) -> list:
    unwanted = _as_set("$setDifference", second)
    return [item for known, item in _as_set("$setDifference", first).items() if known not in unwanted]


def _equal_sets(*sets: Any) -> bool:
    if len(sets) < 2:
        raise CommandError(BAD_ARGUMENTS, "$setEquals needs at least two arguments")
    return len({frozenset(_as_set("$setEquals", part)) for part in sets}) == 1


def _is_subset(first: Any, second: Any) -> bool:
    return set(_as_set("$setIsSubset", first)) <= set(_as_set("$setIsSubset", second))


def _elements(decide: Callable[[Iterable[bool]], bool], name: str) -> Plain:
    return Plain(lambda values: decide(map(is_true, array(name, values, NOT_SET))))


OPERATORS = {
    "$arrayElemAt": Plain(_element_at, 2, 2),
    "$first": _end("$first", 0),
    "$last": _end("$last", -1),
    "$concatArrays": Plain(_concatenate, 0, MANY),
    "$in": Plain(_in, 2, 2),
    "$indexOfArray": Plain(_index_of, 2, 4),
    "$isArray": Plain(lambda value: isinstance(value, list)),
    "$range": Plain(_range, 2, 3),
    "$reverseArray": Plain(or_null(lambda values: array("$reverseArray", values)[::-1])),
    "$size": Plain(lambda values: len(array("$size", values, SIZE_NEEDS_ARRAY))),
    "$slice": Plain(_sliced, 2, 3),
    "$mergeObjects": Plain(_merge, 1, MANY),
    "$objectToArray": Plain(_object_to_array),
    "$arrayToObject": Plain(_array_to_object),
    "$setUnion": Plain(_union, 0, MANY),
    "$setIntersection": Plain(_intersection, 0, MANY),
    "$setDifference": Plain(_difference, 2, 2),
    "$setEquals": Plain(_equal_sets, 2, MANY),
    "$setIsSubset": Plain(_is_subset, 2, 2),
    "$allElementsTrue": _elements(all, "$allElementsTrue"),
    "$anyElementTrue": _elements(any, "$anyElementTrue"),
}
