"""Databases in memory that are written to disk before a command is acknowledged."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bson import decode

from imatgen_flows.launchpad.collection import Collection
from imatgen_flows.launchpad.errors import INVALID_NAMESPACE, OUT_OF_DISK, UNKNOWN, CommandError
from imatgen_flows.launchpad.query import CODEC, Document
from imatgen_flows.launchpad.storage import Storage, StoredCollection

log = logging.getLogger(__name__)


class DatabaseEngine:
    """All collections, written through to one SQLite file.

    Parameters
    ----------
    path : the file, made where it does not exist

    Raises
    ------
    InputError, ImatgenError
        As `storage.Storage`.
    """

    def __init__(self, path: Path) -> None:
        self._storage = Storage(path)
        self._lock = threading.Lock()
        self._collections: dict[tuple[str, str], Collection] = {}
        self._stale = False
        self._load()

    def close(self) -> None:
        """Wait for the running command, and close the file."""
        with self._lock:
            self._storage.close()

    @contextmanager
    def command(self) -> Iterator[None]:
        """Run one command at a time on the collections; its changes are on disk when the block ends.

        A command that fails half-way keeps its changes to whole documents, as in MongoDB.

        Raises
        ------
        CommandError
            Where the file cannot be written: then nothing has changed.
        """
        with self._lock:
            try:
                if self._stale:
                    self._load()
                try:
                    yield
                except sqlite3.Error:
                    raise
                except BaseException:
                    self._storage.commit()
                    raise
                self._storage.commit()
            except sqlite3.Error as error:
                raise self._storage_error(error) from error

    def collection(self, database: str, name: str) -> Collection:
        """Return a collection, made where it does not exist.

        Raises
        ------
        CommandError
            Where the name is not valid.
        """
        found = self.find_collection(database, name)
        if found is None:
            _check_name(name)
            number = max((item.number for item in self._collections.values()), default=0) + 1
            found = self._collections[database, name] = Collection(number, database, name, self._storage)
            found.save()
        return found

    def find_collection(self, database: str, name: str) -> Collection | None:
        """Return a collection, or None where it does not exist."""
        return self._collections.get((database, name))

    def collections(self, database: str | None = None) -> list[Collection]:
        """Return the collections of a database, or all."""
        return [item for item in self._collections.values() if database in (None, item.database)]

    def drop(self, collection: Collection) -> None:
        """Delete a collection with its documents."""
        self._storage.drop_collection(collection.number)
        del self._collections[collection.database, collection.name]

    def rename(self, collection: Collection, database: str, name: str) -> None:
        """Give a collection another name, which must be free.

        Raises
        ------
        CommandError
            Where the name is not valid.
        """
        _check_name(name)
        del self._collections[collection.database, collection.name]
        collection.database, collection.name = database, name
        self._collections[database, name] = collection
        collection.save()

    def find(self, database: str, name: str, query: Document) -> list[Document]:
        """Find documents; none where the collection does not exist."""
        collection = self.find_collection(database, name)
        return collection.find(query) if collection else []

    def _load(self) -> None:
        self._collections = {}
        by_number = {}
        for row in self._storage.collections():
            by_number[row.number] = self._restored(row)
        for number, collection, body in self._storage.documents():
            by_number[collection].restore(number, decode(body, CODEC))
        self._stale = False

    def _restored(self, row: StoredCollection) -> Collection:
        collection = Collection(row.number, row.database, row.name, self._storage)
        collection.restore_indexes(decode(row.indexes, CODEC)["indexes"])
        self._collections[row.database, row.name] = collection
        return collection

    def _storage_error(self, error: sqlite3.Error) -> CommandError:
        """Undo the changes of a command: in the file now, and in memory before the next command."""
        self._stale = True
        try:
            self._storage.rollback()
        except sqlite3.Error as second:
            log.error("cannot roll back: %s", second)
        log.error("cannot write %s: %s", self._storage.path, error)
        full = "full" in str(error)
        sentence = f"the embedded LaunchPad cannot write {self._storage.path}: {error}. Nothing was changed."
        return CommandError(OUT_OF_DISK if full else UNKNOWN, sentence + (" Free some space." if full else ""))


def _check_name(name: str) -> None:
    if not name or "$" in name or "\0" in name or name[0] == "." or name[-1] == ".":
        raise CommandError(INVALID_NAMESPACE, f"{name!r} cannot be the name of a collection")
