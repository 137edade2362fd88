"""The database file: one of the first format, one that is damaged, and a disk that is full when it is opened."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from bson import encode

from imatgen_flows import launchpad
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.launchpad import conversion
from imatgen_flows.launchpad.control import ServerFiles
from imatgen_flows.launchpad.engine import DatabaseEngine

# as the first version wrote it
FIRST_FORMAT = """
CREATE TABLE collections (
  number INTEGER PRIMARY KEY, database TEXT NOT NULL, name TEXT NOT NULL, indexes BLOB NOT NULL, UNIQUE (database, name)
);
CREATE TABLE documents (number INTEGER PRIMARY KEY, collection INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX documents_of ON documents (collection);
PRAGMA user_version = 1;
"""
INDEXES = [
    {"v": 2, "key": {"_id": 1}, "name": "_id_", "unique": True},
    {"v": 2, "key": {"n": 1}, "name": "n_1", "unique": True},
    {"v": 2, "key": {"tags": -1}, "name": "tags_-1"},
]
NUMBER = 3_000


@pytest.fixture
def directory(tmp_path):
    launchpad.prepare(tmp_path / "launchpad")
    yield tmp_path / "launchpad"
    launchpad.stop(tmp_path / "launchpad")


@pytest.fixture
def database(directory):
    return ServerFiles(directory).database


@pytest.fixture
def first_format(database):
    """A file of the first format, with a log that was not yet written into it."""
    file = sqlite3.connect(database, isolation_level=None)
    file.execute("PRAGMA journal_mode = WAL")
    file.executescript(FIRST_FORMAT)
    file.execute("BEGIN")
    for number, name in ((1, "fireworks"), (3, "launches")):
        file.execute("INSERT INTO collections VALUES (?, 'fw', ?, ?)", (number, name, encode({"indexes": INDEXES})))
    for n in range(NUMBER):
        body = encode({"_id": n, "n": n * 7 % NUMBER, "tags": [n % 3, n % 5], "text": "x" * 300})
        file.execute("INSERT INTO documents (collection, body) VALUES (?, ?)", ((1, 3)[n % 2], body))
    file.execute("COMMIT")
    copies = {path: path.read_bytes() for path in database.parent.glob("database*")}
    file.close()
    for path, content in copies.items():
        path.write_bytes(content)
    database.with_name("database.sqlite-shm").unlink(missing_ok=True)
    return database


def check(endpoint, connect):
    with connect(endpoint) as client:
        for position, name in enumerate(("fireworks", "launches")):
            things, own = client["fw"][name], range(position, NUMBER, 2)
            assert [row["_id"] for row in things.find()] == list(own)
            assert [row["n"] for row in things.find(sort=[("n", 1)])] == sorted(n * 7 % NUMBER for n in own)
            assert things.count_documents({"tags": 4}) == sum(n % 5 == 4 for n in own)
            assert set(things.index_information()) == {"_id_", "n_1", "tags_-1"}


def test_a_file_of_the_first_format_is_converted(first_format, directory, connect):
    expected = {"fw.fireworks": NUMBER // 2, "fw.launches": NUMBER // 2}
    assert launchpad.status(directory).documents == expected  # read as it is
    check(launchpad.start(directory), connect)
    launchpad.stop(directory)
    check(launchpad.start(directory), connect)
    launchpad.stop(directory)
    assert launchpad.status(directory).documents == expected
    assert {path.name for path in directory.glob("database*")} == {"database.sqlite"}
    with closing(sqlite3.connect(first_format)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (2,)
        assert file.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_conversion_that_is_killed_loses_nothing(first_format, directory, connect):
    program = f"""
import sys
from pathlib import Path
from imatgen_flows.launchpad.conversion import convert
print("ready", flush=True)
convert(Path({str(first_format)!r}))
"""
    for attempt in range(6):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(0.02 * attempt)
            os.kill(process.pid, signal.SIGKILL)
    check(launchpad.start(directory), connect)
    assert not first_format.with_name("database.sqlite.new").exists()


def test_a_conversion_without_space_leaves_the_file_as_it_was(first_format, monkeypatch):
    def fail(old, new):
        new.executescript(
            "PRAGMA max_page_count = 3; CREATE TABLE large (x); INSERT INTO large VALUES (zeroblob(100000))"
        )

    monkeypatch.setattr(conversion, "_copy", fail)
    with pytest.raises(ImatgenError, match=r"the disk is full. Free some space"):
        DatabaseEngine(first_format)
    monkeypatch.undo()
    assert not first_format.with_name("database.sqlite.new").exists()
    engine = DatabaseEngine(first_format)
    assert sum(map(len, engine.collections())) == NUMBER
    engine.close()


def test_a_server_that_waited_for_a_conversion_opens_the_new_file(first_format):
    engine = DatabaseEngine(first_format)
    with pytest.raises(ImatgenError, match="another server has it open"):
        DatabaseEngine(first_format)
    engine.close()
    engine = DatabaseEngine(first_format)
    assert sum(map(len, engine.collections())) == NUMBER
    engine.close()


@pytest.mark.parametrize("kept", [0.9, 0.5, 0.1, 0.01])
def test_a_file_that_is_cut_short_is_refused_and_kept(directory, database, connect, kept):
    with connect(launchpad.start(directory)) as client:
        client["fw"].things.insert_many([{"n": n, "text": "x" * 1000} for n in range(500)])
    launchpad.stop(directory)
    content = database.read_bytes()[: int(kept * database.stat().st_size)]
    database.write_bytes(content)
    for use in (launchpad.start, launchpad.status):
        with pytest.raises(ImatgenError, match="is damaged or cut short, and is kept as it is"):
            use(directory)
    assert database.read_bytes() == content


def test_a_page_that_is_damaged_is_named_when_it_is_met(directory, database, connect):
    with connect(launchpad.start(directory)) as client:
        client["fw"].things.insert_many([{"n": n, "text": "x" * 1000} for n in range(500)])
    launchpad.stop(directory)
    content = bytearray(database.read_bytes())
    for position in range(len(content) // 2, len(content) // 2 + 20 * 4096):
        content[position] = 0xA5
    database.write_bytes(content)
    try:
        endpoint = launchpad.start(directory)
    except InputError:
        return
    with connect(endpoint) as client, pytest.raises(Exception, match="damaged|malformed|cannot read"):
        list(client["fw"].things.find())
