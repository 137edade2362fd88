"""Operators of expressions on types: their names, and conversions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from bson import Decimal128, Int64, ObjectId, encode
from bson.errors import InvalidId

from imatgen_flows.launchpad.errors import BAD_VALUE, CONVERSION_FAILURE, CommandError
from imatgen_flows.launchpad.query.documents import CODEC, TYPES, fits, is_date, is_number, is_true, type_name
from imatgen_flows.launchpad.query.expression_dates import iso, milliseconds, of_milliseconds, parsed
from imatgen_flows.launchpad.query.expression_operators import Plain, or_null
from imatgen_flows.launchpad.query.numbers import as_decimal128, as_float, as_whole

WHOLE = re.compile(r"[-+]?\d+")


def number_text(value: Any) -> str:
    """Write a number as MongoDB does: a double without a fraction has no point."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
        return repr(value).removesuffix(".0")
    return str(value)


def _failed(value: Any, kind: str, why: str = "") -> CommandError:
    what = why or f"Unsupported conversion from {type_name(value)} to {kind}"
    return CommandError(CONVERSION_FAILURE, f"{what} in $convert with no onError value")


def _to_double(value: Any) -> float:
    if isinstance(value, str):
        return _number(value, float, "double")
    if isinstance(value, bool):
        return float(value)
    if is_date(value):
        return float(milliseconds(value))
    if not is_number(value):
        raise _failed(value, "double")
    return as_float(value)


def _number(text: str, convert: Callable[[str], Any], kind: str) -> Any:
    try:
        if text != text.strip() or "_" in text or not text:
            raise ValueError
        return convert(text)
    except (ValueError, InvalidOperation):
        raise _failed(text, kind, f"Failed to parse number '{text}'") from None


def _to_whole(value: Any, bits: int, kind: str) -> int:
    if isinstance(value, str):
        if not WHOLE.fullmatch(value):
            raise _failed(value, kind, f"Failed to parse number '{value}'")
        number = int(value)
    elif is_date(value) and kind == "long":
        number = milliseconds(value)
    elif isinstance(value, bool):
        number = int(value)
    elif is_number(value):
        real = value.to_decimal() if isinstance(value, Decimal128) else value
        if not math.isfinite(real):
            raise _failed(value, kind, f"Attempt to convert {number_text(value)} value to integer")
        number = int(real)
    else:
        raise _failed(value, kind)
    if not fits(number, bits):
        raise _failed(value, kind, f"Conversion would overflow target type: {number}")
    return number


def _to_decimal(value: Any) -> Decimal128:
    if isinstance(value, str):
        return as_decimal128(_number(value, Decimal, "decimal"))
    if isinstance(value, Decimal128):
        return value
    if isinstance(value, float):
        return as_decimal128(Decimal(f"{value:.15g}"))
    return as_decimal128(Decimal(_to_whole(value, 64, "long")))


def _to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return number_text(value)
    if isinstance(value, ObjectId):
        return str(value)
    if is_date(value):
        return iso(value)
    raise _failed(value, "string")


def _to_date(value: Any) -> datetime:
    if isinstance(value, str):
        return parsed(value)
    if is_date(value):
        return value
    if isinstance(value, ObjectId):
        return value.generation_time.replace(tzinfo=None)
    if is_number(value) and type_name(value) != "int":
        return of_milliseconds(int(as_float(value)))
    raise _failed(value, "date")


def _to_object_id(value: Any) -> ObjectId:
    if not isinstance(value, str | ObjectId):
        raise _failed(value, "objectId")
    try:
        return ObjectId(value)
    except InvalidId:
        raise _failed(value, "objectId", f"Failed to parse objectId '{value}'") from None


CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "double": _to_double,
    "string": _to_string,
    "objectId": _to_object_id,
    "bool": is_true,
    "date": _to_date,
    "int": lambda value: int(_to_whole(value, 32, "int")),
    "long": lambda value: Int64(_to_whole(value, 64, "long")),
    "decimal": _to_decimal,
}


def converted(value: Any, kind: Any) -> Any:
    """Convert a value to a type, given by its name or its number.

    Raises
    ------
    CommandError
        Where it cannot be converted, or the type is not known.
    """
    name = kind if isinstance(kind, str) else TYPES.get(as_whole(kind) or 0, "")
    if name not in CONVERSIONS:
        raise CommandError(BAD_VALUE, f"$convert's 'to' argument is not a type that values are converted to: {kind!r}")
    return CONVERSIONS[name](value)


def _bson_size(value: Any) -> int:
    if not isinstance(value, dict):
        raise CommandError(BAD_VALUE, f"$bsonSize requires a document input, found: {type_name(value)}")
    return len(encode(value, codec_options=CODEC))


OPERATORS = {
    "$type": Plain(type_name),
    "$isNumber": Plain(is_number),
    **{f"$to{name[0].upper()}{name[1:]}": Plain(or_null(convert)) for name, convert in CONVERSIONS.items()},
    "$bsonSize": Plain(or_null(_bson_size)),
    "$binarySize": Plain(or_null(lambda value: len(value.encode() if isinstance(value, str) else value))),
}
