"""Operators of expressions on dates, which are stored in UTC and read in a time zone."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from bson import Int64, ObjectId, Timestamp

from imatgen_flows.launchpad.errors import BAD_TIME_ZONE, BAD_VALUE, CONVERSION_FAILURE, NO_DATE, CommandError
from imatgen_flows.launchpad.query.documents import type_name
from imatgen_flows.launchpad.query.expression_operators import Plain, is_null
from imatgen_flows.launchpad.query.numbers import as_whole

EPOCH = datetime(1970, 1, 1)
ISO = "%Y-%m-%dT%H:%M:%S.%LZ"
OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})?")
# the formats in which a date is read when none is given, after `Z` or an offset has been cut off
READ = ("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
STEPS = {
    "week": timedelta(weeks=1),
    "day": timedelta(days=1),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
    "second": timedelta(seconds=1),
    "millisecond": timedelta(milliseconds=1),
}
MONTHS = {"year": 12, "quarter": 3, "month": 1}
SUNDAY = 6  # as Python counts


def milliseconds(value: Any) -> int:
    """Return the time since 1970 in ms."""
    return round((as_date(value) - EPOCH) / timedelta(milliseconds=1))


def of_milliseconds(value: int) -> datetime:
    """Return the date at a time since 1970 in ms.

    Raises
    ------
    CommandError
        Where the date is outside the years 1 to 9999.
    """
    try:
        return EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        raise CommandError(CONVERSION_FAILURE, f"a date {value} ms from 1970 is out of range") from None


def as_date(value: Any) -> datetime:
    """Return the date that a value stands for, in UTC.

    Raises
    ------
    CommandError
        Where it is no date, timestamp or ObjectId.
    """
    if isinstance(value, datetime):
        return value
    if isinstance(value, ObjectId):
        return value.generation_time.replace(tzinfo=None)
    if isinstance(value, Timestamp):
        return EPOCH + timedelta(seconds=value.time)
    raise CommandError(NO_DATE, f"can't convert from BSON type {type_name(value)} to Date")


def zone(name: Any) -> tzinfo:
    """Return a time zone by its name or its offset; UTC by default.

    Raises
    ------
    CommandError
        Where there is none of the name.
    """
    if is_null(name) or name in ("UTC", "GMT", "Z"):
        return UTC
    offset = OFFSET.fullmatch(name) if isinstance(name, str) else None
    if offset:
        size = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        return timezone(-size if offset[1] == "-" else size)
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, TypeError, KeyError):
        raise CommandError(BAD_TIME_ZONE, f"unrecognized time zone identifier: {name!r}") from None


def local(value: Any, time_zone: Any = None) -> datetime:
    """Return a date as the clock of a time zone shows it."""
    return as_date(value).replace(tzinfo=UTC).astimezone(zone(time_zone))


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(tzinfo=None)


def iso(value: Any) -> str:
    """Write a date as `2026-01-02T03:04:05.678Z`."""
    return written(value, ISO)


def _offset_text(date: datetime) -> str:
    return date.strftime("%z")[:5]


SPECIFIERS: dict[str, Callable[[datetime], str]] = {
    "%%": lambda _: "%",
    "%Y": lambda date: f"{date.year:04d}",
    "%m": lambda date: f"{date.month:02d}",
    "%d": lambda date: f"{date.day:02d}",
    "%H": lambda date: f"{date.hour:02d}",
    "%M": lambda date: f"{date.minute:02d}",
    "%S": lambda date: f"{date.second:02d}",
    "%L": lambda date: f"{date.microsecond // 1000:03d}",
    "%j": lambda date: f"{date.timetuple().tm_yday:03d}",
    "%u": lambda date: str(date.isoweekday()),
    "%w": lambda date: str(date.isoweekday() % 7 + 1),
    "%U": lambda date: date.strftime("%U"),
    "%V": lambda date: f"{date.isocalendar().week:02d}",
    "%G": lambda date: f"{date.isocalendar().year:04d}",
    "%z": _offset_text,
    "%Z": lambda date: str(round((date.utcoffset() or timedelta()) / timedelta(minutes=1))),
    "%b": lambda date: calendar.month_abbr[date.month],
    "%B": lambda date: calendar.month_name[date.month],
}


def written(value: Any, form: Any, time_zone: Any = None) -> str:
    """Write a date in a format.

    Raises
    ------
    CommandError
        Where the format has a specifier that is not known.
    """
    date = local(value, time_zone)

    def replace(found: re.Match[str]) -> str:
        if found[0] not in SPECIFIERS:
            raise CommandError(BAD_VALUE, f"Invalid format character '{found[0]}' in format string")
        return SPECIFIERS[found[0]](date)

    return re.sub("%.?", replace, str(form))


def parsed(text: Any, form: Any = None, time_zone: Any = None) -> datetime:
    """Read a date from a string.

    Raises
    ------
    CommandError
        Where it cannot be read.
    """
    if not isinstance(text, str):
        raise CommandError(
            CONVERSION_FAILURE, f"$dateFromString requires that 'dateString' be a string, found: {type_name(text)}"
        )
    if not is_null(form):
        return _read(text, [str(form).replace("%L", "%f")], time_zone)
    found = re.search(r"(Z|[+-]\d{2}:?\d{2})$", text[10:])
    name = None if found is None else found[1]
    plain = text if name is None else text.removesuffix(name)
    return _read(plain.strip().replace(" ", "T", 1), list(READ), name or time_zone)


def _read(text: str, forms: list[str], time_zone: Any) -> datetime:
    for form in forms:
        try:
            date = datetime.strptime(text, form)
        except ValueError:
            continue
        date = date if date.tzinfo else date.replace(tzinfo=zone(time_zone))
        return _utc(date).replace(microsecond=date.microsecond // 1000 * 1000)
    raise CommandError(CONVERSION_FAILURE, f"Error parsing date string '{text}'")


# units of time


def _unit(value: Any) -> str:
    if value not in STEPS and value not in MONTHS:
        raise CommandError(BAD_VALUE, f"unknown time unit value: {value}")
    return value


def added(value: Any, unit: Any, amount: Any, time_zone: Any = None) -> datetime:
    """Add a number of units of time to a date; a day that the month lacks becomes its last."""
    number = as_whole(amount)
    if number is None:
        raise CommandError(BAD_VALUE, f"the amount of time must be a whole number, not {amount!r}")
    date = local(value, time_zone)
    if _unit(unit) in STEPS:
        return _utc(date + STEPS[unit] * number) if unit in ("week", "day") else as_date(value) + STEPS[unit] * number
    months = date.year * 12 + date.month - 1 + number * MONTHS[unit]
    year, month = months // 12, months % 12 + 1
    return _utc(date.replace(year=year, month=month, day=min(date.day, calendar.monthrange(year, month)[1])))


def truncated(value: Any, unit: Any, time_zone: Any = None, week_start: Any = None) -> datetime:
    """Return the beginning of the unit of time that a date is in."""
    return _utc(_begin(local(value, time_zone), _unit(unit), _weekday(week_start)))


def _begin(date: datetime, unit: str, week_start: int) -> datetime:
    if unit in MONTHS:
        month = (date.month - 1) // MONTHS[unit] * MONTHS[unit] + 1
        return date.replace(month=month, day=1, hour=0, minute=0, second=0, microsecond=0)
    if unit in ("week", "day"):
        midnight = date.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=(date.weekday() - week_start) % 7 if unit == "week" else 0)
    zeros = {
        "hour": ("minute", "second", "microsecond"),
        "minute": ("second", "microsecond"),
        "second": ("microsecond",),
    }
    return date.replace(**dict.fromkeys(zeros.get(unit, ()), 0))  # type: ignore[arg-type]


def _weekday(name: Any) -> int:
    names = [day.lower() for day in calendar.day_name]
    if is_null(name):
        return SUNDAY
    found = [position for position, day in enumerate(names) if str(name).lower() in (day, day[:3])]
    if not found:
        raise CommandError(BAD_VALUE, f"unknown day of week value: {name}")
    return found[0]


def difference(start: Any, end: Any, unit: Any, time_zone: Any = None, week_start: Any = None) -> int:
    """Count the boundaries of a unit of time between two dates."""
    first = _begin(local(start, time_zone), _unit(unit), _weekday(week_start))
    last = _begin(local(end, time_zone), unit, _weekday(week_start))
    if unit in MONTHS:
        return Int64((last.year * 12 + last.month - first.year * 12 - first.month) // MONTHS[unit])
    return Int64(round((last.replace(tzinfo=None) - first.replace(tzinfo=None)) / STEPS[unit]))


def from_parts(time_zone: Any, **parts: Any) -> datetime:
    """Make a date of its parts; a part out of its range carries over."""
    numbers = {name: as_whole(part) for name, part in parts.items()}
    if any(number is None for number in numbers.values()):
        raise CommandError(BAD_VALUE, f"the parts of a date must be whole numbers, not {parts!r}")
    value = {name: number or 0 for name, number in numbers.items()}
    months = value["year"] * 12 + value.get("month", 1) - 1
    date = datetime(months // 12, months % 12 + 1, 1, tzinfo=zone(time_zone))
    names = ("hour", "minute", "second", "millisecond")
    rest = {f"{name}s": value.get(name, 0) for name in names}
    return _utc(date + timedelta(days=value.get("day", 1) - 1, **rest))


PARTS: dict[str, Callable[[datetime], int]] = {
    "$year": lambda date: date.year,
    "$month": lambda date: date.month,
    "$dayOfMonth": lambda date: date.day,
    "$hour": lambda date: date.hour,
    "$minute": lambda date: date.minute,
    "$second": lambda date: date.second,
    "$millisecond": lambda date: date.microsecond // 1000,
    "$dayOfYear": lambda date: date.timetuple().tm_yday,
    "$dayOfWeek": lambda date: date.isoweekday() % 7 + 1,
    "$week": lambda date: int(date.strftime("%U")),
    "$isoWeek": lambda date: date.isocalendar().week,
    "$isoWeekYear": lambda date: date.isocalendar().year,
    "$isoDayOfWeek": lambda date: date.isoweekday(),
}


def _part(function: Callable[[datetime], int]) -> Plain:
    def evaluate(value: Any) -> Any:
        if isinstance(value, dict):  # {date: ..., timezone: ...}
            return None if is_null(value.get("date")) else function(local(value["date"], value.get("timezone")))
        return None if is_null(value) else function(local(value))

    return Plain(evaluate)


OPERATORS = {name: _part(function) for name, function in PARTS.items()}
