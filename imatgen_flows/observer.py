"""What work reports of itself while it runs: which job began or ended, and how much of it is done.

Whoever wants to know sets an observer for a block; where there is none, a report costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Observer(Protocol):
    """Who is told how the work goes on."""

    def begin(self, job: str, title: str) -> None:
        """Note that a job begins; `job` is its name in the registry, `title` its label with its fields filled."""

    def end(self, job: str, title: str, seconds: float, said: str) -> None:
        """Note that a job has ended, after so many seconds; `said` are its counts, or that its result was found."""

    def count(self, done: int, total: int, what: str) -> None:
        """Note how much of the present job is done."""


class Nobody:
    """An observer who shows nothing: for work whose progress is of no interest."""

    def begin(self, job: str, title: str) -> None:
        """See `Observer`."""

    def end(self, job: str, title: str, seconds: float, said: str) -> None:
        """See `Observer`."""

    def count(self, done: int, total: int, what: str) -> None:
        """See `Observer`."""


_OBSERVER: ContextVar[Observer | None] = ContextVar("observer", default=None)


def observer() -> Observer | None:
    """Return who observes the work of this block, if anybody does."""
    return _OBSERVER.get()


@contextmanager
def observed_by(watching: Observer) -> Iterator[None]:
    """Report to an observer within a block."""
    before = _OBSERVER.set(watching)
    try:
        yield
    finally:
        _OBSERVER.reset(before)


_PART: ContextVar[tuple[int, int]] = ContextVar("part", default=(0, 0))  # where the present part starts, and all of it


@contextmanager
def part_of(start: int, total: int) -> Iterator[None]:
    """Count, within a block, what is done as a part of something larger that several jobs share."""
    before = _PART.set((start, total))
    try:
        yield
    finally:
        _PART.reset(before)


def report_count(done: int, total: int, what: str) -> bool:
    """Report how much of the present job is done; return whether anybody observes.

    Examples
    --------
    >>> report_count(3, 10, "relaxed")
    False
    """
    if watching := observer():
        start, whole = _PART.get()
        watching.count(start + done, whole or total, what)
    return watching is not None
