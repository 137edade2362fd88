"""Storage of all documents in one SQLite file, each as BSON, with the entries of their indexes.

Every command that changes something is one transaction, committed before its reply. With a write-ahead log and
`synchronous=FULL` the log reaches the disk within the commit: what was acknowledged survives a kill and, if the disk
flushes its cache when it is told to, a power cut. The file is locked for as long as the server runs, which also spares SQLite
the shared memory that network file systems lack.

The number of a document holds that of its collection: a collection is one range of numbers, in the order of insertion. An
entry of an index is the key of a document's values, and its number: SQLite holds them in order, and nothing is built at a
start. Memory is bounded by the cache of pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imatgen_flows.launchpad.database_file import FORMAT, TABLES, found_format, open_exclusively, sentences

NUMBERS = 40  # bits of the number of a document within its collection
FREED = 1_000  # pages that are given back to the disk in one step
END = b"\xff"  # after all keys


@dataclass(frozen=True)
class StoredCollection:
    """A row of the table of collections; its indexes are BSON."""

    number: int
    database: str
    name: str
    indexes: bytes


class Storage:
    """The database file, opened exclusively by this process.

    Parameters
    ----------
    path : made where it does not exist; a file of the first format must have been converted

    Raises
    ------
    InputError
        Where the file was written by another version, is cut short, or is not a database of the embedded LaunchPad.
    ImatgenError
        Where another process holds the file, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = open_exclusively(path)
        with sentences(path, self.connection):
            if found_format(self.connection, path) is None:
                self.connection.executescript(TABLES)

    def close(self) -> None:
        """Write the log into the file, and close it."""
        self.connection.close()

    # collections

    def collections(self) -> Iterator[StoredCollection]:
        """Read all collections."""
        for row in self.connection.execute("SELECT number, database, name, indexes FROM collections ORDER BY number"):
            yield StoredCollection(*row)

    def put_collection(self, row: StoredCollection) -> None:
        """Write a collection, new or with other indexes."""
        values = (row.number, row.database, row.name, row.indexes)
        self._change("INSERT OR REPLACE INTO collections VALUES (?, ?, ?, ?)", *values)

    def drop_collection(self, number: int) -> None:
        """Delete a collection, whose documents and entries have been deleted."""
        self._change("DELETE FROM collections WHERE number = ?", number)

    # documents

    def count(self, collection: int) -> int:
        """Count the documents of a collection."""
        return self._value("SELECT count(*) FROM documents WHERE number BETWEEN ? AND ?", *numbers_of(collection))

    def last(self, collection: int) -> int:
        """Return the highest number of a document in a collection, or the one below the first."""
        first, last = numbers_of(collection)
        found = self._value("SELECT max(number) FROM documents WHERE number BETWEEN ? AND ?", first, last)
        return first if found is None else found

    def numbers(self, first: int, last: int, limit: int = -1) -> list[int]:
        """Return the numbers of the documents in a range, in their order."""
        statement = "SELECT number FROM documents WHERE number BETWEEN ? AND ? ORDER BY number LIMIT ?"
        return self._list(statement, first, last, limit)

    def body(self, number: int) -> bytes:
        """Read a document."""
        return self._value("SELECT body FROM documents WHERE number = ?", number)

    def bodies(self, numbers: list[int]) -> list[tuple[int, bytes]]:
        """Read documents by their numbers, in the order of these; those that are missing are left out."""
        if not numbers:
            return []
        first, last = numbers[0], numbers[-1]
        if last - first + 1 == len(numbers) and numbers == sorted(numbers):  # neighbours: read twice as fast
            statement = "SELECT number, body FROM documents WHERE number BETWEEN ? AND ? ORDER BY number"
            return self.connection.execute(statement, (first, last)).fetchall()
        statement = "SELECT number, body FROM documents WHERE number IN (SELECT value FROM json_each(?))"
        found = dict(self.connection.execute(statement, (json.dumps(numbers),)).fetchall())
        return [(number, found[number]) for number in numbers if number in found]

    def insert(self, number: int, body: bytes) -> None:
        """Write a new document."""
        self._change("INSERT INTO documents VALUES (?, ?)", number, body)

    def replace(self, number: int, body: bytes) -> None:
        """Replace a document."""
        self._change("UPDATE documents SET body = ? WHERE number = ?", body, number)

    def delete(self, number: int) -> None:
        """Delete a document."""
        self._change("DELETE FROM documents WHERE number = ?", number)

    def delete_some(self, collection: int, size: int) -> bool:
        """Delete the first documents of a collection; False where there is none left."""
        some = self.numbers(*numbers_of(collection), size)
        if some:
            self._change("DELETE FROM documents WHERE number BETWEEN ? AND ?", some[0], some[-1])
        return bool(some)

    # entries of indexes

    def add_entries(self, index: int, keys: Iterable[bytes], number: int) -> None:
        """Add the entries of a document to an index."""
        for key in keys:
            self._change("INSERT INTO entries VALUES (?, ?, ?)", index, key, number)

    def remove_entries(self, index: int, keys: Iterable[bytes], number: int) -> None:
        """Remove the entries of a document from an index."""
        for key in keys:
            self._change("DELETE FROM entries WHERE index_number = ? AND key = ? AND number = ?", index, key, number)

    def remove_some_entries(self, index: int, size: int) -> bool:
        """Remove the first entries of an index; False where there is none left."""
        some = self.first_entries(index, (b"", -1), END, size)
        if some:
            last, number = some[-1]
            self._change("DELETE FROM entries WHERE index_number = ? AND (key, number) <= (?, ?)", index, last, number)
        return bool(some)

    def holders(self, index: int, key: bytes) -> list[int]:
        """Return the numbers of the documents with a key."""
        found = self.connection.execute("SELECT number FROM entries WHERE index_number = ? AND key = ?", (index, key))
        return [number for [number] in found.fetchall()]

    def count_entries(self, index: int, low: bytes, high: bytes, most: int) -> int:
        """Count the entries from a key on and before another, up to a number."""
        statement = (
            "SELECT count(*) FROM (SELECT 1 FROM entries WHERE index_number = ? AND key >= ? AND key < ? LIMIT ?)"
        )
        return self._value(statement, index, low, high, most)

    def entries(self, index: int, low: bytes, high: bytes) -> list[int]:
        """Return the numbers of the entries from a key on and before another, in the order of keys."""
        statement = "SELECT number FROM entries WHERE index_number = ? AND key >= ? AND key < ? ORDER BY key, number"
        return self._list(statement, index, low, high)

    def first_entries(self, index: int, after: tuple[bytes, int], high: bytes, limit: int) -> list[tuple[bytes, int]]:
        """Return the first entries after one (key and number) and before a key, in the order of keys."""
        statement = """
            SELECT key, number FROM entries WHERE index_number = ? AND (key, number) > (?, ?) AND key < ?
            ORDER BY key, number LIMIT ?
        """
        return self.connection.execute(statement, (index, *after, high, limit)).fetchall()

    def last_entries(self, index: int, low: bytes, high: bytes, limit: int) -> list[tuple[bytes, int]]:
        """Return the last entries from a key on and before another, the last one first."""
        statement = """
            SELECT key, number FROM entries WHERE index_number = ? AND key >= ? AND key < ?
            ORDER BY key DESC, number DESC LIMIT ?
        """
        return self.connection.execute(statement, (index, low, high, limit)).fetchall()

    # transactions

    def commit(self) -> None:
        """Commit the changes since the last commit."""
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")

    def rollback(self) -> None:
        """Discard the changes since the last commit."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def has_free_pages(self) -> bool:
        """Whether many pages of the file are free, since documents were deleted."""
        return self._value("PRAGMA freelist_count") >= FREED

    def give_back(self) -> bool:
        """Give some of the free pages back to the disk; False where there are few, and the file is as short as it gets."""
        if not self.has_free_pages():
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return False
        self.connection.executescript(f"PRAGMA incremental_vacuum({FREED})")  # `execute` ends after one page
        return True

    def _change(self, statement: str, *values: object) -> None:
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute(statement, values)

    def _value(self, statement: str, *values: object) -> Any:
        found = self.connection.execute(statement, values).fetchone()
        return found[0] if found else None

    def _list(self, statement: str, *values: object) -> list[int]:
        """Return a column of numbers; as one text, since it is twice as fast as rows."""
        return json.loads(self._value(f"SELECT json_group_array(number) FROM ({statement})", *values))


def numbers_of(collection: int) -> tuple[int, int]:
    """Return the numbers between which those of a collection's documents lie."""
    return collection << NUMBERS, (collection + 1 << NUMBERS) - 1


def first_index(collection: int) -> int:
    """Return the number of a collection's first index; its others follow, far below those of the next collection."""
    return collection << 20


def count_documents(path: Path) -> dict[str, int]:
    """Count the documents of each collection, as `database.collection`, in a file that no server has open.

    Raises
    ------
    InputError, ImatgenError
        As `Storage`.
    """
    if not path.exists():
        return {}
    inside = {
        1: "collection = collections.number",
        FORMAT: f"number BETWEEN collections.number << {NUMBERS} AND (collections.number + 1 << {NUMBERS}) - 1",
    }
    with closing(open_exclusively(path)) as connection, sentences(path):
        found = found_format(connection, path)
        if found is None:
            return {}
        statement = f"""
            SELECT database || '.' || name, (SELECT count(*) FROM documents WHERE {inside[found]})
            FROM collections ORDER BY 1
        """
        return dict(connection.execute(statement))
