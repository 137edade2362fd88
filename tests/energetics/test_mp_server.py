"""Entries of the Materials Project from a server that plays it: all pages, and every kind of failure.

`materials_project/thermo.json` holds documents as the server sends them (https://api.materialsproject.org/docs, thermo, and
the source of mp-api 0.46.5 and emmet-core 0.87); they were made for this test, with energies of the size of the real ones.
The client is mp-api's own where it is installed; else one that asks, turns pages and words its errors as that does.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.parse import parse_qs, urlparse

import pytest
import requests

from imatgen_flows.energetics import mp_entries
from imatgen_flows.energetics.hull import Hull
from imatgen_flows.energetics.mp_entries import fetch_mp_entries
from imatgen_flows.errors import ImatgenError, InputError

RECORDED = json.loads(Path(__file__).with_name("materials_project").joinpath("thermo.json").read_text())
KEY = "k" * 32
PATH = "/materials/thermo/"


class Server(ThreadingHTTPServer):
    """Answers with the recorded documents; `failures` are what it answers before, `change` what it does to a page."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        self.requests, self.failures, self.change = [], [], lambda skip, page: page


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def send(self, status, content, **headers):
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": len(body), **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urlparse(self.path)
        if url.path.rstrip("/") == "/heartbeat":
            return self.send(200, RECORDED["heartbeat"])
        if url.path != PATH:
            return self.send(404, {"detail": "Not Found"})
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        self.server.requests.append(query)
        if self.server.failures:
            status, content, headers = self.server.failures.pop(0)
            return self.send(status, content, **headers)
        if query["thermo_types"] != "GGA_GGA+U" or self.headers["x-api-key"] != KEY:
            return self.send(422, {"detail": [{"loc": ["query", "thermo_types"], "msg": "unexpected"}]})
        held = [one for one in RECORDED["data"] if system_of(one) in query["chemsys"].split(",")]
        skip, limit = int(query.get("_skip", 0)), int(query.get("_limit", 100))
        page = self.server.change(skip, json.loads(json.dumps(held[skip : skip + limit])))
        return self.send(200, {"data": page, "meta": {"api_version": "0.86.3", "total_doc": len(held)}})


def system_of(document):
    (entry,) = document["entries"].values()
    return "-".join(sorted(entry["composition"]))


class MPRestError(Exception):
    """Stands for mp-api's."""


