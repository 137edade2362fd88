"""`$group` by a field with the common accumulators, as the documents are read: none of them is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from bson.decimal128 import Decimal128
from bson.int64 import Int64

from imatgen_flows.launchpad.ordering import key
from imatgen_flows.launchpad.query.documents import Document

Accumulation = Callable[[Any, Any], Any]  # state of an accumulator and value to the next state

NUMBERS = {int, float, Int64, Decimal128}
SIMPLE = {int, float, str}  # compared as Python does, but for NaN
INT64 = range(-(2**63), 2**63)


def can_group(wanted: Document) -> bool:
    """Whether this module computes a `$group`: by a top-level field, with values of top-level fields."""
    by, fields = wanted["_id"], [value for name, value in wanted.items() if name != "_id"]
    return (by is None or _is_field(by)) and all(_can_accumulate(field) for field in fields)


def group(documents: Iterable[Document], stage: Document) -> list[Document]:
    """Compute a `$group` that `can_group` admits.

    Returns
    -------
    one document a group, in the order in which the groups appeared
    """
    by = stage["_id"][1:] if stage["_id"] else ""
    counted: dict[str, Any] = {}  # names with what is added for each document
    columns: list[tuple[str, str, Accumulation, Callable]] = []  # names with the field whose values are accumulated
    for name, accumulator in stage.items():
        if name != "_id":
            [(operator, value)] = accumulator.items()
            if isinstance(value, str):
                columns.append((name, value[1:], *ACCUMULATORS[operator]))
            else:
                counted[name] = value
    steps = [(position, field, step) for position, (_, field, step, _) in enumerate(columns)]
    groups: dict[Any, list[Any]] = {}  # value, number of documents, states of the accumulators
    for document in documents:
        value = document.get(by)
        identity = value if type(value) is str else key(value)  # of the other types, 1 and True are told apart
        found = groups.get(identity)
        if found is None:
            found = groups[identity] = [value, 0, [None] * len(columns)]
        found[1] += 1
        states = found[2]
        for position, field, step in steps:
            states[position] = step(states[position], document.get(field))
    rows = []
    for value, number, states in groups.values():
        results = {name: end(state) for (name, _, _, end), state in zip(columns, states, strict=True)}
        results |= {name: number * added for name, added in counted.items()}
        rows.append({name: value if name == "_id" else results[name] for name in stage})
    return rows


def _is_field(value: Any) -> bool:
    return isinstance(value, str) and len(value) > 1 and value[0] == "$" and not {"$", "."} & set(value[1:])


def _can_accumulate(field: Any) -> bool:
    if not isinstance(field, dict) or len(field) != 1:
        return False
    [(name, value)] = field.items()
    return name in ACCUMULATORS and (_is_field(value) or (name == "$sum" and type(value) in (int, float)))


def _add(state: Any, value: Any) -> Any:
    """Add a number; values that are none are left out."""
    kind = type(value)
    if kind not in NUMBERS:
        return state
    if kind is Decimal128 or type(state) is Decimal:
        value = value.to_decimal() if kind is Decimal128 else Decimal(value)
        return value if state is None else Decimal(state) + value
    if state is None:
        return value
    total = state + value
    return Int64(total) if type(total) is int and Int64 in (kind, type(state)) and total in INT64 else total


def _total(state: Any) -> Any:
    if isinstance(state, Decimal):
        return Decimal128(state)
    return float(state) if isinstance(state, int) and state not in INT64 else state or 0


def _add_to_mean(state: Any, value: Any) -> Any:
    if type(value) not in NUMBERS:
        return state
    return (_add(state and state[0], value), state[1] + 1 if state else 1)


def _mean(state: Any) -> Any:
    if state is None:
        return None
    return Decimal128(state[0] / state[1]) if isinstance(state[0], Decimal) else state[0] / state[1]


def _extreme(sign: int) -> Accumulation:
    def step(state: Any, value: Any) -> Any:
        if value is None or state is None:
            return state if value is None else value
        simple = type(value) in SIMPLE and type(value) is type(state) and value == value and state == state  # noqa: PLR0124
        if not simple:
            return value if (key(value) > key(state)) == (sign > 0) and key(value) != key(state) else state
        return (value if value > state else state) if sign > 0 else (value if value < state else state)

    return step


def _same(state: Any) -> Any:
    return state


ACCUMULATORS: dict[str, tuple[Accumulation, Callable[[Any], Any]]] = {
    "$sum": (_add, _total),
    "$avg": (_add_to_mean, _mean),
    "$min": (_extreme(-1), _same),
    "$max": (_extreme(1), _same),
}
