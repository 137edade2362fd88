"""Client of the CHGNet server, which is started where none runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from imatgen_flows.testing.inputs import VaspError

ATTEMPTS = 3
PAUSE_SECONDS = 0.5  # a process that is being killed may still take a connection
START_SECONDS = 180.0  # to import torch and load the weights from a cold file system


class ServerConnection:
    """A connection to the server: one line of JSON for each request, and one for each reply.

    Parameters
    ----------
    idle_seconds : how long a server that is started here outlives its last user
    """

    def __init__(self, idle_seconds: float) -> None:
        self.directory = server_directory()
        self.idle_seconds = idle_seconds
        self.socket = self._connect_or_start()
        self.stream = self.socket.makefile("rw")

    def request(self, question: str, **content: Any) -> dict[str, Any]:
        """Send a request and return the reply.

        Raises
        ------
        VaspError
            Where the server reports an error.
        """
        line = json.dumps({"question": question, **content}) + "\n"
        for _ in range(ATTEMPTS):
            try:
                self.stream.write(line)
                self.stream.flush()
                reply = self.stream.readline()
            except OSError:
                reply = ""
            if reply:
                break
            # the server has ended: killed, or idle for too long
            self.close()
            time.sleep(PAUSE_SECONDS)
            self.socket = self._connect_or_start()
            self.stream = self.socket.makefile("rw")
        else:
            raise VaspError(f"the CHGNet server ends again and again: see {self.directory / 'log'}.")
        answer = json.loads(reply)
        if "error" in answer:
            raise VaspError(f"the CHGNet server: {answer['error']}")
        return answer

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):  # what was not sent cannot be sent any more
            self.stream.close()
        self.socket.close()

    def _connect_or_start(self) -> socket.socket:
        """Connect to the server; start it first where it does not run."""
        found = connect(self.directory)
        if found:
            return found
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several clients one starts the server
            found = connect(self.directory)
            if found:
                return found
            process = start_server(self.directory, self.idle_seconds)
            deadline = time.monotonic() + START_SECONDS
            while time.monotonic() < deadline and process.poll() is None:
                found = connect(self.directory)
                if found:
                    return found
                time.sleep(0.1)
        raise VaspError(f"the CHGNet server could not be started: see {self.directory / 'log'}.")


def server_directory() -> Path:
    """Return the directory of the server's socket, lock and log, which only this user can enter."""
    # one for each environment; short, since the path of a socket has at most 107 bytes
    key = hashlib.sha256(f"{sys.prefix}:{__file__}".encode()).hexdigest()[:8]
    directory = Path(tempfile.gettempdir()) / f"imatgen-standin-{os.getuid()}-{key}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or directory.is_symlink():
        raise VaspError(f"{directory} is not this user's alone. Remove it.")
    return directory


def connect(directory: Path) -> socket.socket | None:
    """Connect to a running server; None where there is none."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(str(directory / "socket"))
    except OSError:
        channel.close()
        return None
    return channel


def start_server(directory: Path, idle_seconds: float) -> subprocess.Popen:
    """Start a server in a session of its own, so that it outlives the run that started it."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with (directory / "log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "imatgen_flows.testing.server", str(directory), str(idle_seconds)],
            env={**os.environ, **single},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
