"""Conversion of a database file of the first format, which had no entries of indexes.

The new file is written beside the old one and takes its place when it is on disk: a kill leaves the one or the other.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bson import decode

from imatgen_flows.launchpad.database_file import CONVERTED, TABLES, found_format, open_exclusively, sentences
from imatgen_flows.launchpad.indexes import Index, to_bytes
from imatgen_flows.launchpad.query import CODEC
from imatgen_flows.launchpad.storage import first_index, numbers_of

log = logging.getLogger(__name__)


def convert(path: Path) -> None:
    """Convert a file of the first format; nothing where there is none.

    Raises
    ------
    InputError, ImatgenError
        Where the file cannot be read, or the new one not written. Then the old one is as it was.
    """
    if not path.exists():
        return
    with closing(open_exclusively(path)) as old, sentences(path):
        if found_format(old, path) != CONVERTED:
            return
        log.info("converting %s to the format of this version", path)
        old.execute("PRAGMA journal_mode = DELETE")  # its log must not be taken for that of the new file
        new_path = path.with_name(path.name + ".new")
        new_path.unlink(missing_ok=True)  # of a conversion that was killed
        try:
            with closing(sqlite3.connect(new_path, isolation_level=None)) as new:
                _copy(old, new)
            _sync(new_path)
        except BaseException:
            new_path.unlink(missing_ok=True)
            raise
        new_path.replace(path)
        _sync(path.parent)


def _copy(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    new.execute("PRAGMA auto_vacuum = INCREMENTAL")
    new.execute("PRAGMA journal_mode = OFF")  # nobody reads it before it is whole
    new.execute("PRAGMA synchronous = OFF")
    new.executescript(TABLES)
    new.execute("BEGIN")
    for number, database, name, stored in old.execute(
        "SELECT number, database, name, indexes FROM collections"
    ).fetchall():
        definitions = decode(stored, CODEC)["indexes"]
        indexes = [Index(first_index(number) + position, one) for position, one in enumerate(definitions)]
        statement = "SELECT number, body FROM documents WHERE collection = ? ORDER BY number"
        for position, body in old.execute(statement, (number,)):
            document_number = numbers_of(number)[0] + position
            new.execute("INSERT INTO documents VALUES (?, ?)", (document_number, body))
            new.executemany("INSERT INTO entries VALUES (?, ?, ?)", _entries(indexes, document_number, body))
        new.execute("INSERT INTO collections VALUES (?, ?, ?, ?)", (number, database, name, to_bytes(indexes)))
    new.execute("COMMIT")


def _entries(indexes: list[Index], number: int, body: bytes) -> Iterator[tuple[int, bytes, int]]:
    document = decode(body, CODEC)
    for index in indexes:
        index.multikey = index.multikey or index.has_array(document)
        for key in index.keys(document):
            yield index.number, key, number


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
