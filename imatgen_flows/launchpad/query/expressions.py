"""Aggregation expressions: compiled once, evaluated for each document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from imatgen_flows.launchpad.errors import (
    BAD_ARGUMENTS,
    BAD_FIELD_PATH,
    INVALID_OPERATOR,
    NOT_IMPLEMENTED,
    TWO_OPERATORS,
    UNDEFINED_VARIABLE,
    CommandError,
)
from imatgen_flows.launchpad.query import (
    clock,
    expression_arithmetic,
    expression_arrays,
    expression_control,
    expression_dates,
    expression_strings,
    expression_types,
)
from imatgen_flows.launchpad.query.documents import MISSING, Document
from imatgen_flows.launchpad.query.expression_operators import Expression, Form, Plain, Variables, constant
from imatgen_flows.launchpad.query.paths import field_at

__all__ = ["FORMS", "PLAIN", "UNSUPPORTED_EXPRESSIONS", "Expression", "Variables", "compiled_expression"]

PLAIN: dict[str, Plain] = {
    **expression_arithmetic.OPERATORS,
    **expression_arrays.OPERATORS,
    **expression_strings.OPERATORS,
    **expression_types.OPERATORS,
    **expression_control.OPERATORS,
    **expression_dates.OPERATORS,
}
FORMS: dict[str, Form] = {**expression_control.FORMS}
UNSUPPORTED_EXPRESSIONS = {
    "$accumulator",
    "$bottom",
    "$bottomN",
    "$function",
    "$meta",
    "$rand",
    "$sampleRate",
    "$top",
    "$topN",
    "$tsIncrement",
    "$tsSecond",
}
SYSTEM_VARIABLES = ("ROOT", "CURRENT", "NOW", "REMOVE")


def compiled_expression(value: Any) -> Expression:
    """Return the function that evaluates an expression; it returns `MISSING` for a missing field.

    Raises
    ------
    CommandError
        Where the expression is malformed, or has an operator that is not supported.
    """
    if isinstance(value, str) and value.startswith("$"):
        return _variable(value[2:]) if value.startswith("$$") else _field(value[1:])
    if isinstance(value, list):
        items = [compiled_expression(item) for item in value]
        return lambda variables: [_or_null(item(variables)) for item in items]
    if isinstance(value, Mapping):
        return _operator(dict(value)) if any(name.startswith("$") for name in value) else _document(dict(value))
    return constant(value)


def _or_null(value: Any) -> Any:
    return None if value is MISSING else value


def _field(path: str) -> Expression:
    parts = _parts(path)
    if len(parts) == 1:
        name = parts[0]
        return lambda variables: field_at(variables["CURRENT"], (name,))
    return lambda variables: field_at(variables["CURRENT"], parts)


def _parts(path: str) -> list[str]:
    parts = path.split(".")
    if not all(parts) or any(name.startswith("$") for name in parts):
        raise CommandError(BAD_FIELD_PATH, f"'{path}' is no valid path of a field")
    return parts


def _variable(path: str) -> Expression:
    name, *parts = _parts(path)
    if name == "REMOVE":
        return constant(MISSING)
    if name == "NOW":
        return constant(clock.now())
    if name not in SYSTEM_VARIABLES and not name[:1].islower():
        raise CommandError(UNDEFINED_VARIABLE, f"Use of undefined variable: {name}")

    def evaluate(variables: Variables) -> Any:
        if name not in variables:
            raise CommandError(UNDEFINED_VARIABLE, f"Use of undefined variable: {name}")
        return field_at(variables[name], parts)

    return evaluate


def _document(fields: Document) -> Expression:
    compiled = {name: compiled_expression(value) for name, value in fields.items()}

    def evaluate(variables: Variables) -> Document:
        found = ((name, value(variables)) for name, value in compiled.items())
        return {name: value for name, value in found if value is not MISSING}

    return evaluate


def _operator(value: Document) -> Expression:
    if len(value) != 1:
        raise CommandError(
            TWO_OPERATORS, f"an object representing an expression must have exactly one field: {list(value)}"
        )
    [(name, operand)] = value.items()
    if name in FORMS:
        return FORMS[name](operand, compiled_expression)
    if name in PLAIN:
        return _call(name, PLAIN[name], operand)
    if name in UNSUPPORTED_EXPRESSIONS:
        raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no `{name}`")
    raise CommandError(INVALID_OPERATOR, f"Unrecognized expression '{name}'")


def _call(name: str, plain: Plain, operand: Any) -> Expression:
    """Compile an operator whose arguments are all evaluated before it is."""
    arguments = [compiled_expression(item) for item in (operand if isinstance(operand, list) else [operand])]
    number = len(arguments)
    if not plain.least <= number <= plain.most:
        wanted = f"exactly {plain.least}" if plain.least == plain.most else f"at least {plain.least}"
        if number > plain.most and plain.least != plain.most:
            wanted = f"at most {plain.most}"
        raise CommandError(BAD_ARGUMENTS, f"Expression {name} takes {wanted} arguments. {number} were passed in.")
    function: Callable[..., Any] = plain.function
    return lambda variables: function(*[argument(variables) for argument in arguments])
