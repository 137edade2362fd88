"""Snapshots: the documents that a search reads are those that were there when it began, without a copy of them.

A search lets go of the lock between two pages. A change keeps the old document for the searches that are under way, and
lets them list the rest of their documents first, as long as the indexes still tell their order.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice

from imatgen_flows.launchpad.errors import QUERY_KILLED, CommandError
from imatgen_flows.launchpad.plans import IndexPlan, Range, after
from imatgen_flows.launchpad.storage import Storage, numbers_of

FIRST_PAGE, LARGEST_PAGE = 8, 512  # documents that are read under one lock
PAGE_BYTES = 4 * 1024**2  # of them, about
TRIED = 1_000  # documents in the order of a sort, before it is asked which of them can match
KEPT_BYTES = 64 * 1024**2  # of old documents that one search may make the server keep


class SearchSnapshot:
    """The documents of a search, page by page. All methods are called under the lock of the database.

    Parameters
    ----------
    numbers : of the documents, in the order in which they are read
    """

    def __init__(self, storage: Storage, numbers: Iterator[int]) -> None:
        self._storage = storage
        self._numbers = numbers
        self._listed = False
        self.size = FIRST_PAGE
        self._kept: dict[int, bytes] = {}
        self._nbytes = 0
        self._killed = ""

    def page(self) -> list[tuple[int, bytes]]:
        """Read the next documents, as numbers and BSON; none at the end.

        Raises
        ------
        CommandError
            Where the collection is gone, or too much of it was changed.
        """
        return self.read(list(islice(self._numbers, self.size)))

    def read(self, numbers: list[int]) -> list[tuple[int, bytes]]:
        """Read documents by their numbers."""
        if self._killed:
            raise CommandError(QUERY_KILLED, self._killed)
        rows = self._storage.bodies(numbers)
        if self._kept:
            found = {**dict(rows), **{number: self._kept[number] for number in numbers if number in self._kept}}
            rows = [(number, found[number]) for number in numbers if number in found]
        mean = sum(len(body) for _, body in rows) // max(1, len(rows)) + 1
        self.size = max(1, min(4 * self.size, LARGEST_PAGE, PAGE_BYTES // mean))
        return rows

    def before_change(self, number: int, body: bytes) -> None:
        """Keep a document that is about to be replaced or deleted."""
        self.before_insert()
        if number not in self._kept and not self._killed:
            self._kept[number] = body
            self._nbytes += len(body)
            if self._nbytes > KEPT_BYTES:
                self.kill("the query was ended: more was changed meanwhile than the embedded LaunchPad keeps for it")

    def before_insert(self) -> None:
        """List the rest of the documents, before the indexes change."""
        if not self._listed:
            self._numbers = iter(array("q", self._numbers))
            self._listed = True

    def kill(self, sentence: str) -> None:
        """End the search with an error."""
        self._killed = sentence
        self._kept = {}
        self._numbers, self._listed = iter(()), True


def scan(storage: Storage, collection: int, last: int) -> Iterator[int]:
    """Yield the numbers of all documents of a collection up to one, in the order of their insertion."""
    position, size = numbers_of(collection)[0], FIRST_PAGE
    while numbers := storage.numbers(position + 1, last, size):
        yield from numbers
        position, size = numbers[-1], min(4 * size, 100 * LARGEST_PAGE)


def members(storage: Storage, plan: IndexPlan) -> set[int]:
    """Return the numbers of the documents with entries in the ranges of a plan."""
    return {number for limits in plan.ranges for number in storage.entries(plan.index.number, *limits)}


def walk(storage: Storage, plan: IndexPlan, way: int, among: IndexPlan | None = None) -> Iterator[int]:
    """Yield the numbers of documents in the order of an index (1), or in the opposite one (-1).

    Documents with equal keys come in the order of their insertion, either way.

    Parameters
    ----------
    among : documents without an entry in it need not be read; it is asked for once `TRIED` were
    """
    seen: set[int] = set()
    wanted: set[int] | None = None
    [limits] = plan.ranges
    entries = _ascending if way > 0 else _descending
    for position, number in enumerate(entries(storage, plan.index.number, limits)):
        if among and position == TRIED:
            wanted = members(storage, among)
        if wanted is not None and number not in wanted:
            continue
        if plan.index.multikey:  # of several entries of a document, the first one counts
            if number in seen:
                continue
            seen.add(number)
        yield number


def _ascending(storage: Storage, index: int, limits: Range) -> Iterator[int]:
    low, high = limits
    position, size = (low, -1), FIRST_PAGE
    while entries := storage.first_entries(index, position, high, size):
        yield from (number for _, number in entries)
        position, size = entries[-1], min(4 * size, LARGEST_PAGE)


def _descending(storage: Storage, index: int, limits: Range) -> Iterator[int]:
    """Yield numbers by descending keys, and those of one key ascending."""
    low, high = limits
    size = FIRST_PAGE
    while entries := storage.last_entries(index, low, high, size):
        last = entries[-1][0]
        whole = [entry for entry in entries if entry[0] != last]  # of the last key, there may be more entries
        yield from (number for _, number in _blocks_reversed(whole))
        if not whole or len(entries) < size:
            yield from _ascending(storage, index, (last, after(last)))
            high = last
        else:
            high = after(last)
        size = min(4 * size, LARGEST_PAGE)


def _blocks_reversed(entries: Iterable[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    return sorted(sorted(entries, key=lambda entry: entry[1]), key=lambda entry: entry[0], reverse=True)
