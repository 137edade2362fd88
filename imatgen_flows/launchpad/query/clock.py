"""The time of the command that a thread carries out: `$$NOW` is the same in all its documents and stages."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

_clock = threading.local()


def start() -> None:
    """Note the time: a command begins."""
    now = datetime.now(UTC).replace(tzinfo=None)
    _clock.now = now.replace(microsecond=now.microsecond // 1000 * 1000)  # dates of BSON have milliseconds


def now() -> datetime:
    """Return the time, in UTC, at which the command of this thread began."""
    if not hasattr(_clock, "now"):
        start()
    return _clock.now
