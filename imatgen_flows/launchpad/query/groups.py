"""Accumulators: what `$group` and `$bucket` compute of the documents of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from imatgen_flows.launchpad.errors import (
    BAD_ACCUMULATOR,
    GROUP_NEEDS_ID,
    GROUP_NEEDS_OBJECT,
    NOT_IMPLEMENTED,
    UNKNOWN_ACCUMULATOR,
    CommandError,
)
from imatgen_flows.launchpad.ordering import key
from imatgen_flows.launchpad.query.documents import MISSING, Document, operator_of
from imatgen_flows.launchpad.query.expression_arithmetic import deviation, extreme, mean, total
from imatgen_flows.launchpad.query.expression_arrays import merged, unique
from imatgen_flows.launchpad.query.expression_control import chosen
from imatgen_flows.launchpad.query.expressions import Expression, Variables, compiled_expression
from imatgen_flows.launchpad.query.field_groups import can_group, group

Accumulate = Callable[[list[Any]], Any]  # of the values of an expression for the documents of a group


def _present(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if value is not MISSING]


def _or_null(value: Any) -> Any:
    return None if value is MISSING else value


ACCUMULATORS: dict[str, Accumulate] = {
    "$sum": total,
    "$avg": mean,
    "$min": lambda values: extreme(values, False),
    "$max": lambda values: extreme(values, True),
    "$first": lambda values: _or_null(values[0]),
    "$last": lambda values: _or_null(values[-1]),
    "$push": _present,
    "$addToSet": lambda values: unique(_present(values)),
    "$stdDevPop": lambda values: deviation(values, False),
    "$stdDevSamp": lambda values: deviation(values, True),
    "$mergeObjects": merged,
    "$count": len,
}
CHOOSING = ("$firstN", "$lastN", "$maxN", "$minN")
UNSUPPORTED_ACCUMULATORS = {"$accumulator", "$bottom", "$bottomN", "$median", "$percentile", "$top", "$topN"}


def _accumulator(field: str, value: Any) -> tuple[Expression, Accumulate]:
    """Compile one field of a group: the expression for each document, and what becomes of its values."""
    name = operator_of(value)
    if name is None or len(value) != 1:
        raise CommandError(BAD_ACCUMULATOR, f"The field '{field}' must be an accumulator object")
    operand = value[name]
    if name in UNSUPPORTED_ACCUMULATORS:
        raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no `{name}` in a group")
    if name in CHOOSING and isinstance(operand, dict) and set(operand) == {"input", "n"}:
        number = compiled_expression(operand["n"])(Variables.of({}))
        return compiled_expression(operand["input"]), lambda values: [
            _or_null(item) for item in chosen(name, values, number)
        ]
    if name not in ACCUMULATORS:
        raise CommandError(UNKNOWN_ACCUMULATOR, f"unknown group operator '{name}'")
    return compiled_expression(1 if name == "$count" else operand), ACCUMULATORS[name]


def compiled_group(specification: Any) -> Callable[[Iterable[Document]], list[Document]]:
    """Compile the stage `$group`.

    Raises
    ------
    CommandError
        Where it is malformed, or has an accumulator that is not supported.
    """
    if not isinstance(specification, dict):
        raise CommandError(GROUP_NEEDS_OBJECT, "a group's fields must be specified in an object")
    if "_id" not in specification:
        raise CommandError(GROUP_NEEDS_ID, "a group specification must include an _id")
    if can_group(specification):
        return lambda documents: group(documents, specification)
    identity = compiled_expression(specification["_id"])
    fields = {name: _accumulator(name, value) for name, value in specification.items() if name != "_id"}
    return lambda documents: grouped(documents, lambda document: identity(Variables.of(document)), fields)


def compiled_output(specification: Any) -> dict[str, tuple[Expression, Accumulate]]:
    """Compile the output of `$bucket`.

    Raises
    ------
    CommandError
        As `compiled_group`.
    """
    return {name: _accumulator(name, value) for name, value in specification.items()}


def grouped(
    documents: Iterable[Document],
    identity: Callable[[Document], Any],
    fields: dict[str, tuple[Expression, Accumulate]],
) -> list[Document]:
    """Group documents, in the order in which the groups are met."""
    groups: dict[bytes, tuple[Any, list[Document]]] = {}
    for document in documents:
        value = _or_null(identity(document))
        groups.setdefault(key(value), (value, []))[1].append(document)
    result = []
    for value, members in groups.values():
        found = [Variables.of(document) for document in members]
        computed = {name: combine([each(item) for item in found]) for name, (each, combine) in fields.items()}
        result.append({"_id": value, **computed})
    return result
