"""The server of one page: what it answers, and what it refuses."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.report.watch import HOST, Snapshot, WatchedStage, open_server

GOING = Snapshot(
    "V-O <b>",
    "Running",
    "",
    place="stage 2 of 3: train VAE",
    times="5 s spent, about 9 s left",
    stages=[
        WatchedStage("build dataset", "done", "34 templates", "2 s"),
        WatchedStage("train VAE", "running", "", "3 s"),
    ],
    counts={"samples drawn": 1200},
)


@contextmanager
def served(read, build=None):
    with open_server(read, build, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_address[1]}"
        finally:
            server.shutdown()


def get(address, **headers):
    with urlopen(Request(address, headers=headers), timeout=10) as answer:
        return answer.read().decode()


def test_the_page_of_a_run_that_goes_on_shows_stages_times_and_counts_and_asks_again():
    with served(lambda: GOING) as address:
        page = get(address + "/")
    assert 'http-equiv="refresh"' in page and "stage 2 of 3: train VAE · 5 s spent, about 9 s left" in page
    assert "34 templates" in page and "1,200 samples drawn" in page
    assert "V-O &lt;b&gt;" in page and "<script" not in page


def test_a_finished_run_is_its_report_which_is_built_once(tmp_path):
    built = []

    def build():
        built.append(1)
        (tmp_path / "report.html").write_text("the report")
        return tmp_path / "report.html"

    with served(lambda: Snapshot("V-O", "Finished", "", finished=True), build) as address:
        assert [get(address + "/"), get(address + "/?again")] == ["the report"] * 2
    assert len(built) == 1


def test_a_report_that_takes_long_is_announced_and_one_that_fails_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("imatgen_flows.report.watch.AT_ONCE", 0.01)
    ready = threading.Event()

    def build():
        ready.wait(10)
        raise InputError("report.html cannot be written.")

    with served(lambda: Snapshot("V-O", "Finished", "The run is finished.", finished=True), build) as address:
        assert "The run is finished. Its report is being built." in get(address + "/")
        ready.set()
        while "being built" in (page := get(address + "/")):
            pass
    assert "report.html cannot be written." in page


def test_a_failure_and_an_error_are_said_on_the_page():
    with served(lambda: Snapshot("V-O", "Failed", "the run failed (no memory). Go on.")) as address:
        assert "the run failed (no memory)" in get(address + "/")

    def gone():
        raise InputError("runs/x: no such directory.")

    with served(gone) as address:
        assert "runs/x: no such directory." in get(address + "/")


@pytest.mark.parametrize(
    "path", ["/campaign.yaml", "/report.html", "/..", "/../pyproject.toml", "//etc/passwd", "/artifacts/"]
)
def test_nothing_but_the_page_is_served(path):
    with served(lambda: GOING) as address, pytest.raises(HTTPError) as refused:
        get(address + path)
    assert refused.value.code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_only_get_is_answered(method):
    with served(lambda: GOING) as address, pytest.raises(HTTPError) as refused:
        urlopen(Request(address + "/", data=b"x" if method in ("POST", "PUT") else None, method=method), timeout=10)
    assert refused.value.code == 501


def test_a_name_of_somebody_else_that_leads_here_is_refused():
    with served(lambda: GOING) as address, pytest.raises(HTTPError) as refused:
        get(address + "/", Host="example.org")
    assert refused.value.code == 403


def test_it_listens_on_this_machine_alone_and_says_where_a_port_is_taken():
    with open_server(lambda: GOING, lambda: None, 0) as server:
        assert server.server_address[0] == "127.0.0.1"
        port = server.server_address[1]
        with pytest.raises(InputError, match=rf"--port {port}: .*give another one"):
            open_server(lambda: GOING, lambda: None, port)


def test_a_connection_that_asks_for_nothing_holds_nobody_up():
    with served(lambda: GOING) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection((HOST, port)):
            assert "train VAE" in get(address + "/")
