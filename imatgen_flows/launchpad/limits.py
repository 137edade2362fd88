"""What one client may take from the others: connections, time, and wrong passwords."""

from __future__ import annotations

import resource
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

CONNECTIONS = 1_000  # at the same time, those that only watch the server included
FIRST_MESSAGE = 10.0  # s for the first message of a connection
SILENCE = (
    300.0  # s between two messages of a client without login; pymongo's monitors, which never log in, speak every 10 s
)
TRANSFER = 60.0  # s for the rest of a message without login that has begun, and for any client to take its reply
REFUSAL = 2.0  # s for the message of a client that is one too many, so that it can be told so
OTHER_FILES = 64  # of the process, beside its connections
FREE_FAILURES = 20  # failed logins in a minute that are answered at once
FAILURE_DELAY = 0.2  # s before the answer to each further one


class Connections:
    """Counts the open connections.

    Parameters
    ----------
    limit : fewer where the system allows the process fewer files
    """

    def __init__(self, limit: int = CONNECTIONS) -> None:
        self.limit = min(limit, allowed_files(limit + OTHER_FILES) - OTHER_FILES)
        self._lock = threading.Lock()
        self._number = 0

    @contextmanager
    def admission(self) -> Iterator[bool]:
        """Hold one connection open; False where it is one too many."""
        with self._lock:
            self._number += 1
            admitted = self._number <= self.limit
        try:
            yield admitted
        finally:
            with self._lock:
                self._number -= 1


class FailedLogins:
    """Slows down whoever tries passwords; nobody else waits."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=FREE_FAILURES)

    def wait(self) -> None:
        """Record a failed login, and wait before it is answered where there were many."""
        now = time.monotonic()
        many = len(self._times) == FREE_FAILURES and now - self._times[0] < 60
        self._times.append(now)
        if many:
            time.sleep(FAILURE_DELAY)


def allowed_files(wanted: int) -> int:
    """Let the process open as many files, if the system allows it, and return how many it may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
