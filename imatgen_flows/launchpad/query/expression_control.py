"""Operators of expressions that evaluate their arguments themselves: conditions, loops over arrays, named arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

from imatgen_flows.launchpad.errors import (
    BAD_ARGUMENTS,
    BAD_VALUE,
    CONVERSION_FAILURE,
    FAILED_TO_PARSE,
    NO_BRANCH,
    CommandError,
)
from imatgen_flows.launchpad.query import expression_dates as dates
from imatgen_flows.launchpad.query.documents import MISSING, Document, is_true
from imatgen_flows.launchpad.query.expression_arrays import array, whole_number
from imatgen_flows.launchpad.query.expression_operators import (
    Compile,
    Expression,
    Form,
    Plain,
    Variables,
    comparable,
    constant,
    is_null,
    named,
    with_names,
)
from imatgen_flows.launchpad.query.expression_strings import FORMS as STRING_FORMS
from imatgen_flows.launchpad.query.expression_types import converted
from imatgen_flows.launchpad.query.sorting import sorted_array

OPERATORS: dict[str, Plain] = {"$not": Plain(lambda value: not is_true(value))}


def _arguments(operand: Any, compile_: Compile) -> list[Expression]:
    return [compile_(item) for item in (operand if isinstance(operand, list) else [operand])]


def _and(operand: Any, compile_: Compile) -> Expression:
    parts = _arguments(operand, compile_)
    return lambda variables: all(is_true(part(variables)) for part in parts)


def _or(operand: Any, compile_: Compile) -> Expression:
    parts = _arguments(operand, compile_)
    return lambda variables: any(is_true(part(variables)) for part in parts)


def _condition(operand: Any, compile_: Compile) -> Expression:
    if isinstance(operand, list):
        if len(operand) != 3:
            raise CommandError(
                BAD_ARGUMENTS, f"Expression $cond takes exactly 3 arguments. {len(operand)} were passed in."
            )
        operand = dict(zip(("if", "then", "else"), operand, strict=True))
    parts = named("$cond", operand, compile_, ("if", "then", "else"), ())
    return lambda variables: parts["then" if is_true(parts["if"](variables)) else "else"](variables)


def _if_null(operand: Any, compile_: Compile) -> Expression:
    parts = _arguments(operand, compile_)
    if len(parts) < 2:
        raise CommandError(BAD_ARGUMENTS, "$ifNull needs at least two arguments")

    def evaluate(variables: Variables) -> Any:
        values = (part(variables) for part in parts[:-1])
        found = next((value for value in values if not is_null(value)), MISSING)
        return parts[-1](variables) if found is MISSING else found

    return evaluate


def _switch(operand: Any, compile_: Compile) -> Expression:
    if not isinstance(operand, dict) or not isinstance(operand.get("branches"), list) or not operand["branches"]:
        raise CommandError(BAD_VALUE, "$switch requires at least one branch")
    branches = [named("$switch", branch, compile_, ("case", "then"), ()) for branch in operand["branches"]]
    default = compile_(operand["default"]) if "default" in operand else None

    def evaluate(variables: Variables) -> Any:
        for branch in branches:
            if is_true(branch["case"](variables)):
                return branch["then"](variables)
        if default is None:
            raise CommandError(
                NO_BRANCH, "$switch could not find a matching branch for an input, and no default was specified."
            )
        return default(variables)

    return evaluate


def _let(operand: Any, compile_: Compile) -> Expression:
    if not isinstance(operand, dict) or set(operand) != {"vars", "in"}:
        raise CommandError(FAILED_TO_PARSE, "$let takes the arguments 'vars' and 'in'")
    values, inner = {name: compile_(value) for name, value in operand["vars"].items()}, compile_(operand["in"])
    return lambda variables: inner(variables.and_also(**{name: value(variables) for name, value in values.items()}))


def _name(operand: Document, default: str) -> str:
    name = operand.get("as", default)
    if not isinstance(name, str) or not name[:1].islower():
        raise CommandError(FAILED_TO_PARSE, f"'{name}' starts with an invalid character for a user variable name")
    return name


def _looped(name: str, operand: Any, compile_: Compile, optional: tuple[str, ...]) -> tuple[dict[str, Expression], str]:
    """Compile an operator with an `input` and a name for its elements, `as`."""
    variable = _name(operand, "this") if isinstance(operand, dict) else "this"
    rest = {key: value for key, value in operand.items() if key != "as"} if isinstance(operand, dict) else operand
    needed = ("input", "cond") if name == "$filter" else ("input", "in")
    return named(name, rest, compile_, needed, optional), variable


def _map(operand: Any, compile_: Compile) -> Expression:
    parts, name = _looped("$map", operand, compile_, ())

    def evaluate(variables: Variables) -> Any:
        values = parts["input"](variables)
        if is_null(values):
            return None
        found = [parts["in"](variables.and_also(**{name: item})) for item in array("$map", values)]
        return [None if item is MISSING else item for item in found]

    return evaluate


def _filter(operand: Any, compile_: Compile) -> Expression:
    parts, name = _looped("$filter", operand, compile_, ("limit",))

    def evaluate(variables: Variables) -> Any:
        values = parts["input"](variables)
        if is_null(values):
            return None
        limit = parts["limit"](variables) if "limit" in parts else None
        found = [
            item for item in array("$filter", values) if is_true(parts["cond"](variables.and_also(**{name: item})))
        ]
        return found if limit is None else found[: whole_number("$filter", limit)]

    return evaluate


def _reduce(operand: Any, compile_: Compile) -> Expression:
    parts = named("$reduce", operand, compile_, ("input", "initialValue", "in"), ())

    def evaluate(variables: Variables) -> Any:
        values = parts["input"](variables)
        if is_null(values):
            return None
        result = parts["initialValue"](variables)
        for item in array("$reduce", values):
            result = parts["in"](variables.and_also(value=result, this=item))
        return result

    return evaluate


def _zip(operand: Any, compile_: Compile) -> Expression:
    parts = named("$zip", operand, compile_, ("inputs",), ("useLongestLength", "defaults"))

    def evaluate(variables: Variables) -> Any:
        inputs = parts["inputs"](variables)
        if any(is_null(part) for part in inputs):
            return None
        arrays = [array("$zip", part) for part in inputs]
        if "useLongestLength" not in parts or not is_true(parts["useLongestLength"](variables)):
            return [list(row) for row in zip(*arrays, strict=False)]
        defaults = parts["defaults"](variables) if "defaults" in parts else [None] * len(arrays)
        rows = zip_longest(*arrays, fillvalue=MISSING)
        return [
            [default if item is MISSING else item for item, default in zip(row, defaults, strict=False)] for row in rows
        ]

    return evaluate


def _sort_array(operand: Any, compile_: Compile) -> Expression:
    if not isinstance(operand, dict) or set(operand) != {"input", "sortBy"}:
        raise CommandError(FAILED_TO_PARSE, "$sortArray takes the arguments 'input' and 'sortBy'")
    values, sort = compile_(operand["input"]), operand["sortBy"]

    def evaluate(variables: Variables) -> Any:
        found = values(variables)
        return None if is_null(found) else sorted_array(array("$sortArray", found), sort)

    return evaluate


def _ends(name: str) -> Form:
    """Make `$firstN`, `$lastN`, `$maxN` or `$minN`."""

    def evaluate(input: Any, n: Any) -> list:  # noqa: A002 (MongoDB's name of the argument)
        return chosen(name, array(name, input), n)

    return with_names(name, evaluate, ("input", "n"))


def chosen(name: str, values: Iterable[Any], n: Any) -> list:
    """Return the first, last, largest or smallest of some values."""
    number = whole_number(name, n)
    if number <= 0:
        raise CommandError(BAD_VALUE, f"'n' must be greater than 0, found {number}")
    items = list(values)
    if name in ("$maxN", "$minN"):
        items = sorted((item for item in items if not is_null(item)), key=comparable, reverse=name == "$maxN")
    return items[-number:] if name == "$lastN" else items[:number]


# documents


def _get_field(operand: Any, compile_: Compile) -> Expression:
    operand = operand if isinstance(operand, dict) and "field" in operand else {"field": operand}
    name = operand["field"]["$literal"] if isinstance(operand["field"], dict) else operand["field"]
    holder = compile_(operand.get("input", "$$CURRENT"))

    def evaluate(variables: Variables) -> Any:
        found = holder(variables)
        if is_null(found):
            return found
        return found.get(name, MISSING) if isinstance(found, dict) else MISSING

    return evaluate


def _set_field(operand: Any, compile_: Compile) -> Expression:
    parts = named("$setField", operand, compile_, ("field", "input"), ("value",))

    def evaluate(variables: Variables) -> Any:
        found, name = parts["input"](variables), parts["field"](variables)
        if is_null(found):
            return None
        value = parts["value"](variables) if "value" in parts else MISSING
        rest = {key: item for key, item in found.items() if key != name or value is not MISSING}
        return rest if value is MISSING else {**rest, name: value}

    return evaluate


# types and dates


def _convert(operand: Any, compile_: Compile) -> Expression:
    parts = named("$convert", operand, compile_, ("input", "to"), ("onError", "onNull"))

    def evaluate(variables: Variables) -> Any:
        value = parts["input"](variables)
        if is_null(value):
            return parts["onNull"](variables) if "onNull" in parts else None
        try:
            return converted(value, parts["to"](variables))
        except CommandError as error:
            if error.code != CONVERSION_FAILURE or "onError" not in parts:
                raise
            return parts["onError"](variables)

    return evaluate


def _date_from_string(operand: Any, compile_: Compile) -> Expression:
    parts = named("$dateFromString", operand, compile_, ("dateString",), ("format", "timezone", "onError", "onNull"))

    def evaluate(variables: Variables) -> Any:
        value = parts["dateString"](variables)
        if is_null(value):
            return parts["onNull"](variables) if "onNull" in parts else None
        others = [parts[name](variables) if name in parts else None for name in ("format", "timezone")]
        try:
            return dates.parsed(value, *others)
        except CommandError as error:
            if error.code != CONVERSION_FAILURE or "onError" not in parts:
                raise
            return parts["onError"](variables)

    return evaluate


def _date_to_string(date: Any, format: Any = dates.ISO, timezone: Any = None, onNull: Any = None) -> Any:  # noqa: A002
    return onNull if is_null(date) else dates.written(date, format, timezone)


def _date_plus(sign: int) -> Callable[..., Any]:
    def evaluate(startDate: Any, unit: Any, amount: Any, timezone: Any = None) -> Any:
        if any(is_null(value) for value in (startDate, unit, amount)):
            return None
        return dates.added(startDate, unit, amount * sign, timezone)

    return evaluate


def _date_difference(startDate: Any, endDate: Any, unit: Any, timezone: Any = None, startOfWeek: Any = None) -> Any:
    if is_null(startDate) or is_null(endDate):
        return None
    return dates.difference(startDate, endDate, unit, timezone, startOfWeek)


def _date_truncated(date: Any, unit: Any, timezone: Any = None, startOfWeek: Any = None) -> Any:
    return None if is_null(date) else dates.truncated(date, unit, timezone, startOfWeek)


def _date_from_parts(timezone: Any = None, **parts: Any) -> Any:
    return None if any(is_null(part) for part in parts.values()) else dates.from_parts(timezone, **parts)


def _date_parts(date: Any, timezone: Any = None) -> Any:
    if is_null(date):
        return None
    value = dates.local(date, timezone)
    names = ("year", "month", "day", "hour", "minute", "second")
    return {**{name: getattr(value, name) for name in names}, "millisecond": value.microsecond // 1000}


FORMS: dict[str, Form] = {
    **STRING_FORMS,
    "$literal": lambda operand, _: constant(operand),
    "$const": lambda operand, _: constant(operand),
    "$and": _and,
    "$or": _or,
    "$cond": _condition,
    "$ifNull": _if_null,
    "$switch": _switch,
    "$let": _let,
    "$map": _map,
    "$filter": _filter,
    "$reduce": _reduce,
    "$zip": _zip,
    "$sortArray": _sort_array,
    **{name: _ends(name) for name in ("$firstN", "$lastN", "$maxN", "$minN")},
    "$getField": _get_field,
    "$setField": _set_field,
    "$unsetField": _set_field,
    "$convert": _convert,
    "$dateFromString": _date_from_string,
    "$dateToString": with_names("$dateToString", _date_to_string, ("date",), ("format", "timezone", "onNull")),
    "$dateAdd": with_names("$dateAdd", _date_plus(1), ("startDate", "unit", "amount"), ("timezone",)),
    "$dateSubtract": with_names("$dateSubtract", _date_plus(-1), ("startDate", "unit", "amount"), ("timezone",)),
    "$dateDiff": with_names(
        "$dateDiff", _date_difference, ("startDate", "endDate", "unit"), ("timezone", "startOfWeek")
    ),
    "$dateTrunc": with_names("$dateTrunc", _date_truncated, ("date", "unit"), ("timezone", "startOfWeek")),
    "$dateFromParts": with_names(
        "$dateFromParts",
        _date_from_parts,
        ("year",),
        ("month", "day", "hour", "minute", "second", "millisecond", "timezone"),
    ),
    "$dateToParts": with_names("$dateToParts", _date_parts, ("date",), ("timezone",)),
}
