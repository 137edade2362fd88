"""Talk to the server that holds CHGNet, and start it where there is none."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from imatgen_flows.testing.engines import server_directory
from imatgen_flows.testing.inputs import Complaint

ATTEMPTS = 3
PAUSE_SECONDS = 0.5  # a process that is being killed may still take a connection
START_SECONDS = 180.0  # to import torch and load the weights from a cold file system


class ServerConnection:
    """Asks questions, one JSON line each way.

    Parameters
    ----------
    idle_seconds : how long a server that is started here outlives its last user
    """

    def __init__(self, idle_seconds: float) -> None:
        self.directory = server_directory()
        self.idle_seconds = idle_seconds
        self.socket = self._reach()
        self.stream = self.socket.makefile("rw")

    def ask(self, question: str, **content: Any) -> dict[str, Any]:
        """Return the server's answer.

        Raises
        ------
        Complaint
            Where the server cannot answer; it says why.
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
            # it ended: killed, or for want of work just as we came
            self.close()
            time.sleep(PAUSE_SECONDS)
            self.socket = self._reach()
            self.stream = self.socket.makefile("rw")
        else:
            raise Complaint(f"the CHGNet server ends again and again: see {self.directory / 'log'}.")
        answer = json.loads(reply)
        if "error" in answer:
            raise Complaint(f"the CHGNet server: {answer['error']}")
        return answer

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):  # what was not sent cannot be sent any more
            self.stream.close()
        self.socket.close()

    def _reach(self) -> socket.socket:
        """Connect; start the server first where nobody answers."""
        found = connect(self.directory)
        if found:
            return found
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of many that come at once, one starts it
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
        raise Complaint(f"the CHGNet server could not be started: see {self.directory / 'log'}.")


def connect(directory: Path) -> socket.socket | None:
    """Connect to a server that runs, if one does."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(str(directory / "socket"))
    except OSError:
        channel.close()
        return None
    return channel


def start_server(directory: Path, idle_seconds: float) -> subprocess.Popen:
    """Start a server in a session of its own, so that it outlives the run that needed it first."""
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
