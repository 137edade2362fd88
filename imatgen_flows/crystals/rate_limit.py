"""Waiting where a service asks for fewer requests (HTTP 429 and 503), up to a bound."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from time import sleep

# Bounds of the waits before one answer, both choices: longer than a limit by the minute, shorter than one by the day, and an
# end to a service that asks for 0 s again and again.
MAX_SECONDS = 600.0
MAX_WAITS = 8
FIRST_WAIT = 5.0  # s, where a service names no time; each further wait is twice as long

logger = logging.getLogger(__name__)


class RateLimitError(Exception):
    """A service that asks for more patience than the bounds allow; the message says how much it had."""


def retry_after(header: str | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Read a Retry-After header: seconds, or a date (RFC 9110, section 10.2.3).

    Returns
    -------
    seconds from now, not below zero; None where there is no header or it is neither

    Examples
    --------
    >>> retry_after("120")
    120.0
    >>> retry_after("Fri, 31 Dec 1999 23:59:59 GMT", now=lambda: datetime(1999, 12, 31, 23, 59, 29, tzinfo=UTC))
    30.0
    >>> retry_after("soon") is None
    True
    """
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
        except ValueError:
            return None
        # a date without a zone is one of GMT
        seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now()).total_seconds()
    return max(0.0, seconds) if isfinite(seconds) else None


@dataclass
class RateLimit:
    """The waits of one download.

    Attributes
    ----------
    service : its name, to begin sentences with
    before : seconds of each wait before the answers that came
    current : seconds of each wait since the last answer
    """

    service: str
    before: list[float] = field(default_factory=list)
    current: list[float] = field(default_factory=list)

    def wait(self, seconds: float | None) -> None:
        """Wait as long as the service asks for, or longer each time where it names no time.

        Raises
        ------
        RateLimitError
            Where this wait would pass a bound; nothing is waited for then.
        """
        wanted = FIRST_WAIT * 2 ** len(self.current) if seconds is None else seconds
        if len(self.current) >= MAX_WAITS or sum(self.current) + wanted > MAX_SECONDS:
            raise RateLimitError(
                f"limits its requests: after {len(self.current)} waits of {sum(self.current):.0f} s in all it asks for "
                f"{wanted:.0f} s more; {MAX_WAITS} waits and {MAX_SECONDS:.0f} s are allowed before one answer"
            )
        self.current.append(wanted)
        # a warning, since `plan` and `check` show nothing less, and would seem to hang
        logger.warning("%s limits its requests: waiting %.0f s", self.service, wanted)
        sleep(wanted)

    def answered(self) -> None:
        """Start the count of waits again: an answer came."""
        self.before += self.current
        self.current = []

    def report(self) -> None:
        """Log how long the download waited, where it did."""
        if waits := self.before + self.current:
            logger.warning(
                "%s limits its requests: the download waited %.0f s, in %d waits.",
                self.service, sum(waits), len(waits),
            )  # fmt: skip
