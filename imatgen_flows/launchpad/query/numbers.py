"""Arithmetic on MongoDB's four types of numbers, and the type of each result."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

from bson import Decimal128, Int64
from bson.decimal128 import create_decimal128_context

from imatgen_flows.launchpad.query.documents import fits

Number = int | float | Decimal128
DECIMAL128 = create_decimal128_context()


def is_long(value: Any) -> bool:
    """Whether a whole number takes 64 bits."""
    return isinstance(value, Int64) or not fits(value, 32)


def as_decimal(value: Number) -> Decimal:
    """Convert a number to a decimal one, a double by its 15 significant digits, as MongoDB does."""
    if isinstance(value, Decimal128):
        return value.to_decimal()
    return Decimal(value) if isinstance(value, int) else Decimal(f"{value:.15g}")


def as_float(value: Number) -> float:
    """Convert a number to a double."""
    return float(value.to_decimal()) if isinstance(value, Decimal128) else float(value)


def as_decimal128(value: Decimal) -> Decimal128:
    """Round a decimal number to the 34 digits that are stored."""
    with localcontext(DECIMAL128) as context:
        return Decimal128(context.create_decimal(value))


def combined(operation: Callable[[Any, Any], Any], first: Number, second: Number) -> Number:
    """Add, subtract or multiply two numbers.

    The result is decimal or a double if one of both is; else a whole number of 64 bits if one of both has 64, or if it does
    not fit into 32; it may not fit into 64 (`is_too_long`).
    """
    if isinstance(first, Decimal128) or isinstance(second, Decimal128):
        with localcontext(DECIMAL128):
            return as_decimal128(operation(as_decimal(first), as_decimal(second)))
    if isinstance(first, float) or isinstance(second, float):
        return operation(as_float(first), as_float(second))
    return whole(operation(int(first), int(second)), is_long(first) or is_long(second))


def whole(value: int, long: bool = False) -> int:
    """Return a whole number of 32 bits, or of 64 if it must be, or does not fit."""
    return Int64(value) if long or not fits(value, 32) else int(value)


def is_too_long(value: Number) -> bool:
    """Whether a whole number does not fit into 64 bits."""
    return isinstance(value, int) and not fits(value, 64)


def fitting(value: Number) -> Number:
    """Return a double for a whole number that does not fit into 64 bits, as expressions do."""
    return as_float(value) if is_too_long(value) else value


def as_whole(value: Any) -> int | None:
    """Return a number without a fraction as an integer, or None for other values."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal128):
        return None
    number = value.to_decimal() if isinstance(value, Decimal128) else value
    if isinstance(number, float | Decimal) and (not math.isfinite(number) or number != int(number)):
        return None
    return int(number)
