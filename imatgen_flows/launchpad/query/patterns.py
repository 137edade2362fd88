"""Regular expressions: the one place where they are compiled and searched."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from bson import Regex

from imatgen_flows.launchpad.errors import BAD_VALUE, INVALID_REGEX, CommandError

FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE, "u": 0}
LETTERS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x"}


@lru_cache(maxsize=256)
def compiled(pattern: str, options: str = "") -> re.Pattern[str]:
    """Compile a pattern.

    Raises
    ------
    CommandError
        Where the pattern or an option is not valid.
    """
    flags = 0
    for letter in options:
        if letter not in FLAGS:
            raise CommandError(BAD_VALUE, f"invalid flag in regex options: {letter}")
        flags |= FLAGS[letter]
    try:
        return re.compile(pattern, flags)
    except (re.error, RecursionError, OverflowError) as error:
        raise CommandError(INVALID_REGEX, f"Regular expression is invalid: {error}") from None


def is_pattern(value: Any) -> bool:
    """Whether a value is a regular expression of BSON."""
    return isinstance(value, Regex | re.Pattern)


def of_value(value: Any, options: str | None = None) -> re.Pattern[str]:
    """Compile a string, or a regular expression of BSON, whose own options hold unless others are given.

    Raises
    ------
    CommandError
        As `compiled`, and where the value is neither.
    """
    if isinstance(value, str):
        return compiled(value, options or "")
    if not is_pattern(value) or not isinstance(value.pattern, str):
        raise CommandError(BAD_VALUE, "$regex has to be a string")
    own = "".join(letter for flag, letter in LETTERS.items() if value.flags & flag)
    return compiled(value.pattern, own if options is None else options)
