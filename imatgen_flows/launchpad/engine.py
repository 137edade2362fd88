"""Databases: their collections, the lock that all share, and what happens where the disk fails."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imatgen_flows.launchpad.collection import Collection
from imatgen_flows.launchpad.conversion import convert
from imatgen_flows.launchpad.errors import INVALID_NAMESPACE, OUT_OF_DISK, UNKNOWN, CommandError
from imatgen_flows.launchpad.query import Document
from imatgen_flows.launchpad.storage import Storage

log = logging.getLogger(__name__)

PAUSE = 0.01  # s between two steps that give space back to the disk, for the others


class DatabaseEngine:
    """All collections of one SQLite file.

    One command at a time changes something. The lock of the file is held for a page of a search, or the change of a document.

    Parameters
    ----------
    path : the file, made where it does not exist

    Raises
    ------
    InputError, ImatgenError
        As `storage.Storage`.
    """

    def __init__(self, path: Path) -> None:
        convert(path)
        self._storage = Storage(path)
        self._lock = threading.RLock()
        self._one_change = threading.Lock()
        self._changing: int | None = None  # the thread
        self._collections: dict[tuple[str, str], Collection] = {}
        self._stale = False
        self._freed = threading.Event()
        self._closed = False
        self._load()
        self._cleaner = threading.Thread(target=self._give_back, daemon=True)
        self._cleaner.start()

    def close(self) -> None:
        """Wait for the running command, and close the file."""
        self._closed = True
        self._freed.set()
        self._cleaner.join()
        with self._one_change, self._lock:
            self._storage.close()

    @contextmanager
    def command(self) -> Iterator[None]:
        """Run one changing command at a time; its changes are on disk when the block ends.

        A command that fails half-way keeps its changes to whole documents, as in MongoDB. Searches of others see them before
        they are on disk, as those of MongoDB do by default.

        Raises
        ------
        CommandError
            Where the file cannot be written: then nothing has changed.
        """
        with self._one_change:
            self._changing = threading.get_ident()
            try:
                try:
                    yield
                except sqlite3.Error:
                    raise
                except BaseException:
                    self._commit()
                    raise
                self._commit()
            except sqlite3.Error as error:
                raise self._storage_error(error) from error
            finally:
                self._changing = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the lock of the file; within a changing command too.

        Raises
        ------
        CommandError
            Where the file cannot be read.
        """
        with self._lock:
            try:
                if self._stale:
                    self._load()
                yield
            except sqlite3.Error as error:
                if self._changing == threading.get_ident():
                    raise  # the command ends as a whole
                log.error("cannot read %s: %s", self._storage.path, error)
                raise CommandError(
                    UNKNOWN, f"the embedded LaunchPad cannot read {self._storage.path}: {error}"
                ) from error

    def _commit(self) -> None:
        with self.reading():
            self._storage.commit()
            if self._storage.has_free_pages():
                self._freed.set()

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
            found = self._collections[database, name] = Collection(number, database, name, self._storage, self.reading)
            with self.reading():
                found.save()
        return found

    def find_collection(self, database: str, name: str) -> Collection | None:
        """Return a collection, or None where it does not exist."""
        return self._collections.get((database, name))

    def collections(self, database: str | None = None) -> list[Collection]:
        """Return the collections of a database, or all."""
        return [item for item in list(self._collections.values()) if database in (None, item.database)]

    def drop(self, collection: Collection) -> None:
        """Delete a collection with its documents."""
        del self._collections[collection.database, collection.name]
        collection.drop()

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
        with self.reading():
            collection.save()

    def find(self, database: str, name: str, query: Document) -> Iterator[Document]:
        """Find documents; none where the collection does not exist."""
        collection = self.find_collection(database, name)
        return collection.find(query) if collection else iter(())

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Run a command that changes nothing, beside others; a search holds the lock for its pages only."""
        with self.reading():  # after a failure of the disk, see what is there
            pass
        yield

    def _load(self) -> None:
        """Take the collections from the storage; searches that are under way keep theirs."""
        before, self._collections = self._collections, {}
        for row in self._storage.collections():
            known = before.get((row.database, row.name))
            if known is None or known.number != row.number:
                known = Collection(row.number, row.database, row.name, self._storage, self.reading)
            known.restore(row.indexes)
            self._collections[row.database, row.name] = known
        self._stale = False

    def _give_back(self) -> None:
        """Give the space of deleted documents back to the disk, in small steps."""
        while self._freed.wait() and not self._closed:
            self._freed.clear()
            try:
                more = True
                while more and not self._closed:
                    with self._one_change, self._lock:
                        more = self._storage.give_back()
                    time.sleep(PAUSE)
            except sqlite3.Error as error:
                log.error("cannot give space back to the disk: %s", error)

    def _storage_error(self, error: sqlite3.Error) -> CommandError:
        """Undo the changes of a command: in the file now, and in memory before the next command."""
        with self._lock:
            self._stale = True
            try:
                self._storage.rollback()
            except sqlite3.Error as second:
                log.error("cannot roll back: %s", second)
        log.error("cannot write %s: %s", self._storage.path, error)
        if "malformed" in str(error):
            return CommandError(
                UNKNOWN, f"{self._storage.path} is damaged. Stop the server, and put a copy in its place."
            )
        full = "full" in str(error)
        sentence = f"the embedded LaunchPad cannot write {self._storage.path}: {error}. Nothing was changed."
        return CommandError(OUT_OF_DISK if full else UNKNOWN, sentence + (" Free some space." if full else ""))


def _check_name(name: str) -> None:
    if not name or "$" in name or "\0" in name or name[0] == "." or name[-1] == ".":
        raise CommandError(INVALID_NAMESPACE, f"{name!r} cannot be the name of a collection")