class Client:
    """Asks as `MPRester` does, with its pages and in its words; see `mp_api/client/core/client.py`."""

    endpoint = ""

    def __init__(self, api_key, use_document_model):
        assert not use_document_model
        self.session = requests.Session()
        self.session.headers["x-api-key"] = api_key
        self.db_version = requests.get(f"{self.endpoint}heartbeat", timeout=10).json()["db_version"]
        self.materials = SimpleNamespace(thermo=self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()

    def ask(self, criteria):
        response = self.session.get(f"{self.endpoint}{PATH[1:]}", params=criteria, timeout=10)
        if response.status_code == 429:  # urllib3 has tried again, and gives up
            raise MPRestError("Max retries exceeded (Caused by ResponseError('too many 429 error responses'))")
        if response.status_code != 200:
            said = f"Response {response.text}"
            raise MPRestError(
                f"REST query returned with error status code {response.status_code} with message:\n{said}"
            )
        return response.json()

    def search(self, chemsys, thermo_types, all_fields, chunk_size, fields):
        criteria = {"chemsys": ",".join(chemsys), "thermo_types": ",".join(thermo_types), "_fields": ",".join(fields)}
        first = self.ask(criteria | {"_limit": chunk_size})
        found, total, skip = first["data"], first["meta"]["total_doc"], chunk_size
        while len(found) < total:
            page = self.ask(criteria | {"_limit": min(chunk_size, total - len(found)), "_skip": skip})["data"]
            found, skip = found + page, skip + chunk_size
            if not page:
                break
        return found

    def count(self, criteria):
        return self.ask(criteria | {"_limit": 1})["meta"]["total_doc"]


@pytest.fixture(params=["stand-in", "mp-api"])
def server(request, monkeypatch):
    """The server, with a client that asks it."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr("imatgen_flows.crystals.rate_limit.sleep", lambda _: None)
    if request.param == "mp-api":
        settings = pytest.importorskip("mp_api.client.core.settings").MAPI_CLIENT_SETTINGS
        monkeypatch.setattr(settings, "ENDPOINT", server.url)
        monkeypatch.setattr(settings, "MUTE_PROGRESS_BARS", True)
    else:
        client = ModuleType("mp_api.client")
        client.MPRester = type("MPRester", (Client,), {"endpoint": server.url})
        monkeypatch.setitem(sys.modules, "mp_api", ModuleType("mp_api"))
        monkeypatch.setitem(sys.modules, "mp_api.client", client)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_all_pages_come_with_the_corrected_energies_and_the_version_is_kept(server, monkeypatch, tmp_path):
    monkeypatch.setattr(mp_entries, "PAGE", 2)
    entries = fetch_mp_entries("V-O", tmp_path, KEY)
    expected = {one["material_id"]: one["energy_per_atom"] for one in RECORDED["data"]}
    found = {entry.name.rpartition("-")[0]: entry.energy_per_atom for entry in entries}
    assert found == pytest.approx(expected, abs=1e-5) and len(expected) == 5
    assert {entry.source for entry in entries} == {"Materials Project 2025_09_25"}
    assert [path.name for path in tmp_path.iterdir()] == ["mp_2025_09_25_O-V_GGA_GGA+U.json"]
    pages = [query.get("_skip", "0") for query in server.requests if query.get("_fields")]
    assert pages == ["0", "2", "4"]
    assert {entry.composition.reduced_formula for entry in Hull(entries).entries} == {"V", "O2", "VO", "VO2", "V2O3"}


def test_a_page_that_is_empty_before_all_have_come_is_no_answer(server, monkeypatch, tmp_path):
    monkeypatch.setattr(mp_entries, "PAGE", 2)
    server.change = lambda skip, page: [] if skip >= 2 else page
    with pytest.raises(
        InputError, match=r"^references: the Materials Project sent 2 of the 5 documents that it counts"
    ):
        fetch_mp_entries("V-O", tmp_path, KEY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ((401, {"message": "No API key found in request"}, {}), r"refuses the key in MP_API_KEY .*No API key found"),
        ((403, {"message": "Invalid authentication credentials"}, {}), r"refuses the key.*Get one at https"),
        ((500, "Internal Server Error", {}), r"did not answer \(MPRestError.*500.*Internal Server Error"),
        (
            (503, "<html><h1>Down for maintenance</h1></html>", {}),
            r"answered with something else than data \(.*Down for maintenance",
        ),
        ((200, "<html>a proxy</html>", {}), r"answered with something else than data"),
    ],
)
def test_a_failure_says_what_it_was_and_nothing_is_kept(server, failure, words, tmp_path):
    server.failures = [failure]
    with pytest.raises(InputError, match=f"(?s)^references: the Materials Project {words}") as caught:
        fetch_mp_entries("V-O", tmp_path, KEY)
    assert KEY not in str(caught.value) and "same flow" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_limit_of_requests_is_waited_for(server, tmp_path, caplog):
    limited = (429, {"message": "API rate limit exceeded"}, {"Retry_After": 0})
    server.failures = [limited] * 5  # the client itself asks three times more
    assert len(fetch_mp_entries("V-O", tmp_path, KEY)) == 5
    assert "the Materials Project limits its requests" in caplog.text


def test_a_limit_without_an_end_is_an_error(server, tmp_path):
    server.failures = [(429, {"message": "API rate limit exceeded"}, {"Retry_After": 0})] * 200
    with pytest.raises(
        InputError, match=r"references: the Materials Project limits its requests: after 6 waits of 315 s"
    ):
        fetch_mp_entries("V-O", tmp_path, KEY)


def test_an_empty_answer_is_said_to_be_one(server, tmp_path):
    server.failures = [(200, {"data": [], "meta": {"total_doc": 0}}, {})] * 2
    with pytest.raises(InputError, match=r"Materials Project 2025_09_25 sent nothing of O-V on the scale"):
        fetch_mp_entries("V-O", tmp_path, KEY)
    assert not list(tmp_path.iterdir())


def without_corrections(document):
    for entry in document["entries"].values():
        entry |= {"energy_adjustments": [], "correction": 0.0}
    return document


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one | {"thermo_type": "R2SCAN"}, "of the type R2SCAN"),
        (lambda one: one | {"entries": {}}, "its entries have none"),
        (lambda one: one | {"entries": None}, "whose entry cannot be read"),
        (lambda one: one | {"entries": {"GGA": {"energy": 1.0}}}, "whose entry cannot be read"),
        (lambda one: one | {"energy_per_atom": one["energy_per_atom"] + 0.1}, "the format .* has changed"),
        (without_corrections, "the format .* has changed"),
    ],
)
def test_a_document_that_cannot_be_taken_is_named_and_not_dropped(server, change, words, tmp_path):
    server.change = lambda _, page: [change(one) if one["material_id"] == "mp-19094" else one for one in page]
    with pytest.raises(ImatgenError, match=f"returned mp-19094.*{words}"):
        fetch_mp_entries("V-O", tmp_path, KEY)
    assert not list(tmp_path.iterdir())
