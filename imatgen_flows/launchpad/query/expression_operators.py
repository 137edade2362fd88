"""What an operator of expressions is, and what many have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from imatgen_flows.launchpad.errors import FAILED_TO_PARSE, CommandError
from imatgen_flows.launchpad.ordering import key
from imatgen_flows.launchpad.query.documents import MISSING, Document

MANY = 1_000_000
BEFORE_NULL = b"\x0e"  # the key of a missing value, which is less than null in an expression


class Variables(dict[str, Any]):
    """The variables that an expression may use: `ROOT`, `CURRENT`, and those of `$let`, `$map` and their like."""

    @classmethod
    def of(cls, document: Document) -> Variables:
        """Return the variables for a document."""
        return cls(ROOT=document, CURRENT=document)

    def and_also(self, **others: Any) -> Variables:
        """Return these and others."""
        return Variables({**self, **others})


Expression = Callable[[Variables], Any]
Compile = Callable[[Any], Expression]
Form = Callable[[Any, Compile], Expression]  # compiles an operator that evaluates its arguments itself


class Plain(NamedTuple):
    """An operator whose arguments are evaluated before it is.

    Attributes
    ----------
    function : of the arguments; `MISSING` stands for a missing one
    least, most : how many arguments it takes
    """

    function: Callable[..., Any]
    least: int = 1
    most: int = 1


def constant(value: Any) -> Expression:
    """Return an expression with a fixed value."""
    return lambda _: value


def is_null(value: Any) -> bool:
    """Whether a value is null or missing."""
    return value is None or value is MISSING


def or_null(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function return null where one of its arguments is null or missing."""

    @wraps(function)
    def evaluate(*arguments: Any) -> Any:
        return None if any(is_null(argument) for argument in arguments) else function(*arguments)

    return evaluate


def comparable(value: Any) -> bytes:
    """Return the key by which expressions compare; a missing value comes before null."""
    return BEFORE_NULL if value is MISSING else key(value)


def named(
    name: str, operand: Any, compile_: Compile, needed: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, Expression]:
    """Compile the named arguments of an operator.

    Raises
    ------
    CommandError
        Where one is missing or not known.
    """
    if not isinstance(operand, dict):
        raise CommandError(FAILED_TO_PARSE, f"{name} takes an object with named arguments, not {operand!r}")
    unknown = [argument for argument in operand if argument not in needed + optional]
    missing = [argument for argument in needed if argument not in operand]
    if unknown:
        raise CommandError(FAILED_TO_PARSE, f"Unrecognized argument to {name}: {unknown[0]}")
    if missing:
        raise CommandError(FAILED_TO_PARSE, f"Missing '{missing[0]}' parameter to {name}")
    return {argument: compile_(value) for argument, value in operand.items()}


def with_names(
    name: str, function: Callable[..., Any], needed: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Form:
    """Make an operator of named arguments, all evaluated before it is."""

    def compile_form(operand: Any, compile_: Compile) -> Expression:
        parts = named(name, operand, compile_, needed, optional)
        return lambda variables: function(**{key: part(variables) for key, part in parts.items()})

    return compile_form
