"""Clients that misbehave do not stop the server, and do not slow down the others."""

from __future__ import annotations

import logging
import os
import random
import socket
import struct
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from bson import decode, encode
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from imatgen_flows.launchpad import Endpoint
from imatgen_flows.launchpad.control import ServerFiles
from imatgen_flows.launchpad.engine import DatabaseEngine
from imatgen_flows.launchpad.limits import CONNECTIONS, Connections
from imatgen_flows.launchpad.server import Server
from imatgen_flows.launchpad.wire import OP_MSG, OP_QUERY

HELLO = {
    "hello": 1,
    "helloOk": True,
    "client": {"driver": {"name": "PyMongo", "version": "4.10.1"}, "os": {"type": "Linux"}, "platform": "CPython"},
    "saslSupportedMechs": "admin.imatgen",
    "speculativeAuthenticate": {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"n,,n=imatgen,r=abc"},
    "$db": "admin",
}


def framed(body, kind=OP_MSG, length=None):
    return struct.pack("<iiii", 16 + len(body) if length is None else length, 1, 0, kind) + body


def message(command, flags=0):
    return framed(struct.pack("<IB", flags, 0) + encode(command))


def nested(depth):
    """A document in a document in a document, written without recursion."""
    body = b"\5\0\0\0\0"
    for _ in range(depth):
        body = struct.pack("<i", len(body) + 8) + b"\3a\0" + body + b"\0"
    return body


PING = encode({"ping": 1, "$db": "admin"})
MALFORMED = {
    "nothing": b"",
    "half a header": b"\x20\0\0\0\1",
    "text": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"\7" * 160,
    "ones": b"\xff" * 64,
    "zeros": b"\0" * 64,
    "length 0": framed(b"", length=0),
    "length 15": framed(b"", length=15),
    "length below zero": framed(b"\0" * 40, length=-1),
    "longest length": framed(b"\0" * 40, length=2**31 - 1),
    "48 MB announced": framed(b"\0" * 40, length=48_000_000),
    "shorter than its length": framed(b"\0" * 4, length=900),
    "no body": framed(b""),
    "two bytes": framed(b"\0\0"),
    "no section": framed(b"\0\0\0\0"),
    "unknown kind": framed(PING, kind=4711),
    "compressed": framed(struct.pack("<iib", OP_MSG, 40, 2) + b"\1" * 40, kind=2012),
    "old insert": framed(struct.pack("<i", 0) + b"a.b\0" + encode({"a": 1}), kind=2002),
    "unknown section": framed(b"\0\0\0\0\7" + PING),
    "section of no length": framed(b"\0\0\0\0\0" + b"\0\0\0\0"),
    "section that is too long": framed(b"\0\0\0\0\0" + struct.pack("<i", 10_000) + PING[4:]),
    "section without a name": framed(b"\0\0\0\0\1" + struct.pack("<i", 12) + b"document"),
    "sequence of broken documents": framed(b"\0\0\0\0\1" + struct.pack("<i", 14) + b"a\0" + b"\1\0\0\0\0\0\0\0"),
    "document without its end": framed(b"\0\0\0\0\0" + PING[:-1] + b"\1"),
    "element of no type": framed(b"\0\0\0\0\0" + PING.replace(b"\x10ping", b"\x99ping")),
    "text that is no UTF-8": framed(b"\0\0\0\0\0" + PING.replace(b"admin", b"\xff\xfe\xfd\xfc\xfb")),
    "checksum and no more": framed(struct.pack("<I", 1)),
    "query without a name": framed(b"\0\0\0\0admin", kind=OP_QUERY),
    "query without a document": framed(b"\0\0\0\0admin.$cmd\0" + struct.pack("<ii", 0, -1), kind=OP_QUERY),
    "documents 10,000 deep": framed(b"\0\0\0\0\0" + nested(5_000)),
    "empty command": framed(b"\0\0\0\0\0" + encode({})),
}


@contextmanager
def stranger(endpoint):
    with socket.create_connection((endpoint.host, endpoint.port), timeout=10) as connection:
        yield connection


