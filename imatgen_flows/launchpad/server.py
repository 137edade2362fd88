"""Server process of the embedded LaunchPad: `python -m imatgen_flows.launchpad.server DIRECTORY`.

`control.start` starts it. It listens on the loopback interface only, and refuses all commands but the handshake before a
client has authenticated.
"""

from __future__ import annotations

import argparse
import errno
import gc
import logging
import os
import signal
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.launchpad.administration import SESSION_MINUTES
from imatgen_flows.launchpad.collection import MAX_DOCUMENT
from imatgen_flows.launchpad.commands import OK, Commands, Reply, build_info
from imatgen_flows.launchpad.control import Endpoint, ServerFiles, prepare
from imatgen_flows.launchpad.engine import DatabaseEngine
from imatgen_flows.launchpad.errors import AUTHENTICATION_FAILED, UNAUTHORIZED, UNKNOWN, CommandError, as_command_error
from imatgen_flows.launchpad.limits import FIRST_MESSAGE, REFUSAL, SILENCE, TRANSFER, Connections, FailedLogins
from imatgen_flows.launchpad.query import Document
from imatgen_flows.launchpad.scram import MECHANISM, Conversation, Keys, failed
from imatgen_flows.launchpad.wire import MAX_MESSAGE, ProtocolError, encode_reply, read_request

log = logging.getLogger(__name__)

WIRE_VERSION = 17  # MongoDB 6.0
PREFERRED_MESSAGE = 20_000_000  # bytes, more than a document; longer ones are read too, but need more memory
UNAUTHENTICATED_MESSAGE = 64 * 1024  # bytes; of clients that have not authenticated
LOG_BYTES, LOG_FILES = 5 * 1024**2, 3  # a log that is longer is renamed; so many old ones are kept


class Server(socketserver.ThreadingTCPServer):
    """A TCP server for one database engine.

    Parameters
    ----------
    endpoint : address to listen at, and credentials of its user
    engine : holds the databases

    Raises
    ------
    ImatgenError
        Where the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, endpoint: Endpoint, engine: DatabaseEngine) -> None:
        self.keys = Keys.of(endpoint.username, endpoint.password)
        self.commands = Commands(engine, endpoint.username)
        self.connections = Connections()
        self.failed_logins = FailedLogins()
        try:
            super().__init__((endpoint.host, endpoint.port), _Handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ImatgenError(f"cannot listen at {endpoint.host}:{endpoint.port}: {error.strerror}.") from error
            raise ImatgenError(
                f"port {endpoint.port} is taken by another program. Choose another with `imatgen launchpad start --port N`, "
                "then write the workers' files anew with `imatgen init --cluster DIR`."
            ) from error

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; where the system has no more files, wait a moment instead of trying without a pause."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                log.error("cannot accept a connection: %s", error.strerror)
                time.sleep(0.1)
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the exception of a connection, instead of printing it."""
        log.exception("a connection failed")


class Session:
    """One connection: its authentication, and the replies to its commands.

    Attributes
    ----------
    authenticated : whether the client has proven that it knows the password
    """

    def __init__(self, keys: Keys, commands: Commands, failed_logins: FailedLogins | None = None) -> None:
        self.authenticated = False
        self._keys = keys
        self._failed_logins = failed_logins or FailedLogins()
        self._commands = commands
        self._conversation: Conversation | None = None
        self._proven = False  # the password is proven, but one more, empty, exchange follows
        self._greetings: dict[str, Callable[[Document], Reply]] = {
            "hello": self._hello,
            "ismaster": self._hello,
            "saslstart": self._sasl_start,
            "saslcontinue": self._sasl_continue,
            "ping": lambda _: OK,
            "buildinfo": lambda _: build_info(),
        }

    def reply(self, command: Document) -> Reply:
        """Return the reply to a command."""
        name = next(iter(command), "")
        greeting = self._greetings.get(name.lower())
        try:
            if greeting:
                return greeting(command)
            if not self.authenticated:
                raise CommandError(UNAUTHORIZED, f"command {name} requires authentication")
        except Exception as error:
            known = as_command_error(error) or CommandError(UNKNOWN, f"{type(error).__name__}: {error}")
            log.warning("%.40s refused: %s", name, known)
            if known.code == AUTHENTICATION_FAILED:
                self._failed_logins.wait()
            return known.reply()
        return self._commands.run(command)

    def _hello(self, command: Document) -> Reply:
        reply = {
            "ismaster": True,
            "isWritablePrimary": True,
            "helloOk": True,
            "maxBsonObjectSize": MAX_DOCUMENT,
            "maxMessageSizeBytes": PREFERRED_MESSAGE,
            "maxWriteBatchSize": 10_000,  # documents; fewer than MongoDB's, for the memory they need and for those who wait
            "localTime": datetime.now(UTC),
            "logicalSessionTimeoutMinutes": SESSION_MINUTES,
            "minWireVersion": 0,
            "maxWireVersion": WIRE_VERSION,
            "readOnly": False,
            **OK,
        }
        if "saslSupportedMechs" in command:
            reply["saslSupportedMechs"] = [MECHANISM]
        attempt = command.get("speculativeAuthenticate")
        if isinstance(attempt, dict) and attempt.get("mechanism") == MECHANISM:
            reply["speculativeAuthenticate"] = self._sasl_start(attempt)
        return reply

    def _sasl_start(self, command: Document) -> Reply:
        if command.get("mechanism") != MECHANISM:
            raise failed()
        self.authenticated = self._proven = False
        self._conversation = Conversation(self._keys)
        return self._exchange(self._conversation.first(_payload(command)), done=False)

    def _sasl_continue(self, command: Document) -> Reply:
        if self._proven:  # the empty exchange that ends a conversation
            self._proven, self.authenticated = False, True
            return self._exchange(b"", done=True)
        if self._conversation is None:
            raise failed()
        conversation, self._conversation = self._conversation, None
        answer = conversation.final(_payload(command))
        self._proven = True
        return self._exchange(answer, done=False)

    def _exchange(self, payload: bytes, done: bool) -> Reply:
        return {"conversationId": 1, "done": done, "payload": payload, **OK}


