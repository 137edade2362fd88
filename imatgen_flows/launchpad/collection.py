"""Collection: a search through documents and indexes, and the changes that MongoDB's commands consist of.

Documents and the entries of indexes are in the storage; a collection knows their number, and its indexes.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from bson import ObjectId, decode, decode_all, encode

from imatgen_flows.launchpad.deadlines import remaining
from imatgen_flows.launchpad.errors import (
    FAILED_TO_PARSE,
    IMMUTABLE_FIELD,
    INDEX_CONFLICT,
    INDEX_NOT_FOUND,
    TOO_LARGE,
    CommandError,
    duplicate_key,
)
from imatgen_flows.launchpad.indexes import ID_INDEX, Index, definition, from_bytes, to_bytes
from imatgen_flows.launchpad.lookup import reading_order
from imatgen_flows.launchpad.query import CODEC, Document, compiled, is_replacement, seed, updated, values_at
from imatgen_flows.launchpad.query.sorting import check_sort, sort_key
from imatgen_flows.launchpad.snapshots import SearchSnapshot
from imatgen_flows.launchpad.storage import Storage, StoredCollection, first_index, numbers_of

MAX_DOCUMENT = 16 * 1024**2  # bytes, as MongoDB
STEP, GAP = 0.01, 0.001  # s of a step of a long deletion, and between two of them

Lock = Callable[[], AbstractContextManager]


@dataclass
class Updated:
    """The result of an update.

    Attributes
    ----------
    before, after : the last document that was found, before and after the update; None where there was none
    upserted : whether `after` is new
    """

    matched: int = 0
    modified: int = 0
    before: Document | None = None
    after: Document | None = None
    upserted: bool = False


class Found(NamedTuple):
    """A document that was found: its number, its BSON, and the document where it was decoded."""

    number: int
    body: bytes
    decoded: Document | None

    @property
    def document(self) -> Document:
        """The document."""
        return decode(self.body, CODEC) if self.decoded is None else self.decoded


class Collection:
    """The documents of one collection.

    Parameters
    ----------
    number : of the collection in the storage
    lock : held while a search reads a page, and while a document is changed; of changes there is one at a time
    """

    def __init__(self, number: int, database: str, name: str, storage: Storage, lock: Lock = nullcontext) -> None:
        self.number, self.database, self.name = number, database, name
        self._storage = storage
        self._lock = lock
        self._indexes = {"_id_": Index(first_index(number), ID_INDEX)}
        self._snapshots: set[SearchSnapshot] = set()
        self._count = 0
        self._last = numbers_of(number)[0]

    def __len__(self) -> int:
        return self._count

    @property
    def namespace(self) -> str:
        """The full name, `database.collection`."""
        return f"{self.database}.{self.name}"

    @property
    def indexes(self) -> dict[str, Document]:
        """The definitions of the indexes, by their names."""
        return {name: index.definition for name, index in self._indexes.items()}

    def save(self) -> None:
        """Write the name and the indexes to the storage."""
        indexes = to_bytes(list(self._indexes.values()))
        self._storage.put_collection(StoredCollection(self.number, self.database, self.name, indexes))

    def restore(self, indexes: bytes) -> None:
        """Take over the indexes that were read from the storage, and count the documents there."""
        self._indexes = {index.name: index for index in from_bytes(indexes)}
        self._count = self._storage.count(self.number)
        self._last = self._storage.last(self.number)

    def drop(self) -> None:
        """Delete the collection from the storage."""
        with self._lock():
            for snapshot in list(self._snapshots):
                snapshot.kill(f"the query was ended: collection {self.namespace} was dropped")
            self._storage.drop_collection(self.number)
        for index in self._indexes.values():
            self._remove_entries(index)
        self._in_steps(lambda size: self._storage.delete_some(self.number, size))

    def find(self, query: Document, sort: Document | None = None, limit: int = 0, skip: int = 0) -> Iterator[Document]:
        """Find documents, by default in the order of their insertion.

        They are read as the caller takes them, and are those that were there when it took the first.

        Parameters
        ----------
        limit : 0 for all
        """
        return (found.document for found in self.search(query, sort, limit, skip, decoded=True))

    def find_bson(
        self, query: Document, sort: Document | None = None, limit: int = 0, skip: int = 0
    ) -> Iterator[bytes]:
        """Find documents as `find` does, as BSON."""
        return (found.body for found in self.search(query, sort, limit, skip))

    def search(
        self, query: Document, sort: Document | None, limit: int, skip: int = 0, decoded: bool = False
    ) -> Iterator[Found]:
        """Find documents with their numbers.

        Parameters
        ----------
        decoded : whether the caller needs all of them as documents, which are decoded faster together
        """
        check_sort(sort or {})
        with self._lock():
            indexes = list(self._indexes.values())
            numbers, is_sorted = reading_order(self._storage, self.number, self._last, indexes, query, sort or {})
            snapshot = SearchSnapshot(self._storage, numbers)
            self._snapshots.add(snapshot)
        try:
            matching = compiled(query) if query else None
            found = self._matching(snapshot, matching, decoded or not is_sorted)
            if not is_sorted:
                found = self._sorted(snapshot, found, sort or {}, skip + limit if limit else None)
            yield from islice(found, skip, skip + limit if limit else None) if skip or limit else found
        finally:
            self._snapshots.discard(snapshot)

    def insert(self, document: Document) -> Document:
        """Insert a document, with an `_id` if it has none.

        Raises
        ------
        CommandError
            Where a unique value is taken, or the document is too large.
        """
        document = {"_id": document["_id"] if "_id" in document else ObjectId(), **document}
        body = _body(document)
        keys = self._keys(document)
        with self._lock():
            self._refuse_duplicates(document, keys)
            for snapshot in list(self._snapshots):
                snapshot.before_insert()
            number = self._last + 1
            self._storage.insert(number, body)
            for index, added in keys:
                self._storage.add_entries(index.number, added, number)
            self._note_arrays(document)
            self._last, self._count = number, self._count + 1
        return document

    def update(
        self,
        query: Document,
        change: Any,
        *,
        many: bool = False,
        upsert: bool = False,
        sort: Document | None = None,
        array_filters: list | None = None,
    ) -> Updated:
        """Change the matching documents, or insert the one that filter and change define.

        Raises
        ------
        CommandError
            Where a document would get another `_id`, a value that is taken, or become too large.
        """
        if many and is_replacement(change):
            raise CommandError(FAILED_TO_PARSE, "many documents cannot be replaced by one")
        done = Updated()
        for number, body in self._changing(query, sort, 0 if many else 1):
            done.before = decode(body, CODEC)
            done.after = updated(done.before, query, change, array_filters)
            done.matched += 1
            done.modified += self._replace(number, body, done.before, done.after)
        if upsert and not done.matched:
            done.after = self.insert(updated(seed(query), query, change, array_filters, inserting=True))
            done.upserted = True
        return done

    def delete(self, query: Document, limit: int = 0, sort: Document | None = None) -> tuple[int, Document | None]:
        """Delete the matching documents, and return their number, and the last one."""
        number_deleted, document = 0, None
        for number, body in self._changing(query, sort, limit):
            document = decode(body, CODEC)
            with self._lock():
                for snapshot in list(self._snapshots):
                    snapshot.before_change(number, body)
                self._storage.delete(number)
                for index, keys in self._keys(document):
                    self._storage.remove_entries(index.number, keys, number)
                self._count -= 1
            number_deleted += 1
        return number_deleted, document

    def create_index(self, wanted: Document) -> None:
        """Add an index; nothing happens where it exists.

        Raises
        ------
        CommandError
            Where its name is taken by another, its kind is unknown, or documents break its uniqueness.
        """
        index = Index(max(one.number for one in self._indexes.values()) + 1, definition(wanted))
        existing = self._indexes.get(index.name)
        if index.definition["key"] == ID_INDEX["key"] or (existing and existing.definition == index.definition):
            return
        if existing:
            raise CommandError(INDEX_CONFLICT, f"index `{index.name}` exists already, and is another one")
        try:
            for found in self.search({}, None, 0, decoded=True):
                document = found.document
                keys = index.keys(document)
                with self._lock():
                    self._refuse_duplicates(document, [(index, keys)])
                    self._storage.add_entries(index.number, keys, found.number)
                index.multikey = index.multikey or index.has_array(document)
        except CommandError:
            self._remove_entries(index)
            raise
        with self._lock():
            self._indexes = {**self._indexes, index.name: index}
            self.save()

    def drop_index(self, name: str) -> None:
        """Remove an index by its name.

        Raises
        ------
        CommandError
            Where there is none.
        """
        if name not in self._indexes or name == "_id_":
            raise CommandError(INDEX_NOT_FOUND, f"no index `{name}` to drop in {self.namespace}")
        with self._lock():
            for snapshot in list(self._snapshots):
                snapshot.before_insert()
            dropped = self._indexes[name]
            self._indexes = {other: index for other, index in self._indexes.items() if other != name}
            self.save()
        self._remove_entries(dropped)

    def _remove_entries(self, index: Index) -> None:
        self._in_steps(lambda size: self._storage.remove_some_entries(index.number, size))

    def _in_steps(self, step: Callable[[int], bool]) -> None:
        """Repeat a step of some size while it has something to do; others read in between."""
        more, size = True, 10
        while more:
            start = time.monotonic()
            with self._lock():
                more = step(size)
            taken = time.monotonic() - start
            size = 2 * size if taken < STEP else max(1, size // 2)
            time.sleep(GAP)  # or the lock is taken again before another thread wakes up

    def _matching(
        self, snapshot: SearchSnapshot, matching: Callable[[Document], bool] | None, decoded: bool
    ) -> Iterator[Found]:
        while True:
            with self._lock():
                rows = snapshot.page()
            if not rows:
                return
            remaining()
            if not matching and not decoded:
                yield from (Found(number, body, None) for number, body in rows)
                continue
            documents = decode_all(b"".join([body for _, body in rows]), CODEC)
            pairs = zip(rows, documents, strict=True)
            if not matching:
                yield from [Found(number, body, document) for (number, body), document in pairs]
                continue
            for (number, body), document in pairs:
                remaining()
                if matching(document):
                    yield Found(number, body, document)

    def _sorted(
        self, snapshot: SearchSnapshot, found: Iterator[Found], sort: Document, limit: int | None
    ) -> Iterator[Found]:
        """Sort documents by their keys alone, and read them again in their order."""
        key = sort_key(sort)
        keys = ((key(one.document), one.number) for one in found)
        ordered = sorted(keys, key=itemgetter(0)) if limit is None else heapq.nsmallest(limit, keys, key=itemgetter(0))
        numbers = iter([number for _, number in ordered])
        while page := list(islice(numbers, snapshot.size)):
            with self._lock():
                rows = snapshot.read(page)
            yield from (Found(number, body, None) for number, body in rows)

    def _changing(self, query: Document, sort: Document | None, limit: int) -> Iterator[tuple[int, bytes]]:
        """Yield the documents to change. All are found before the first is changed, and read one by one."""
        if limit == 1:
            yield from [(found.number, found.body) for found in self.search(query, sort, 1)]
            return
        for number in [found.number for found in self.search(query, sort, limit)]:
            with self._lock():
                body = self._storage.body(number)
            yield number, body

    def _replace(self, number: int, body: bytes, old: Document, new: Document) -> bool:
        new_body = _body(new)
        if new_body == body:  # 1, 1.0 and True differ
            return False
        if new.get("_id") != old["_id"]:
            raise CommandError(IMMUTABLE_FIELD, f"the `_id` of a document cannot change, here {old['_id']!r}")
        keys, old_keys = self._keys(new), self._keys(old)
        with self._lock():
            self._refuse_duplicates(new, keys, number)
            for snapshot in list(self._snapshots):
                snapshot.before_change(number, body)
            self._storage.replace(number, new_body)
            for (index, added), (_, removed) in zip(keys, old_keys, strict=True):
                self._storage.remove_entries(index.number, removed - added, number)
                self._storage.add_entries(index.number, added - removed, number)
            self._note_arrays(new)
        return True

    def _keys(self, document: Document) -> list[tuple[Index, set[bytes]]]:
        return [(index, index.keys(document)) for index in self._indexes.values()]

    def _note_arrays(self, document: Document) -> None:
        """Remember which indexes have several entries for a document."""
        new = [index for index in self._indexes.values() if not index.multikey and index.has_array(document)]
        for index in new:
            index.multikey = True
        if new:
            self.save()

    def _refuse_duplicates(self, document: Document, keys: list[tuple[Index, set[bytes]]], number: int = 0) -> None:
        """Raise CommandError where another document has the same values in a unique index."""
        for index, own in keys:
            if not index.unique:
                continue
            for key in own:
                if any(other != number for other in self._storage.holders(index.number, key)):
                    paths = [path for path, _ in index.fields]
                    values = {path: next(iter(values_at(path, document)), None) for path in paths}
                    raise duplicate_key(self.namespace, index.name, index.definition["key"], values)


def _body(document: Document) -> bytes:
    body = encode(document, codec_options=CODEC)
    if len(body) > MAX_DOCUMENT:
        raise CommandError(
            TOO_LARGE, f"a document of {len(body):,} bytes is too large: {MAX_DOCUMENT:,} bytes are the limit"
        )
    return body
