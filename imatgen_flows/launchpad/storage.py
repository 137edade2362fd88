"""Storage of all documents in one SQLite file, each as BSON.

Every command that changes something is one transaction, committed before its reply. With a write-ahead log and
`synchronous=FULL` the log reaches the disk within the commit: what was acknowledged survives a kill and, if the disk
flushes its cache when it is told to, a power cut. The file is locked for as long as the server runs, which also spares SQLite
the shared memory that network file systems lack.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imatgen_flows.errors import ImatgenError, InputError

FORMAT = 1  # raise it whenever the tables change
PATIENCE = 2.0  # s, to wait for another process to close the file
LOG_LIMIT = 64 * 1024**2  # bytes that the log keeps after a checkpoint

TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE collections (
  number INTEGER PRIMARY KEY, database TEXT NOT NULL, name TEXT NOT NULL, indexes BLOB NOT NULL, UNIQUE (database, name)
);
CREATE TABLE documents (number INTEGER PRIMARY KEY, collection INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX documents_of ON documents (collection);
PRAGMA user_version = {FORMAT};
COMMIT;
"""


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
    path : made where it does not exist

    Raises
    ------
    InputError
        Where the file was written by another version, or is not a database of the embedded LaunchPad.
    ImatgenError
        Where another process holds the file, or it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # the server's lock keeps its threads apart
            self.connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            self.connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = FULL")
            self.connection.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
            self.connection.executescript("BEGIN IMMEDIATE; COMMIT;")  # takes the lock
            if is_new(self.connection, path):
                self.connection.executescript(TABLES)
        except sqlite3.Error as error:
            raise opening_error(path, error) from error

    def close(self) -> None:
        """Write the log into the file, and close it."""
        self.connection.close()

    def collections(self) -> Iterator[StoredCollection]:
        """Read all collections."""
        for row in self.connection.execute("SELECT number, database, name, indexes FROM collections ORDER BY number"):
            yield StoredCollection(*row)

    def documents(self) -> Iterator[tuple[int, int, bytes]]:
        """Read all documents as (number, collection, body), in the order they were inserted."""
        yield from self.connection.execute("SELECT number, collection, body FROM documents ORDER BY number")

    def insert(self, collection: int, body: bytes) -> int:
        """Write a new document and return its number, higher than those before."""
        return self._change("INSERT INTO documents (collection, body) VALUES (?, ?)", collection, body)

    def replace(self, number: int, body: bytes) -> None:
        """Replace a document."""
        self._change("UPDATE documents SET body = ? WHERE number = ?", body, number)

    def delete(self, number: int) -> None:
        """Delete a document."""
        self._change("DELETE FROM documents WHERE number = ?", number)

    def put_collection(self, row: StoredCollection) -> None:
        """Write a collection, new or with other indexes."""
        values = (row.number, row.database, row.name, row.indexes)
        self._change("INSERT OR REPLACE INTO collections VALUES (?, ?, ?, ?)", *values)

    def drop_collection(self, number: int) -> None:
        """Delete a collection with its documents."""
        self._change("DELETE FROM documents WHERE collection = ?", number)
        self._change("DELETE FROM collections WHERE number = ?", number)

    def commit(self) -> None:
        """Commit the changes since the last commit."""
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")

    def rollback(self) -> None:
        """Discard the changes since the last commit."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def _change(self, statement: str, *values: object) -> int:
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")
        return self.connection.execute(statement, values).lastrowid or 0


def count_documents(path: Path) -> dict[str, int]:
    """Count the documents of each collection, as `database.collection`, in a file that no server has open.

    Raises
    ------
    InputError, ImatgenError
        As `Storage`.
    """
    if not path.exists():
        return {}
    statement = """
        SELECT database || '.' || name, (SELECT count(*) FROM documents WHERE collection = collections.number)
        FROM collections ORDER BY 1
    """
    try:
        connection = sqlite3.connect(path, timeout=PATIENCE)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            return {} if is_new(connection, path) else dict(connection.execute(statement))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise opening_error(path, error) from error


def is_new(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether a file is still empty.

    Raises
    ------
    InputError
        Where it was written by another version.
    """
    [found] = connection.execute("PRAGMA user_version").fetchone()
    [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if found == FORMAT:
        return False
    if found or tables:
        raise InputError(
            f"database {path} has format {found}, this version of imatgen-flows reads format {FORMAT}. Use the version "
            "that wrote it, or start with another directory."
        )
    return True


def opening_error(path: Path, error: sqlite3.Error) -> ImatgenError:
    """Convert an error of SQLite at the opening of a file to one that says what to do."""
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return ImatgenError(f"database {path} is locked: another server has it open. Stop that one first.")
    if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
        return InputError(f"{path} is no database of the embedded LaunchPad. Start with another directory.")
    return ImatgenError(f"database {path} cannot be opened: {error}.")
