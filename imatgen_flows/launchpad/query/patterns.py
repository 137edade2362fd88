"""Regular expressions: the one place where they are compiled and searched.

A search in one text is limited in time, and leaves the interpreter to other threads: thirty characters are enough to keep a
bad expression busy for years.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

import regex
from bson import Regex

from imatgen_flows.launchpad.deadlines import expired, remaining
from imatgen_flows.launchpad.errors import BAD_VALUE, INVALID_REGEX, MAX_TIME_EXPIRED, CommandError

LONGEST = 1.0  # s for one text, of processor time, as the package `regex` counts
Result = TypeVar("Result")

FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE, "u": 0}
LETTERS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x"}


class Pattern:
    """A compiled regular expression, in the language of Python's `re`.

    Raises
    ------
    CommandError
        Where it is malformed; and by its methods, where a search takes too long.
    """

    def __init__(self, pattern: str, flags: int) -> None:
        self.pattern = pattern
        try:
            self._compiled = regex.compile(pattern, flags)
        except (regex.error, RecursionError, OverflowError, ValueError) as error:
            raise CommandError(INVALID_REGEX, f"Regular expression is invalid: {error}") from None

    def search(self, text: str) -> Any:
        """Return the first match in a text, or None."""
        return self._limited(lambda seconds: self._compiled.search(text, timeout=seconds, concurrent=True))

    def finditer(self, text: str) -> Iterator[Any]:
        """Return all matches in a text."""
        return iter(
            self._limited(lambda seconds: list(self._compiled.finditer(text, timeout=seconds, concurrent=True)))
        )

    def _limited(self, search: Callable[[float], Result]) -> Result:
        left = remaining()
        try:
            return search(min(left, LONGEST))
        except TimeoutError:
            if left <= LONGEST:
                raise expired() from None
            raise CommandError(
                MAX_TIME_EXPIRED,
                f"operation exceeded time limit: {self.pattern!r} took longer than {LONGEST:g} s on one text",
            ) from None


@lru_cache(maxsize=256)
def compiled(pattern: str, options: str = "") -> Pattern:
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
    return Pattern(pattern, flags)


def is_pattern(value: Any) -> bool:
    """Whether a value is a regular expression of BSON."""
    return isinstance(value, Regex | re.Pattern)


def of_value(value: Any, options: str | None = None) -> Pattern:
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
