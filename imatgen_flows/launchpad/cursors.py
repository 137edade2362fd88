"""Cursors: results that a client reads in batches, and that are searched for as it does."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bson import encode
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument

from imatgen_flows.launchpad.errors import CURSOR_NOT_FOUND, CommandError
from imatgen_flows.launchpad.query import CODEC, Document

FIRST_BATCH = 101  # documents, as MongoDB
BATCH_BYTES = 16 * 1024**2
LIFETIME = 600  # s that a cursor waits for its client


@dataclass
class _Cursor:
    namespace: str
    bodies: Iterator[bytes]
    lock: threading.Lock = field(default_factory=threading.Lock)  # one batch at a time
    ahead: bytes | None = None  # the document after the last batch; None at the end
    used: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.ahead = next(self.bodies, None)


class Cursors:
    """The open cursors, whose results have not been read to their end."""

    def __init__(self) -> None:
        self._open: dict[int, _Cursor] = {}

    def first(
        self, namespace: str, documents: Iterable[Document | bytes], size: int | None = None, single: bool = False
    ) -> dict[str, Any]:
        """Reply with the first batch.

        Parameters
        ----------
        namespace : `database.collection`
        documents : the whole result, as documents or as BSON
        size : of the batch; 101 documents where None
        single : whether the client reads this batch only
        """
        self._close_idle()
        cursor = _Cursor(namespace, (one if isinstance(one, bytes) else _body(one) for one in documents))
        batch = _batch(cursor, FIRST_BATCH if size is None else size)
        number = 0
        if cursor.ahead is not None and not single:
            number = 1 + secrets.randbelow(2**62)
            self._open[number] = cursor
        return {"cursor": {"id": Int64(number), "ns": namespace, "firstBatch": batch}, "ok": 1.0}

    def more(self, number: int, size: int | None) -> dict[str, Any]:
        """Reply with the next batch.

        Raises
        ------
        CommandError
            Where the cursor does not exist, or was closed since it was idle; or where its search fails, which closes it.
        """
        cursor = self._open.get(number)
        if cursor is None:
            raise CommandError(CURSOR_NOT_FOUND, f"cursor {number} not found: it was idle for {LIFETIME} s, or closed")
        with cursor.lock:
            cursor.used = time.monotonic()
            try:
                batch = _batch(cursor, size or None)
            except BaseException:
                self._open.pop(number, None)
                raise
            if cursor.ahead is None:
                self._open.pop(number, None)
                number = 0
        return {"cursor": {"id": Int64(number), "ns": cursor.namespace, "nextBatch": batch}, "ok": 1.0}

    def kill(self, numbers: list[int]) -> dict[str, Any]:
        """Close cursors."""
        killed = [number for number in numbers if self._open.pop(number, None)]
        return {"cursorsKilled": killed, "cursorsNotFound": [n for n in numbers if n not in killed], "ok": 1.0}

    def _close_idle(self) -> None:
        oldest = time.monotonic() - LIFETIME
        for number, cursor in list(self._open.items()):
            if cursor.used <= oldest:
                self._open.pop(number, None)


def _batch(cursor: _Cursor, size: int | None) -> list[RawBSONDocument]:
    """Return the next documents of a cursor: as many as fit into one message, and at least one."""
    batch: list[RawBSONDocument] = []
    nbytes = 0
    while cursor.ahead is not None and (size is None or len(batch) < size):
        nbytes += len(cursor.ahead)
        if batch and nbytes > BATCH_BYTES:
            break
        batch.append(RawBSONDocument(cursor.ahead))
        cursor.ahead = next(cursor.bodies, None)
    return batch


def _body(document: Document) -> bytes:
    return encode(document, codec_options=CODEC)
