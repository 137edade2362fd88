"""The SQLite file of the embedded LaunchPad: its format, how it is opened, and what is said where that fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imatgen_flows.errors import ImatgenError, InputError

FORMAT = 2  # raise it whenever the tables, or the keys of `ordering`, change
CONVERTED = 1  # a format that `conversion` reads
PATIENCE = 2.0  # s, to wait for another process to close the file
LOG_LIMIT = 16 * 1024**2  # bytes that the log keeps after a checkpoint
CACHE = 32 * 1024**2  # bytes of pages in memory

TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE collections (
  number INTEGER PRIMARY KEY, database TEXT NOT NULL, name TEXT NOT NULL, indexes BLOB NOT NULL, UNIQUE (database, name)
);
CREATE TABLE documents (number INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE entries (
  index_number INTEGER, key BLOB, number INTEGER, PRIMARY KEY (index_number, key, number)
) WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
COMMIT;
"""


def open_exclusively(path: Path) -> sqlite3.Connection:
    """Open the file and lock it.

    Raises
    ------
    InputError, ImatgenError
        Where that is not possible.
    """
    while True:
        before = _identity(path)
        with sentences(path):
            # the server's lock keeps its threads apart
            connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        with sentences(path, connection):
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file: space is given back in small steps
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
            connection.execute(f"PRAGMA cache_size = -{CACHE // 1024}")
            connection.executescript("BEGIN IMMEDIATE; COMMIT;")  # takes the lock
        if before in (None, _identity(path)):
            return connection
        connection.close()  # another server converted the file while this one waited for its lock


def found_format(connection: sqlite3.Connection, path: Path) -> int | None:
    """Return the format of a file; None where it is still empty.

    Raises
    ------
    InputError
        Where it was written by another version.
    """
    [found] = connection.execute("PRAGMA user_version").fetchone()
    [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if found in (FORMAT, CONVERTED):
        return found
    if found or tables:
        raise InputError(
            f"database {path} has format {found}, this version of imatgen-flows reads formats {CONVERTED} and {FORMAT}. Use "
            "the version that wrote it, or start with another directory."
        )
    return None


@contextmanager
def sentences(path: Path, connection: sqlite3.Connection | None = None) -> Iterator[None]:
    """Convert errors of SQLite to ones that say what to do, and close the connection where there is one."""
    try:
        yield
    except (sqlite3.Error, ImatgenError) as error:
        if connection:
            connection.close()
        if isinstance(error, ImatgenError):
            raise
        raise _opening_error(path, error) from error


def _opening_error(path: Path, error: sqlite3.Error) -> ImatgenError:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return ImatgenError(f"database {path} is locked: another server has it open. Stop that one first.")
    if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
        return InputError(f"{path} is no database of the embedded LaunchPad. Start with another directory.")
    if isinstance(error, sqlite3.DatabaseError) and "malformed" in str(error):
        return InputError(
            f"database {path} is damaged or cut short, and is kept as it is. Put a copy in its place, or start with another "
            "directory."
        )
    if isinstance(error, sqlite3.DatabaseError) and "full" in str(error):
        return ImatgenError(f"database {path} cannot be opened: the disk is full. Free some space.")
    return ImatgenError(f"database {path} cannot be opened: {error}.")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