def answer(connection):
    """The reply to a message; None where the server closed the connection."""
    received = b""
    while len(received) < 4 or len(received) < struct.unpack_from("<i", received)[0]:
        try:
            part = connection.recv(65536)
        except ConnectionError:
            return None
        if not part:
            return None
        received += part
    return decode(received[21 if struct.unpack_from("<i", received, 12)[0] == OP_MSG else 36 :])


@pytest.fixture
def waits(database):
    """How long the finds of another client take, while something else goes on: a list of seconds."""

    @contextmanager
    def measure():
        database.others.insert_one({"_id": 1})
        taken, done = [], threading.Event()

        def find():
            while not done.is_set():
                start = time.monotonic()
                assert database.others.find_one({"_id": 1})
                taken.append(time.monotonic() - start)
                time.sleep(0.01)

        thread = threading.Thread(target=find)
        thread.start()
        try:
            yield taken
        finally:
            done.set()
            thread.join()
            taken.sort()

    return measure


def most(taken):
    """The time within which 9 of 10 were served: a busy machine may hold up one of them."""
    assert len(taken) > 3
    return taken[len(taken) * 9 // 10]


@contextmanager
def server(directory):
    """A server in this process, so that its limits can be lowered."""
    endpoint = Endpoint("127.0.0.1", 0, "imatgen", "secret")
    engine = DatabaseEngine(directory / "database.sqlite")
    with Server(endpoint, engine) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield replace(endpoint, port=serving.server_address[1]), serving
        finally:
            serving.shutdown()
            thread.join()
    engine.close()


def test_malformed_messages_end_their_connection_and_nothing_else(endpoint, waits):
    with waits() as taken:
        while len(taken) < 20:
            for name, content in MALFORMED.items():
                with stranger(endpoint) as connection:
                    connection.sendall(content)
                    with suppress(OSError):  # it was closed already
                        connection.shutdown(socket.SHUT_WR)
                    reply = answer(connection)
                    assert reply is None or reply["ok"] == 0, name
    assert most(taken) < 0.1


def test_mutated_hellos_are_answered_or_left(endpoint, waits):
    dice = random.Random(20)
    with waits() as taken:
        for _ in range(1_500):
            content = bytearray(message(HELLO))
            for _ in range(dice.randrange(1, 6)):
                content[dice.randrange(4, len(content))] = dice.randrange(256)
            if dice.random() < 0.2:
                content = content[: dice.randrange(len(content))]
            with stranger(endpoint) as connection:
                connection.sendall(content)
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
                reply = answer(connection)
                assert reply is None or "ok" in reply
    assert most(taken) < 0.1
    with stranger(endpoint) as connection:
        connection.sendall(message(HELLO))
        assert answer(connection)["ok"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"hello": {"a": []}},
        {"client": 1},
        {"saslSupportedMechs": {"$gt": 1}},
        {"speculativeAuthenticate": []},
        {"speculativeAuthenticate": {"mechanism": ["SCRAM-SHA-256"]}},
        {"speculativeAuthenticate": {"mechanism": "SCRAM-SHA-256", "payload": 7}},
        {"speculativeAuthenticate": {"mechanism": "SCRAM-SHA-256", "payload": b"n,,n=\xff,r=1"}},
        {"$db": 5},
        {"maxTimeMS": "long"},
    ],
)
def test_hellos_with_values_of_other_types_are_answered(endpoint, change):
    with stranger(endpoint) as connection:
        connection.sendall(message(HELLO | change))
        assert "ok" in answer(connection)
        connection.sendall(message({"find": "things", "$db": "any"}))
        assert answer(connection)["code"] == 13


def test_500_idle_connections_cost_the_others_nothing(endpoint, server_directory, waits):
    pid = ServerFiles(server_directory).running()

    def resident():
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    with ExitStack() as stack, waits() as taken:
        idle = [stack.enter_context(stranger(endpoint)) for _ in range(500)]
        for connection in idle:
            connection.sendall(message(HELLO))
        assert all(answer(connection)["ok"] == 1 for connection in idle)
        time.sleep(0.5)
        grown = resident() - before
    assert most(taken) < 0.1
    assert grown < 100e6


