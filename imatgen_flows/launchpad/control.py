"""Control of the server process of a directory: start, stop and status."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.io.lock import in_turn

if TYPE_CHECKING:
    from pymongo import MongoClient

HOST = "127.0.0.1"
USERNAME = "imatgen"
PORTS = range(20_000, 30_000)  # below the ephemeral ports, which systems give to clients
PATIENCE = 60.0  # s for a server to read its database, or to finish its command
POLL = 0.05  # s between two checks


@dataclass(frozen=True)
class Endpoint:
    """Address and credentials of the database, for FireWorks and maggma."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Status:
    """The state of the server of a directory.

    Attributes
    ----------
    pid : of the server's process; None where it does not run
    database : the file
    nbytes : its size with its log
    documents : their number in each `database.collection`
    """

    running: bool
    pid: int | None
    host: str
    port: int
    database: Path
    nbytes: int
    documents: dict[str, int]


class ServerFiles:
    """The files in a server's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.expanduser().absolute()
        self.database = self.directory / "database.sqlite"
        self.token = self.directory / "token"
        self.endpoint = self.directory / "endpoint.json"
        self.log = self.directory / "server.log"
        self._process = self.directory / "process.json"

    def record_process(self, pid: int) -> None:
        """Record the process of the server, which listens now."""
        record = {"pid": pid, "started": _started(pid), "machine": socket.gethostname()}
        write_atomic(self._process, json.dumps(record))

    def clear_process(self, pid: int) -> None:
        """Delete the record of a process."""
        if self._read().get("pid") == pid:
            self._process.unlink(missing_ok=True)

    def running(self) -> int | None:
        """Return the id of the server's process; None where it does not run.

        Raises
        ------
        ImatgenError
            Where it was started on another machine, and its state is not known here.
        """
        record = self._read()
        if not record:
            return None
        if record["machine"] != socket.gethostname():
            raise ImatgenError(
                f"the server in {self.directory} was started on {record['machine']}: start, stop and ask it there. If that "
                f"machine is gone, delete {self._process}."
            )
        # ids of processes are used again, but not with the same start
        return record["pid"] if _started(record["pid"]) == record["started"] else None

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads(self._process.read_text())
        except (FileNotFoundError, ValueError):  # a power cut may leave an empty file
            return {}


def prepare(directory: Path, port: int | None = None) -> Endpoint:
    """Make the directory of a server with its password and port, or read them; nothing is started.

    Parameters
    ----------
    directory : made where it does not exist, readable by its owner alone
    port : remembered from now on; where None the one remembered, at first a free one

    Raises
    ------
    InputError
        Where the directory cannot be written, or the port is changed under a running server.
    """
    files = ServerFiles(directory)
    try:
        files.directory.mkdir(parents=True, exist_ok=True)
        files.directory.chmod(0o700)
        _write_once(files.token, lambda: secrets.token_urlsafe(32))
        _write_once(files.endpoint, lambda: _endpoint_file(port or _free_port()))
        password, remembered = _password(files.token), _remembered_port(files.endpoint)
        if port not in (None, remembered):
            if files.running():
                raise InputError(
                    f"the server in {files.directory} runs at port {remembered}. Stop it to choose another."
                )
            write_atomic(files.endpoint, _endpoint_file(port))
    except OSError as error:
        raise InputError(f"cannot write to {files.directory}: {error.strerror}. Choose another directory.") from error
    return Endpoint(HOST, port or remembered, USERNAME, password)


def start(directory: Path) -> Endpoint:
    """Start the server of a directory in the background and wait until it answers; nothing where it runs already.

    Raises
    ------
    InputError
        Where the directory cannot be written.
    ImatgenError
        Where the server does not come up: its port is taken, its database is locked or of another version. The message
        is its own.
    """
    endpoint, files = prepare(directory), ServerFiles(directory)
    with in_turn(files.directory):  # of those who start it at the same time, one does
        while not _answers(endpoint, files):  # a process that was just killed may seem to run for a moment
            _launch(files)
    return endpoint


def stop(directory: Path) -> bool:
    """Stop the server of a directory, after the command that it runs; False where it does not run.

    Raises
    ------
    ImatgenError
        Where it does not end, or runs on another machine.
    """
    files = ServerFiles(directory)
    pid = files.running()
    if pid is None:
        return False
    started = _started(pid)
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise ImatgenError(f"the server in {files.directory}, process {pid}, is another user's.") from error
    end = time.monotonic() + PATIENCE
    while started and _started(pid) == started:
        if time.monotonic() > end:
            raise ImatgenError(f"the server in {files.directory} did not end within {PATIENCE:.0f} s: process {pid}.")
        time.sleep(POLL)
    return True


def status(directory: Path) -> Status:
    """Return the state of the server of a directory; its file is read where the server does not run.

    Raises
    ------
    InputError
        Where the directory is not one of a server, or its database is of another version.
    ImatgenError
        Where the server does not answer, or runs on another machine.
    """
    from imatgen_flows.launchpad.storage import count_documents

    files = ServerFiles(directory)
    if not files.endpoint.exists():
        raise InputError(f"{files.directory} holds no LaunchPad. `imatgen launchpad start` makes one.")
    endpoint = prepare(directory)
    pid = files.running()
    if pid is None:
        documents = count_documents(files.database)
    else:
        with _client(endpoint) as client:
            databases = {name: client[name] for name in client.list_database_names()}
            documents = {
                f"{name}.{collection}": database[collection].estimated_document_count()
                for name, database in databases.items()
                for collection in sorted(database.list_collection_names())
            }
    parts = [files.database, files.database.with_name(files.database.name + "-wal")]
    nbytes = sum(part.stat().st_size for part in parts if part.exists())
    return Status(pid is not None, pid, endpoint.host, endpoint.port, files.database, nbytes, documents)


def _launch(files: ServerFiles) -> None:
    """Start the server's process and wait until it listens."""
    with files.log.open("a") as log:
        files.log.chmod(0o600)
        process = subprocess.Popen(
            [sys.executable, "-m", "imatgen_flows.launchpad.server", str(files.directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=files.directory,
            start_new_session=True,  # outlives the terminal, and its Ctrl-C
        )
    threading.Thread(target=process.wait, daemon=True).start()  # leaves no zombie when it ends
    end = time.monotonic() + PATIENCE
    while files.running() is None:
        if process.poll() is not None:
            raise ImatgenError(f"the embedded LaunchPad did not start: {_last_line(files.log)} See {files.log}.")
        if time.monotonic() > end:
            raise ImatgenError(f"the embedded LaunchPad is not up after {PATIENCE:.0f} s. See {files.log}.")
        time.sleep(POLL)


def _answers(endpoint: Endpoint, files: ServerFiles) -> bool:
    """Wait for a running server to answer; False where there is none."""
    from pymongo.errors import ConnectionFailure

    end = time.monotonic() + PATIENCE
    while files.running() is not None:
        try:
            with _client(endpoint, patience=1) as client:
                client.admin.command("ping")
        except ImatgenError as error:
            if not isinstance(error.__cause__, ConnectionFailure) or time.monotonic() > end:
                raise
        else:
            return True
    return False


@contextmanager
def _client(endpoint: Endpoint, patience: float = PATIENCE) -> Iterator[MongoClient]:
    """Connect to the server.

    Raises
    ------
    ImatgenError
        In place of pymongo's errors.
    """
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    where = f"{endpoint.host}:{endpoint.port}"
    client: MongoClient = MongoClient(
        endpoint.host,
        endpoint.port,
        username=endpoint.username,
        password=endpoint.password,
        serverSelectionTimeoutMS=int(patience * 1000),
    )
    try:
        yield client
    except PyMongoError as error:
        raise ImatgenError(f"the embedded LaunchPad at {where} does not answer as it should: {error}") from error
    finally:
        client.close()


def _write_once(path: Path, make: Callable[[], str]) -> None:
    """Write a file that only its owner can read, unless it exists; of several processes the first one writes it."""
    if path.exists():
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(make() + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):  # another process was first
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()


def _password(path: Path) -> str:
    password = path.read_text(errors="replace").strip()
    if not password or not password.isascii():
        raise InputError(f"{path} is damaged: delete it, and a new password is made.")
    return password


def _endpoint_file(port: int) -> str:
    return json.dumps({"host": HOST, "port": port})


def _remembered_port(path: Path) -> int:
    try:
        return int(json.loads(path.read_text())["port"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: delete it, and start again to choose a port.") from error


def _free_port() -> int:
    """Return a free port."""
    for _ in range(100):
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ImatgenError(f"no free port between {PORTS.start} and {PORTS.stop}. Choose one with --port.")


def _started(pid: int) -> str | None:
    """Return a text that differs between processes with the same id; None where the process does not run."""
    if sys.platform == "linux":
        try:
            # the name, in brackets, may hold anything; the state and the start, in ticks, come 1st and 20th after it
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else f"{boot} {fields[19]}"
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing.")
