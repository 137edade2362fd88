"""Time limits of commands: a search asks again and again whether its time is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from imatgen_flows.launchpad.errors import BAD_VALUE, MAX_TIME_EXPIRED, CommandError

LONGEST = 300.0  # s for any command; a client can set a shorter time by maxTimeMS

_end: ContextVar[float] = ContextVar("end", default=float("inf"))
_limit: ContextVar[float] = ContextVar("limit", default=float("inf"))


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Limit the time of a block; a limit outside of it that ends earlier counts."""
    end, limit = _end.get(), _limit.get()
    mine = time.monotonic() + seconds
    tokens = (_end.set(mine), _limit.set(seconds)) if mine < end else (_end.set(end), _limit.set(limit))
    try:
        yield
    finally:
        _end.reset(tokens[0])
        _limit.reset(tokens[1])


def remaining() -> float:
    """Return the seconds that are left.

    Raises
    ------
    CommandError
        Where there are none.
    """
    left = _end.get() - time.monotonic()
    if left <= 0:
        raise expired()
    return left


def expired() -> CommandError:
    """Return the error of a command whose time is over."""
    return CommandError(MAX_TIME_EXPIRED, f"operation exceeded time limit: it took longer than {_limit.get():g} s")


def seconds_of(command: dict) -> float:
    """Return the seconds that a command may take.

    Raises
    ------
    CommandError
        Where its maxTimeMS is not a number of milliseconds.
    """
    wanted = command.get("maxTimeMS", 0)
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not 0 <= wanted < 2**31:
        raise CommandError(BAD_VALUE, f"maxTimeMS must be a number of milliseconds from 0 on, not {wanted!r}")
    return min(wanted / 1000 or LONGEST, LONGEST)