def test_a_connection_too_many_is_told_so(tmp_path, connect, caplog):
    with server(tmp_path) as (endpoint, serving), ExitStack() as stack:
        serving.connections = Connections(5)
        idle = [stack.enter_context(stranger(endpoint)) for _ in range(5)]
        for connection in idle:
            connection.sendall(message(HELLO))
            assert answer(connection)["ok"] == 1
        with connect(endpoint, serverSelectionTimeoutMS=500) as client:
            with pytest.raises(
                ServerSelectionTimeoutError, match="has 5 connections, as many as it serves. Close some"
            ):
                client.admin.command("ping")
        assert "refused a connection" in caplog.text
        stack.close()
        with connect(endpoint) as client:
            assert client["any"].things.find_one() is None


def test_strangers_that_are_silent_are_closed_and_users_are_not(tmp_path, connect, monkeypatch, caplog):
    for name, seconds in {"FIRST_MESSAGE": 0.4, "SILENCE": 1.5, "TRANSFER": 0.6}.items():
        monkeypatch.setattr(f"imatgen_flows.launchpad.server.{name}", seconds)
    with server(tmp_path) as (endpoint, _), ExitStack() as stack:
        silent, greeted, slow = (stack.enter_context(stranger(endpoint)) for _ in range(3))
        user = stack.enter_context(connect(endpoint, maxPoolSize=1, heartbeatFrequencyMS=500))
        assert user["any"].things.insert_one({"_id": 1})
        greeted.sendall(message(HELLO))
        assert answer(greeted)["ok"] == 1
        for byte in message(HELLO)[:20]:  # one byte after the other is no way to hold a connection
            with suppress(OSError):
                slow.sendall(bytes([byte]))
            time.sleep(0.1)
        for connection in (silent, greeted, slow):
            assert answer(connection) is None
        pool = next(iter(user._topology._servers.values())).pool
        [kept] = pool.conns
        assert user["any"].things.find_one({"_id": 1})
        assert list(pool.conns) == [kept]
    assert "silent for too long" in caplog.text


def test_a_thousand_wrong_passwords_leave_the_right_one_served(endpoint, connect, waits):
    refused = []

    def guess(number):
        with stranger(endpoint) as connection:
            for _ in range(number):
                connection.sendall(message({**HELLO["speculativeAuthenticate"], "$db": "admin"}))
                first = answer(connection)["payload"]
                nonce = first.split(b",")[0]
                proof = b"c=biws," + nonce + b",p=" + b"AAAA" * 11
                connection.sendall(message({"saslContinue": 1, "payload": proof, "$db": "admin"}))
                refused.append(answer(connection)["code"])

    threads = [threading.Thread(target=guess, args=(25,)) for _ in range(40)]
    start = time.monotonic()
    with waits() as taken:
        for thread in threads:
            thread.start()
        with connect(endpoint) as client:
            assert client["any"].things.find_one() is None
        for thread in threads:
            thread.join()
    assert refused == [18] * 1_000
    assert time.monotonic() - start > 25 * 0.2 * 0.9  # each client was slowed down
    assert most(taken) < 0.1
    with connect(endpoint, password="wrong") as client, pytest.raises(OperationFailure, match="Authentication failed"):
        client["any"].things.find_one()


def test_the_limits_are_far_from_what_a_campaign_needs():
    assert CONNECTIONS >= 2 * 500
    assert Connections().limit <= CONNECTIONS


def test_a_long_log_is_renamed(tmp_path, monkeypatch):
    from imatgen_flows.launchpad.server import _Log

    log = _Log(tmp_path / "server.log", maxBytes=2_000, backupCount=2)
    monkeypatch.setattr("sys.stdout", (tmp_path / "out").open("w"))
    monkeypatch.setattr("sys.stderr", (tmp_path / "err").open("w"))
    for number in range(200):
        log.emit(logging.makeLogRecord({"msg": f"line {number} " + "x" * 50}))
    os.write(sys.stderr.fileno(), b"a crash of the interpreter")
    log.close()
    assert sorted(path.name for path in tmp_path.glob("server.log*")) == ["server.log", "server.log.1", "server.log.2"]
    assert sum(path.stat().st_size for path in tmp_path.glob("server.log*")) < 6_100
    assert "a crash" in (tmp_path / "server.log").read_text() and "line 199" in (tmp_path / "server.log").read_text()
