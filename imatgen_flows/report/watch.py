"""A page on a run that goes on, served to this machine alone; when the run is finished, its report."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from markupsafe import Markup

from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.report.markup import render

HOST = "127.0.0.1"
REFRESH_SECONDS = 5  # after which the page asks again
AT_ONCE = 1.0  # s; a report that takes longer is announced first
PATIENCE = 10.0  # s; a connection that asks for nothing is closed then


@dataclass(frozen=True)
class WatchedStage:
    """One stage as the page shows it: its title, its state in a word, what it counts, and its time."""

    title: str
    state: str
    now: str
    time: str


@dataclass(frozen=True)
class Snapshot:
    """A run at one moment, in words.

    Attributes
    ----------
    title : of the campaign
    state : of the run, in a word
    sentence : how far it has come, or why it failed
    finished : whether there is a report to be built
    place, times : the stage it is at; time spent and left. Empty where nothing says so
    stages : of the campaign, in order
    counts : samples drawn, relaxed and found so far, by what they are; empty where there are none yet
    """

    title: str
    state: str
    sentence: str
    finished: bool = False
    place: str = ""
    times: str = ""
    stages: Sequence[WatchedStage] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def watch_page(snapshot: Snapshot) -> str:
    """Write the page of a run that is not finished; it asks for itself again every few seconds."""
    style = (files("imatgen_flows.report") / "assets" / "style.css").read_text(encoding="utf-8")
    return render("watch", run=snapshot, seconds=REFRESH_SECONDS, style=Markup(style))


def open_server(read: Callable[[], Snapshot], build: Callable[[], Path], port: int) -> ThreadingHTTPServer:
    """Open a server of one page, on this machine alone. `serve_forever` runs it, `server_close` ends it.

    Parameters
    ----------
    read : looks at the run
    build : builds the report of the run when it is finished, and returns its file
    port : 0 for any that is free

    Raises
    ------
    InputError
        Where the port is taken, or may not be used.
    """
    page = _Page(read, build)

    class Handler(_Handler):
        content = page

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"--port {port}: {reason}. Another program may be using it: give another one, or 0 for any that is free."
        ) from error
    server.daemon_threads = True
    return server


class _Page:
    """The one page that is served: of the run as it is, or its report, which is built once."""

    def __init__(self, read: Callable[[], Snapshot], build: Callable[[], Path]) -> None:
        self.read, self.build = read, build
        self.lock = threading.Lock()  # several windows may ask at once
        self.building: _Build | None = None

    def content(self) -> str:
        """Return the page."""
        with self.lock:
            try:
                snapshot = self.read()
                if not snapshot.finished:
                    self.building = None  # a finished run may be extended
                    return watch_page(snapshot)
                if self.building is None:
                    self.building = _Build(self.build)
                    self.building.start()
                    self.building.join(AT_ONCE)
                if self.building.is_alive():
                    return watch_page(replace(snapshot, sentence=f"{snapshot.sentence} Its report is being built."))
                return self.building.report().read_text(encoding="utf-8")
            except (ImatgenError, OSError) as error:
                return watch_page(Snapshot("imatgen", "not readable", str(error)))


class _Build(threading.Thread):
    """Builds the report, which may take a minute, while the page says so."""

    def __init__(self, build: Callable[[], Path]) -> None:
        super().__init__(daemon=True)
        self.build = build
        self.made: Path | None = None
        self.error: ImatgenError | OSError | None = None

    def run(self) -> None:
        try:
            self.made = self.build()
        except (ImatgenError, OSError) as error:
            self.error = error

    def report(self) -> Path:
        """Return the file of the report, or raise what has kept it from being built."""
        if self.error is not None:
            raise self.error
        if self.made is None:
            raise ImatgenError("the report cannot be built; `imatgen report` says why.")
        return self.made


class _Handler(BaseHTTPRequestHandler):
    """Answers GET of the one page; everything else is refused."""

    content: _Page
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Send the page."""
        port = self.connection.getsockname()[1]
        # a page of somebody else could reach this server by a name of its own that leads here
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        if urlsplit(self.path).path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        page = self.content.content()
        body = page.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing: a page that asks every few seconds would fill the terminal."""