class _Handler(socketserver.BaseRequestHandler):
    """Serves one connection until it closes."""

    server: Server

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(TRANSFER), 0))
        try:
            with self.server.connections.admission() as admitted:
                if admitted:
                    self._serve()
                else:
                    self._refuse()
        except TimeoutError:
            log.warning("closed a connection that was silent for too long")
        except OSError:
            return  # the client has disconnected
        except ProtocolError as error:
            log.warning("closed a connection that sent %s", error)

    def _serve(self) -> None:
        session = Session(self.server.keys, self.server.commands, self.server.failed_logins)
        patience: float | None = FIRST_MESSAGE
        while True:
            limit = MAX_MESSAGE if session.authenticated else UNAUTHENTICATED_MESSAGE
            request = read_request(_Receiver(self.request, patience).receive, limit)
            reply = session.reply(request.command)
            if not request.silent:
                self.request.sendall(encode_reply(request, reply))
            patience = None if session.authenticated else SILENCE

    def _refuse(self) -> None:
        """Answer a client that is one too many with an error."""
        sentence = f"the embedded LaunchPad has {self.server.connections.limit:,} connections, as many as it serves"
        log.warning("refused a connection: %s", sentence)
        request = read_request(_Receiver(self.request, REFUSAL).receive, UNAUTHENTICATED_MESSAGE)
        self.request.sendall(encode_reply(request, CommandError(UNKNOWN, f"{sentence}. Close some.").reply()))


class _Receiver:
    """Receives the parts of one message.

    Parameters
    ----------
    patience : s to wait for its beginning; None for ever, also for its rest
    """

    def __init__(self, connection: socket.socket, patience: float | None) -> None:
        self._connection = connection
        self._patience = patience
        self._end: float | None = None  # once it has begun

    def receive(self, size: int) -> bytes:
        """Receive a number of bytes.

        Raises
        ------
        OSError
            Where the client disconnects, or is too slow.
        """
        received = bytearray()
        while len(received) < size:
            patience = self._patience if self._end is None else max(0.001, self._end - time.monotonic())
            if self._connection.gettimeout() != patience:
                self._connection.settimeout(patience)
            part = self._connection.recv(min(size - len(received), 1024**2))
            if not part:
                raise ConnectionError
            if self._end is None and self._patience is not None:
                self._end = time.monotonic() + TRANSFER
            received += part
        return bytes(received)


class _Log(RotatingFileHandler):
    """A log that is renamed when it is long; what else the process prints goes to the new one too."""

    def doRollover(self) -> None:  # noqa: N802
        """Begin a new file."""
        super().doRollover()
        if self.stream:
            for printed in (sys.stdout, sys.stderr):
                os.dup2(self.stream.fileno(), printed.fileno())


def _payload(command: Document) -> bytes:
    payload = command.get("payload")
    if not isinstance(payload, bytes):
        raise failed()
    return payload


def serve(directory: Path) -> None:
    """Serve the database of a directory until SIGTERM or SIGINT.

    Raises
    ------
    InputError, ImatgenError
        Where the port is taken, or the database locked, of another version, or unreadable.
    """
    endpoint, files = prepare(directory), ServerFiles(directory)
    engine = DatabaseEngine(files.database)
    try:
        with Server(endpoint, engine) as server:
            for number in (signal.SIGTERM, signal.SIGINT):
                # shutdown() waits for the loop below, which the handler itself interrupts
                signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
            files.record_process(os.getpid())
            log.info("listening at %s:%d, process %d", endpoint.host, endpoint.port, os.getpid())
            server.serve_forever(poll_interval=0.1)
    finally:
        engine.close()
        files.clear_process(os.getpid())
    log.info("stopped")


def main() -> None:
    """Run the server; the message of an expected error is the last line of the log."""
    parser = argparse.ArgumentParser(description="Serve the embedded LaunchPad of a directory.")
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    os.umask(0o077)
    gc.set_threshold(50_000, 20, 50)  # documents hold no cycles
    sys.setswitchinterval(0.001)  # s, so that a long search leaves the interpreter to short commands
    rotating = _Log(ServerFiles(directory).log, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, handlers=[rotating])
    try:
        serve(directory)
    except ImatgenError as error:
        print(error, file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)


if __name__ == "__main__":
    main()
