"""Authentication, secrecy of the password, start and stop of the server."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from base64 import b64encode
from contextlib import closing, suppress
from pathlib import Path

import pytest
from pymongo.errors import OperationFailure, PyMongoError
from typer.testing import CliRunner

from imatgen_flows import launchpad
from imatgen_flows.cli.launchpad import launchpad_app
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.io.lock import in_turn
from imatgen_flows.launchpad.commands import Commands
from imatgen_flows.launchpad.control import ServerFiles
from imatgen_flows.launchpad.database_file import PATIENCE
from imatgen_flows.launchpad.engine import DatabaseEngine
from imatgen_flows.launchpad.scram import MECHANISM, Keys
from imatgen_flows.launchpad.server import Session


@pytest.fixture
def directory(tmp_path):
    yield tmp_path / "launchpad"
    launchpad.stop(tmp_path / "launchpad")


# who may use it


@pytest.mark.parametrize("login", [{"password": "wrong"}, {"username": "other"}], ids=["password", "user"])
def test_a_wrong_login_is_refused(endpoint, connect, login):
    with connect(endpoint, **login) as client, pytest.raises(OperationFailure, match="Authentication failed") as raised:
        client["any"].things.find_one()
    assert raised.value.code == 18


def test_another_mechanism_is_refused(endpoint, connect):
    with connect(endpoint, authMechanism="SCRAM-SHA-1") as client, pytest.raises(OperationFailure, match="Authentic"):
        client["any"].things.find_one()


@pytest.mark.parametrize("source", ["admin", "fireworks", "any"])
def test_the_user_is_known_in_every_database(endpoint, connect, source):
    with connect(endpoint, authSource=source) as client:
        assert client["any"].things.find_one() is None


def test_strangers_get_greetings_only(endpoint, connect):
    with connect(endpoint, username=None, password=None) as client:
        assert client.admin.command("ping")["ok"] == 1
        assert client.admin.command("buildInfo")["ok"] == 1
        for command in (
            client["any"].things.find_one,
            lambda: client["any"].things.insert_one({}),
            lambda: client["any"].things.find_one_and_update({}, {"$set": {"a": 1}}),
            client.list_database_names,
            lambda: client.drop_database("any"),
            lambda: client.admin.command("endSessions", []),
        ):
            with pytest.raises(OperationFailure, match="requires authentication") as raised:
                command()
            assert raised.value.code == 13


def test_a_proof_counts_once_and_only_for_its_own_conversation(tmp_path):
    engine = DatabaseEngine(tmp_path / "database.sqlite")
    session = Session(Keys.of("imatgen", "secret"), Commands(engine))
    first = {"saslStart": 1, "mechanism": MECHANISM, "payload": b"n,,n=imatgen,r=nonce"}
    final = {"saslContinue": 1, "payload": b"c=biws,r=nonce,p=" + b64encode(b"\0" * 32)}
    empty = {"saslContinue": 1, "payload": b""}
    attempts = [[final], [empty], [first, final], [first, final, empty], [first, empty], [first, first, final]]
    attempts += [[{**first, "payload": payload}] for payload in (b"", b"n,,", b"n,,n=imatgen", b"y,,n=a,r=b", b"\xff")]
    attempts += [[{**first, "mechanism": "PLAIN"}], [{**first, "payload": "text"}]]
    for attempt in attempts:
        *_, last = (session.reply(message) for message in attempt)
        assert last["ok"] == 0
        assert session.reply({"find": "things", "$db": "any"})["code"] == 13
    engine.close()


def test_clients_that_talk_nonsense_are_left(endpoint, connect):
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, (48_000_000).to_bytes(4, "little") + b"\0" * 60):
        with socket.create_connection((endpoint.host, endpoint.port)) as stranger:
            stranger.settimeout(10)
            stranger.sendall(nonsense)
            assert stranger.recv(100) == b""
    with connect(endpoint) as client:
        assert client.admin.command("ping")["ok"] == 1


# its secrets


def test_the_password_is_readable_by_its_owner_alone(directory):
    before = os.umask(0)
    try:
        endpoint = launchpad.prepare(directory)
    finally:
        os.umask(before)
    assert stat.S_IMODE((directory / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert (directory / "token").read_text().strip() == endpoint.password
    assert len(endpoint.password) > 40


def test_the_password_shows_nowhere(directory, connect):
    endpoint = launchpad.start(directory)
    with connect(endpoint, password="guess") as client, pytest.raises(PyMongoError):
        client["any"].things.find_one()
    with connect(endpoint) as client, pytest.raises(PyMongoError):
        client["any"].command("unknown")
    status = launchpad.status(directory)
    shown = CliRunner().invoke(launchpad_app, ["status", "--cluster", str(directory.parent), "--json"]).output
    command_line = Path(f"/proc/{status.pid}/cmdline").read_bytes().decode()
    environment = Path(f"/proc/{status.pid}/environ").read_bytes().decode(errors="replace")
    launchpad.stop(directory)
    log = (directory / "server.log").read_text()
    assert "refused" in log and str(directory) in command_line
    for text in (repr(endpoint), str(endpoint), repr(status), shown, command_line, environment, log):
        assert endpoint.password not in text
    for path in directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


# start and stop


def test_what_was_written_is_there_after_a_restart(directory, connect):
    endpoint = launchpad.start(directory)
    with connect(endpoint) as client:
        client["one"].things.insert_many([{"_id": n} for n in (3, 1, 2)])
        client["one"].things.create_index([("a", 1), ("b", -1)], unique=True, sparse=True)
        client["two"].things.insert_one({"x": {"y": [1]}})
        client["two"].gone.insert_one({})
        client["two"].gone.drop()
        indexes = client["one"].things.index_information()
    assert launchpad.stop(directory) is True
    assert launchpad.start(directory) == endpoint
    with connect(endpoint) as client:
        assert [row["_id"] for row in client["one"].things.find()] == [3, 1, 2]
        assert client["one"].things.index_information() == indexes
        assert client["two"].list_collection_names() == ["things"]
        assert client["two"].things.find_one({}, {"_id": 0}) == {"x": {"y": [1]}}
        client["one"].things.insert_one({"_id": 4})
        assert [row["_id"] for row in client["one"].things.find()] == [3, 1, 2, 4]


def test_starting_a_server_that_runs_changes_nothing(directory):
    first = launchpad.start(directory)
    pid = launchpad.status(directory).pid
    assert launchpad.start(directory) == first and launchpad.status(directory).pid == pid
    with pytest.raises(InputError, match="Stop it to choose another"):
        launchpad.prepare(directory, first.port + 1)
    assert launchpad.stop(directory) is True
    assert launchpad.stop(directory) is False


def test_servers_started_at_the_same_time_are_one(directory):
    found = []
    threads = [threading.Thread(target=lambda: found.append(launchpad.start(directory))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and len(set(found)) == 1
    assert launchpad.stop(directory) is True
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # a process that ended meanwhile
            assert str(directory).encode() not in path.read_bytes()  # none waits for its turn


def test_who_starts_it_second_waits_for_a_slow_first(directory):
    endpoint = launchpad.prepare(directory)
    found = []
    second = threading.Thread(target=lambda: found.append(launchpad.start(directory)))
    with in_turn(directory), closing(DatabaseEngine(ServerFiles(directory).database)):
        second.start()
        second.join(PATIENCE + 0.5)  # longer than a server waits for the file
        assert second.is_alive() and not found
    second.join()
    assert found == [endpoint]


def test_the_port_is_remembered_and_can_be_chosen(directory):
    first = launchpad.prepare(directory)
    assert launchpad.prepare(directory) == first
    other = launchpad.prepare(directory, first.port + 1)
    assert (other.port, other.password) == (first.port + 1, first.password)
    assert json.loads((directory / "endpoint.json").read_text()) == {"host": "127.0.0.1", "port": other.port}


@pytest.mark.parametrize(
    ("name", "content"),
    [("endpoint.json", ""), ("endpoint.json", "[]"), ("endpoint.json", '{"host": "x"}'), ("token", ""), ("token", "é")],
)
def test_a_damaged_file_is_named(directory, name, content):
    launchpad.prepare(directory)
    (directory / name).write_text(content)
    with pytest.raises(InputError, match=f"{name} is damaged: delete it"):
        launchpad.start(directory)


def test_a_port_that_is_taken_is_named(directory):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        launchpad.prepare(directory, port)
        with pytest.raises(ImatgenError, match=f"port {port} is taken by another program"):
            launchpad.start(directory)
    launchpad.start(directory)  # once it is free


def test_a_database_that_another_server_holds_is_left_alone(directory):
    launchpad.prepare(directory)
    engine = DatabaseEngine(ServerFiles(directory).database)
    with pytest.raises(ImatgenError, match="another server has it open"):
        launchpad.start(directory)
    engine.close()
    launchpad.start(directory)


def test_a_database_of_another_version_is_refused(directory):
    launchpad.start(directory)
    launchpad.stop(directory)
    with closing(sqlite3.connect(ServerFiles(directory).database)) as file:
        file.execute("PRAGMA user_version = 99")
    for use in (launchpad.start, launchpad.status):
        with pytest.raises(ImatgenError, match=r"has format 99, this version .* reads formats 1 and 2"):
            use(directory)


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to look like something" * 20, b"SQLite format 3\0"]
)
def test_a_file_that_is_no_database_is_refused(directory, content):
    launchpad.prepare(directory)
    ServerFiles(directory).database.write_bytes(content)
    with pytest.raises(ImatgenError, match="database"):
        launchpad.start(directory)
    assert ServerFiles(directory).database.read_bytes() == content


def test_a_process_with_a_number_used_again_is_not_killed(directory):
    launchpad.prepare(directory)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        files = ServerFiles(directory)
        files.record_process(bystander.pid)
        assert files.running() == bystander.pid
        record = json.loads((directory / "process.json").read_text())
        (directory / "process.json").write_text(json.dumps(record | {"started": "long ago"}))
        assert launchpad.stop(directory) is False
        assert bystander.poll() is None
        bystander.communicate(b"\n")


def test_a_server_of_another_machine_is_not_judged_from_here(directory):
    launchpad.prepare(directory)
    record = {"pid": os.getpid(), "started": "", "machine": "elsewhere"}
    (directory / "process.json").write_text(json.dumps(record))
    for use in (launchpad.start, launchpad.stop, launchpad.status):
        with pytest.raises(ImatgenError, match="started on elsewhere"):
            use(directory)
    (directory / "process.json").unlink()


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=f"cannot write to {tmp_path / 'file'}"):
        launchpad.start(tmp_path / "file")


def test_the_commands_start_show_and_stop(directory, connect, monkeypatch):
    def invoke(*arguments):
        done = CliRunner().invoke(launchpad_app, arguments, catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    monkeypatch.setenv("IMATGEN_CLUSTER", str(directory.parent))
    monkeypatch.setenv("COLUMNS", "200")
    assert "answers at 127.0.0.1" in invoke("start")
    with connect(launchpad.prepare(directory)) as client:
        client["fireworks"].launches.insert_many([{}, {}])
    found = json.loads(invoke("status", "--json"))
    assert found["running"] and found["documents"] == {"fireworks.launches": 2} and found["nbytes"] > 0
    assert "process" in invoke("status") and "fireworks.launches" in invoke("status")
    assert "stopped" in invoke("stop", "--cluster", str(directory.parent))
    found = json.loads(invoke("status", "--json"))
    assert not found["running"] and found["pid"] is None and found["documents"] == {"fireworks.launches": 2}
    assert "not running" in invoke("stop")
    assert "Production is MongoDB" in " ".join(invoke("--help").split())


def test_asking_for_a_launchpad_that_never_was_makes_none(tmp_path):
    with pytest.raises(InputError, match="holds no LaunchPad"):
        launchpad.status(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
