"""The operators of updates: what each does to the value at its target."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bson import Timestamp

from imatgen_flows.launchpad.errors import BAD_VALUE, FAILED_TO_PARSE, TYPE_MISMATCH, CommandError
from imatgen_flows.launchpad.ordering import key
from imatgen_flows.launchpad.query.conditions import matches_value
from imatgen_flows.launchpad.query.documents import MISSING, Document, is_number, operator_of, type_name
from imatgen_flows.launchpad.query.filters import element_test, field_conditions
from imatgen_flows.launchpad.query.numbers import as_whole, combined, is_long, is_too_long, whole
from imatgen_flows.launchpad.query.sorting import sorted_array

UNCHANGED: Any = object()
PUSH_CLAUSES = ("$each", "$position", "$slice", "$sort")

# of the value that is there (or MISSING), the operand and the path: the new value, MISSING to remove it, or UNCHANGED
Change = Callable[[Any, Any, str], Any]


def _set(_old: Any, operand: Any, _path: str) -> Any:
    return operand


def _arithmetic(name: str, verb: str, operation: Callable[[Any, Any], Any]) -> Change:
    def change(old: Any, operand: Any, path: str) -> Any:
        if not is_number(operand):
            raise CommandError(TYPE_MISMATCH, f"Cannot {verb} with non-numeric argument: {{{path}: {operand!r}}}")
        if old is MISSING:
            return operand if name == "$inc" else combined(operator.mul, operand, 0)
        if not is_number(old):
            raise CommandError(
                TYPE_MISMATCH,
                f"Cannot apply {name} to a value of non-numeric type: the field '{path}' has type {type_name(old)}",
            )
        new = combined(operation, old, operand)
        if is_too_long(new):
            raise CommandError(BAD_VALUE, f"Failed to apply {name} operations to current value {old!r} of '{path}'")
        return new

    return change


def _extreme(better: Callable[[bytes, bytes], bool]) -> Change:
    def change(old: Any, operand: Any, _path: str) -> Any:
        return operand if old is MISSING or better(key(operand), key(old)) else UNCHANGED

    return change


def _unset(old: Any, _operand: Any, _path: str) -> Any:
    return UNCHANGED if old is MISSING else MISSING


def _current_date(_old: Any, operand: Any, path: str) -> Any:
    now = datetime.now(UTC)
    if operand == {"$type": "timestamp"}:
        return Timestamp(int(now.timestamp()), 1)
    if isinstance(operand, bool) or operand == {"$type": "date"}:
        return now.replace(tzinfo=None, microsecond=now.microsecond // 1000 * 1000)
    raise CommandError(
        BAD_VALUE, f"$currentDate of '{path}' takes true, {{$type: 'date'}} or {{$type: 'timestamp'}}, not {operand!r}"
    )


def _push(old: Any, operand: Any, path: str) -> Any:
    clauses: Document = operand if isinstance(operand, dict) and "$each" in operand else {"$each": [operand]}
    unknown = [name for name in clauses if name not in PUSH_CLAUSES]
    if unknown:
        raise CommandError(BAD_VALUE, f"Unrecognized clause in $push: {unknown[0]}")
    added = _each("$push", clauses["$each"])
    if old is not MISSING and not isinstance(old, list):
        raise CommandError(BAD_VALUE, f"The field '{path}' must be an array but is of type {type_name(old)}")
    array = [] if old is MISSING else list(old)
    position = _clause(clauses, "$position", len(array))
    array[position:position] = added
    if "$sort" in clauses:
        array = sorted_array(array, clauses["$sort"])
    size = _clause(clauses, "$slice", len(array))
    return array[:size] if size >= 0 else array[size:]


def _each(name: str, values: Any) -> list:
    if not isinstance(values, list):
        raise CommandError(
            BAD_VALUE, f"The argument to $each in {name} must be an array but it was of type: {type_name(values)}"
        )
    return values


def _clause(clauses: Document, name: str, default: int) -> int:
    if name not in clauses:
        return default
    value = as_whole(clauses[name])
    if value is None:
        raise CommandError(BAD_VALUE, f"The value for {name} must be an integer value, not {clauses[name]!r}")
    return value


def _add_to_set(old: Any, operand: Any, path: str) -> Any:
    each = isinstance(operand, dict) and "$each" in operand
    if each and len(operand) > 1:
        raise CommandError(BAD_VALUE, f"Found unexpected fields after $each in $addToSet: {operand!r}")
    added = _each("$addToSet", operand["$each"]) if each else [operand]
    if old is not MISSING and not isinstance(old, list):
        raise CommandError(
            BAD_VALUE,
            f"Cannot apply $addToSet to non-array field. Field named '{path}' has non-array type {type_name(old)}",
        )
    array = [] if old is MISSING else list(old)
    held = set(map(key, array))
    for item in added:
        encoded = key(item)
        if encoded not in held:
            held.add(encoded)
            array.append(item)
    return array


def _pop(old: Any, operand: Any, path: str) -> Any:
    if as_whole(operand) not in (1, -1):
        raise CommandError(FAILED_TO_PARSE, f"$pop expects 1 or -1, found: {operand!r}")
    if old is MISSING:
        return UNCHANGED
    if not isinstance(old, list):
        raise CommandError(TYPE_MISMATCH, f"Path '{path}' contains an element of non-array type '{type_name(old)}'")
    return old[:-1] if as_whole(operand) == 1 else old[1:]


def _pull(old: Any, operand: Any, _path: str) -> Any:
    name = operator_of(operand)
    if name and name not in ("$and", "$or", "$nor"):
        wanted = list(field_conditions(operand))
        return _without("$pull", old, lambda item: all(condition((item,)) for condition in wanted))
    if isinstance(operand, dict):
        test = element_test(operand)
        return _without("$pull", old, lambda item: isinstance(item, dict) and test(item))
    return _without("$pull", old, matches_value(operand))


def _pull_all(old: Any, operand: Any, _path: str) -> Any:
    if not isinstance(operand, list):
        raise CommandError(BAD_VALUE, f"$pullAll requires an array argument but was given a {type_name(operand)}")
    unwanted = set(map(key, operand))
    return _without("$pullAll", old, lambda item: key(item) in unwanted)


def _without(name: str, old: Any, unwanted: Callable[[Any], bool]) -> Any:
    if old is MISSING:
        return UNCHANGED
    if not isinstance(old, list):
        raise CommandError(BAD_VALUE, f"Cannot apply {name} to a non-array value")
    return [item for item in old if not unwanted(item)]


def _bit(old: Any, operand: Any, path: str) -> Any:
    operations: dict[str, Callable[[int, int], int]] = {"and": operator.and_, "or": operator.or_, "xor": operator.xor}
    if not isinstance(operand, dict) or not operand or not set(operand) <= set(operations):
        raise CommandError(BAD_VALUE, f"$bit of '{path}' takes the operations 'and', 'or' and 'xor', not {operand!r}")
    result = 0 if old is MISSING else old
    for name, bits in operand.items():
        if isinstance(bits, bool) or not isinstance(bits, int):
            raise CommandError(BAD_VALUE, f"The $bit modifier field must be an Integer(32/64 bit), not {bits!r}")
        if isinstance(result, bool) or not isinstance(result, int):
            raise CommandError(BAD_VALUE, f"Cannot apply $bit to a value of non-integral type: '{path}'")
        result = whole(operations[name](int(result), int(bits)), is_long(result) or is_long(bits))
    return result


CHANGES: dict[str, Change] = {
    "$set": _set,
    "$setOnInsert": _set,
    "$unset": _unset,
    "$inc": _arithmetic("$inc", "increment", operator.add),
    "$mul": _arithmetic("$mul", "multiply", operator.mul),
    "$min": _extreme(operator.lt),
    "$max": _extreme(operator.gt),
    "$currentDate": _current_date,
    "$push": _push,
    "$addToSet": _add_to_set,
    "$pop": _pop,
    "$pull": _pull,
    "$pullAll": _pull_all,
    "$bit": _bit,
}
# these change nothing where the field is missing, and do not make the documents on the way to it
NEEDS_FIELD = {"$unset", "$pop", "$pull", "$pullAll"}
