"""Operators of expressions on numbers."""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

from bson import Decimal128, Int64

from imatgen_flows.launchpad.errors import BAD_VALUE, NEGATIVE_ROOT, NOT_NUMERIC, TYPE_MISMATCH, CommandError
from imatgen_flows.launchpad.query.documents import is_date, is_number, type_name
from imatgen_flows.launchpad.query.expression_operators import MANY, Plain, comparable, is_null, or_null
from imatgen_flows.launchpad.query.numbers import (
    DECIMAL128,
    as_decimal,
    as_decimal128,
    as_float,
    as_whole,
    combined,
    fitting,
    is_long,
    whole,
)


def _only_numbers(name: str, values: Iterable[Any], also: str = "") -> None:
    for value in values:
        if not is_number(value) and not (also and is_date(value)):
            raise CommandError(TYPE_MISMATCH, f"{name} only supports numeric{also} types, not {type_name(value)}")


@or_null
def _add(*values: Any) -> Any:
    _only_numbers("$add", values, " or date")
    dates = [value for value in values if is_date(value)]
    if len(dates) > 1:
        raise CommandError(BAD_VALUE, "only one date allowed in an $add expression")
    total: Any = 0
    for value in values:
        if not is_date(value):
            total = fitting(combined(operator.add, total, value))
    return dates[0] + timedelta(milliseconds=round(as_float(total))) if dates else total


@or_null
def _subtract(first: Any, second: Any) -> Any:
    if is_date(first) and is_date(second):
        return Int64(round((first - second) / timedelta(milliseconds=1)))
    if is_date(first) and is_number(second):
        return first - timedelta(milliseconds=round(as_float(second)))
    if not is_number(first) or not is_number(second):
        raise CommandError(TYPE_MISMATCH, f"can't $subtract {type_name(second)} from {type_name(first)}")
    return fitting(combined(operator.sub, first, second))


@or_null
def _multiply(*values: Any) -> Any:
    _only_numbers("$multiply", values)
    total: Any = 1
    for value in values:
        total = fitting(combined(operator.mul, total, value))
    return total


@or_null
def _divide(first: Any, second: Any) -> Any:
    _only_numbers("$divide", (first, second))
    if as_float(second) == 0:
        raise CommandError(BAD_VALUE, "can't $divide by zero")
    if isinstance(first, Decimal128) or isinstance(second, Decimal128):
        with localcontext(DECIMAL128):
            return as_decimal128(as_decimal(first) / as_decimal(second))
    return float(first) / float(second)


@or_null
def _mod(first: Any, second: Any) -> Any:
    _only_numbers("$mod", (first, second))
    if as_float(second) == 0:
        raise CommandError(BAD_VALUE, "can't $mod by zero")
    if isinstance(first, Decimal128) or isinstance(second, Decimal128):
        with localcontext(DECIMAL128):
            return as_decimal128(as_decimal(first) % as_decimal(second))
    if isinstance(first, float) or isinstance(second, float):
        return math.fmod(first, second)
    return whole(abs(first) % abs(second) * (-1 if first < 0 else 1), is_long(first) or is_long(second))


@or_null
def _power(first: Any, second: Any) -> Any:
    _only_numbers("$pow", (first, second))
    if first == 0 and as_float(second) < 0:
        raise CommandError(BAD_VALUE, "$pow cannot take a base of 0 and a negative exponent")
    if isinstance(first, int) and isinstance(second, int) and 0 <= second <= 64:
        return fitting(whole(int(first) ** int(second), is_long(first) or is_long(second)))
    return _real(math.pow)(as_float(first), as_float(second))


@or_null
def _logarithm(value: Any, base: Any) -> Any:
    _only_numbers("$log", (value, base))
    if as_float(value) <= 0 or as_float(base) <= 0 or as_float(base) == 1:
        raise CommandError(BAD_VALUE, "$log's argument must be a positive number, and its base one that is not 1")
    return math.log(as_float(value)) / math.log(as_float(base))


def _real(function: Callable[..., float]) -> Callable[..., float]:
    """Return NaN where a function has no value, and infinity where it is too large."""

    def evaluate(*values: float) -> float:
        try:
            return function(*values)
        except ValueError:
            return math.nan
        except OverflowError:
            return math.inf

    return evaluate


def _unary(name: str, function: Callable[..., float]) -> Plain:
    """Make an operator of one number that returns a double."""

    @or_null
    def evaluate(value: Any) -> Any:
        if not is_number(value):
            raise CommandError(NOT_NUMERIC, f"{name} only supports numeric types, not {type_name(value)}")
        if name == "$sqrt" and as_float(value) < 0:
            raise CommandError(NEGATIVE_ROOT, "$sqrt's argument must be greater than or equal to 0")
        if name in ("$ln", "$log10") and as_float(value) <= 0:
            raise CommandError(BAD_VALUE, f"{name}'s argument must be a positive number, but is {value}")
        return _real(function)(as_float(value))

    return Plain(evaluate)


