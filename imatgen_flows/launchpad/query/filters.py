"""Filters: which documents match a query."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from imatgen_flows.launchpad.errors import BAD_VALUE, NOT_IMPLEMENTED, CommandError
from imatgen_flows.launchpad.query import conditions
from imatgen_flows.launchpad.query.conditions import Test
from imatgen_flows.launchpad.query.documents import MISSING, Document, is_true, operator_of
from imatgen_flows.launchpad.query.expressions import Variables, compiled_expression
from imatgen_flows.launchpad.query.numbers import as_whole
from imatgen_flows.launchpad.query.paths import leaves

Predicate = Callable[[Document], bool]
Condition = Callable[[Sequence[Any]], bool]  # of the values at a path, with arrays whole

UNSUPPORTED_CONDITIONS = {
    "$geoIntersects",
    "$geoWithin",
    "$near",
    "$nearSphere",
    "$within",
    "$geoNear",
    "$maxDistance",
    "$minDistance",
}
UNSUPPORTED_QUERIES = {"$where", "$text", "$jsonSchema", "$sampleRate"}


def compiled(query: Document) -> Predicate:
    """Return the function that says whether a document matches a filter.

    Raises
    ------
    CommandError
        Where the filter is malformed, or has an operator that is not supported.
    """
    tests = list(_tests(query))
    if len(tests) == 1:
        return tests[0]
    return lambda document: all(test(document) for test in tests)


def matches(query: Document, document: Document) -> bool:
    """Whether a document matches a filter."""
    return compiled(query)(document)


def _tests(query: Document) -> Iterator[Predicate]:
    for name, value in query.items():
        if name in LOGICAL:
            yield LOGICAL[name](_branches(name, value))
        elif name == "$expr":
            yield _expression(value)
        elif name == "$comment":
            continue
        elif name in UNSUPPORTED_QUERIES:
            raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no `{name}`")
        elif name.startswith("$"):
            raise CommandError(BAD_VALUE, f"unknown top level operator: {name}")
        else:
            yield _field(name, list(field_conditions(value)))


def _expression(value: Any) -> Predicate:
    evaluate = compiled_expression(value)
    return lambda document: is_true(evaluate(Variables.of(document)))


def _branches(name: str, value: Any) -> list[Predicate]:
    if not isinstance(value, list) or not value:
        raise CommandError(BAD_VALUE, f"{name} must be a nonempty array")
    if not all(isinstance(part, dict) for part in value):
        raise CommandError(BAD_VALUE, f"{name} entries need to be full objects")
    return [compiled(part) for part in value]


def _any(tests: list[Predicate]) -> Predicate:
    return lambda document: any(test(document) for test in tests)


def _all(tests: list[Predicate]) -> Predicate:
    return lambda document: all(test(document) for test in tests)


def _none(tests: list[Predicate]) -> Predicate:
    return lambda document: not any(test(document) for test in tests)


LOGICAL: dict[str, Callable[[list[Predicate]], Predicate]] = {"$and": _all, "$or": _any, "$nor": _none}


def _field(path: str, wanted: list[Condition]) -> Predicate:
    """Apply conditions to the values at a path."""
    parts = path.split(".")
    condition = wanted[0] if len(wanted) == 1 else lambda found: all(condition(found) for condition in wanted)
    if len(parts) == 1:
        return lambda document: condition((document.get(path, MISSING),))
    return lambda document: condition(tuple(leaves(document, parts)))


def expanding(test: Test) -> Condition:
    """Apply a test to each value and to the elements of arrays among them."""

    def condition(found: Sequence[Any]) -> bool:
        for value in found:
            if type(value) is list:
                for item in value:
                    if test(item):
                        return True
            if test(value):
                return True
        return False

    return condition


def field_conditions(value: Any) -> Iterator[Condition]:
    """Return what a filter demands of a field: the operators in a document, or equality with a value.

    Raises
    ------
    CommandError
        As `compiled`.
    """
    if operator_of(value) is None:
        yield expanding(conditions.matches_value(value))
        return
    for name, operand in value.items():
        if name == "$options":
            if "$regex" not in value:
                raise CommandError(BAD_VALUE, "$options needs a $regex")
        elif name == "$regex":
            yield expanding(conditions.regex(operand, value.get("$options")))
        elif name in CONDITIONS:
            yield CONDITIONS[name](operand)
        elif name in UNSUPPORTED_CONDITIONS:
            raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no `{name}`")
        else:
            raise CommandError(BAD_VALUE, f"unknown operator: {name}")


def _opposite(condition: Condition) -> Condition:
    return lambda found: not condition(found)


def _equal(operand: Any) -> Condition:
    return expanding(conditions.equals(operand))


def _unequal(operand: Any) -> Condition:
    if conditions.patterns.is_pattern(operand):
        raise CommandError(BAD_VALUE, "Can't have regex as arg to $ne.")
    return _opposite(_equal(operand))


def _not(operand: Any) -> Condition:
    if conditions.patterns.is_pattern(operand):
        return _opposite(expanding(conditions.regex(operand)))
    if not isinstance(operand, dict):
        raise CommandError(BAD_VALUE, "$not needs a regex or a document")
    if not operand:
        raise CommandError(BAD_VALUE, "$not cannot be empty")
    if operator_of(operand) is None:
        raise CommandError(BAD_VALUE, f"unknown operator: {next(iter(operand))}")
    wanted = list(field_conditions(operand))
    return lambda found: not all(condition(found) for condition in wanted)


def _exists(operand: Any) -> Condition:
    wanted = is_true(operand)
    return lambda found: any(value is not MISSING for value in found) is wanted


def _size(operand: Any) -> Condition:
    size = as_whole(operand)
    if size is None or size < 0:
        raise CommandError(BAD_VALUE, f"Failed to parse $size. Expected a non-negative integer in: $size: {operand!r}")
    return lambda found: any(type(value) is list and len(value) == size for value in found)


def _all_of(operand: Any) -> Condition:
    if not isinstance(operand, list):
        raise CommandError(BAD_VALUE, "$all needs an array")
    wanted = [_element_of_all(item) for item in operand]
    return lambda found: bool(wanted) and all(condition(found) for condition in wanted)


def _element_of_all(item: Any) -> Condition:
    name = operator_of(item)
    if name == "$elemMatch":
        return _element(item["$elemMatch"])
    if name:
        raise CommandError(BAD_VALUE, f"no $ expressions in $all, here {name}")
    return expanding(conditions.matches_value(item))


def element_test(operand: Any) -> Test:
    """Return the test that `$elemMatch` applies to each element of an array.

    Raises
    ------
    CommandError
        Where the operand is no document.
    """
    if not isinstance(operand, dict):
        raise CommandError(BAD_VALUE, "$elemMatch needs an Object")
    name = operator_of(operand)
    if name and name not in LOGICAL and name not in UNSUPPORTED_QUERIES and name not in ("$expr", "$comment"):
        wanted = list(field_conditions(operand))
        return lambda item: all(condition((item,)) for condition in wanted)
    predicate = compiled(operand)

    def test(item: Any) -> bool:
        if isinstance(item, list):
            return predicate({str(position): value for position, value in enumerate(item)})
        return isinstance(item, dict) and predicate(item)

    return test


def _element(operand: Any) -> Condition:
    test = element_test(operand)
    return lambda found: any(type(value) is list and any(map(test, value)) for value in found)


def _compared(name: str) -> Callable[[Any], Condition]:
    return lambda operand: expanding(conditions.compare(name, operand))


def _bits(name: str) -> Callable[[Any], Condition]:
    return lambda operand: expanding(conditions.bits(name, operand))


CONDITIONS: dict[str, Callable[[Any], Condition]] = {
    "$eq": _equal,
    "$ne": _unequal,
    **{name: _compared(name) for name in conditions.ORDERS},
    "$in": lambda operand: expanding(conditions.one_of(operand)),
    "$nin": lambda operand: _opposite(expanding(conditions.one_of(operand))),  # codespell:ignore nin
    "$not": _not,
    "$exists": _exists,
    "$type": lambda operand: expanding(conditions.has_type(operand)),
    "$mod": lambda operand: expanding(conditions.modulo(operand)),
    "$size": _size,
    "$all": _all_of,
    "$elemMatch": _element,
    **{name: _bits(name) for name in ("$bitsAllClear", "$bitsAllSet", "$bitsAnyClear", "$bitsAnySet")},
}


def array_positions(query: Document, document: Document) -> dict[str, int]:
    """Return the element of each array that a filter found, by the path of the array: what `$` stands for.

    Where several conditions concern one array, the last one counts.
    """
    positions: dict[str, int] = {}
    for name, value in query.items():
        if name == "$and":
            for part in value:
                positions |= array_positions(part, document)
        elif name == "$or":
            branch: Document = next((part for part in value if matches(part, document)), {})
            positions |= array_positions(branch, document)
        elif not name.startswith("$"):
            positions |= _positions_of_field(name, value, document)
    return positions


def _positions_of_field(path: str, value: Any, document: Document) -> dict[str, int]:
    if operator_of(value) == "$all":
        return {key: item for part in value["$all"] for key, item in _positions_of_field(path, part, document).items()}
    parts = path.split(".")
    for end in range(1, len(parts) + 1):
        found: list[Any] = list(leaves(document, parts[:end]))
        if len(found) == 1 and isinstance(found[0], list):
            predicate = compiled({".".join(["x", *parts[end:]]): value})
            for position, item in enumerate(found[0]):
                if predicate({"x": [item]}):
                    return {".".join(parts[:end]): position}
    return {}