@or_null
def _absolute(value: Any) -> Any:
    if not is_number(value):
        raise CommandError(NOT_NUMERIC, f"$abs only supports numeric types, not {type_name(value)}")
    if isinstance(value, Decimal128):
        return as_decimal128(abs(value.to_decimal()))
    return abs(value) if isinstance(value, float) else fitting(whole(abs(int(value)), is_long(value)))


def _rounding(name: str, mode: str) -> Plain:
    """Make an operator that rounds, to a number of digits if it is `$round` or `$trunc`."""

    @or_null
    def evaluate(value: Any, places: Any = 0) -> Any:
        digits = as_whole(places)
        if not is_number(value) or digits is None:
            raise CommandError(NOT_NUMERIC, f"{name} only supports numeric types, not {type_name(value)}")
        if isinstance(value, float) and not math.isfinite(value):
            return value
        number = value.to_decimal() if isinstance(value, Decimal128) else Decimal(value)
        with localcontext(DECIMAL128) as context:
            context.prec = 400
            rounded = number.quantize(Decimal(1).scaleb(-digits), rounding=mode) if digits > -400 else Decimal(0)
        if isinstance(value, Decimal128):
            return as_decimal128(rounded)
        return float(rounded) if isinstance(value, float) else fitting(whole(int(rounded), is_long(value)))

    return Plain(evaluate, 1, 2 if name in ("$round", "$trunc") else 1)


def spread(values: tuple[Any, ...]) -> list[Any]:
    """Return the values that `$sum`, `$max` and their like take: the elements of the one argument if it is an array."""
    return list(values[0]) if len(values) == 1 and isinstance(values[0], list) else list(values)


def total(values: Iterable[Any]) -> Any:
    """Add up the numbers among some values."""
    result: Any = 0
    for value in values:
        if is_number(value):
            result = fitting(combined(operator.add, result, value))
    return result


def mean(values: Iterable[Any]) -> Any:
    """Return the mean of the numbers among some values; null if there is none."""
    numbers = [value for value in values if is_number(value)]
    return _divide(total(numbers), len(numbers)) if numbers else None


def extreme(values: Iterable[Any], largest: bool) -> Any:
    """Return the largest or smallest of some values; null if all are null or missing."""
    present = [value for value in values if not is_null(value)]
    return (max if largest else min)(present, key=comparable, default=None)


def deviation(values: Iterable[Any], sample: bool) -> Any:
    """Return the standard deviation of the numbers among some values; null if there are too few."""
    numbers = [as_float(value) for value in values if is_number(value)]
    if len(numbers) < (2 if sample else 1):
        return None
    return statistics.stdev(numbers) if sample else statistics.pstdev(numbers)


def _ordered(decide: Callable[[bytes, bytes], Any]) -> Plain:
    return Plain(lambda first, second: decide(comparable(first), comparable(second)), 2, 2)


OPERATORS = {
    "$add": Plain(_add, 0, MANY),
    "$subtract": Plain(_subtract, 2, 2),
    "$multiply": Plain(_multiply, 0, MANY),
    "$divide": Plain(_divide, 2, 2),
    "$mod": Plain(_mod, 2, 2),
    "$pow": Plain(_power, 2, 2),
    "$log": Plain(_logarithm, 2, 2),
    "$abs": Plain(_absolute),
    "$ceil": _rounding("$ceil", ROUND_CEILING),
    "$floor": _rounding("$floor", ROUND_FLOOR),
    "$round": _rounding("$round", ROUND_HALF_EVEN),
    "$trunc": _rounding("$trunc", ROUND_DOWN),
    **{
        name: _unary(name, function)
        for name, function in {
            "$exp": math.exp,
            "$ln": math.log,
            "$log10": math.log10,
            "$sqrt": math.sqrt,
            "$sin": math.sin,
            "$cos": math.cos,
            "$tan": math.tan,
            "$asin": math.asin,
            "$acos": math.acos,
            "$atan": math.atan,
            "$sinh": math.sinh,
            "$cosh": math.cosh,
            "$tanh": math.tanh,
            "$degreesToRadians": math.radians,
            "$radiansToDegrees": math.degrees,
        }.items()
    },
    "$atan2": Plain(or_null(lambda y, x: math.atan2(as_float(y), as_float(x))), 2, 2),
    "$sum": Plain(lambda *values: total(spread(values)), 1, MANY),
    "$avg": Plain(lambda *values: mean(spread(values)), 1, MANY),
    "$max": Plain(lambda *values: extreme(spread(values), True), 1, MANY),
    "$min": Plain(lambda *values: extreme(spread(values), False), 1, MANY),
    "$stdDevPop": Plain(lambda *values: deviation(spread(values), False), 1, MANY),
    "$stdDevSamp": Plain(lambda *values: deviation(spread(values), True), 1, MANY),
    "$cmp": _ordered(lambda first, second: (first > second) - (first < second)),
    "$eq": _ordered(operator.eq),
    "$ne": _ordered(operator.ne),
    "$gt": _ordered(operator.gt),
    "$gte": _ordered(operator.ge),
    "$lt": _ordered(operator.lt),
    "$lte": _ordered(operator.le),
}
