"""What a provider of OPTIMADE sends comes whole, each entry taken or excluded with its reason; or a sentence says why not.

The server of these tests answers as the specification (1.2) says, or as providers are known to do instead.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlparse

import numpy as np
import pytest
from pymatgen.ext.optimade import OptimadeRester

from imatgen_flows.crystals.known_phases import load_known
from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.templates import load_templates
from imatgen_flows.errors import InputError

HELD = 12  # crystals of V and O with two sites
PAGE = 5
META = {
    "api_version": "1.2.0",
    "query": {"representation": "/structures"},
    "time_stamp": "2026-11-29T12:00:00Z",
    "provider": {"name": "Test", "description": "Crystals of a test", "prefix": "test"},
    "data_available": 1000,
}


def entry(number, n_sites=2, elements=("V", "O")):
    """A cubic cell of 4.0 A and more, repeated along c where it has more sites than two."""
    a = 4.0 + 0.05 * number
    return {
        "id": f"e{n_sites}-{number}" if len(elements) == 2 else f"{elements[0]}-{number}",
        "type": "structures",
        "attributes": {
            "lattice_vectors": [[a, 0, 0], [0, a, 0], [0, 0, a * n_sites / 2]],
            "species": [{"name": e, "chemical_symbols": [e], "concentration": [1.0]} for e in elements],
            "species_at_sites": [elements[k % len(elements)] for k in range(n_sites)],
            "cartesian_site_positions": [[a / 2 * (k % 2), a / 2 * (k % 2), a / 2 * k] for k in range(n_sites)],
            "nsites": n_sites,
            "structure_features": [],
        },
    }


def held_for(criterion, mode="ok"):
    """The entries that pass a filter, or that a provider sends for it all the same."""
    n_sites = re.search(r"nsites=(\d+)", criterion)
    elements = re.findall(r'"(\w+)"', criterion)
    if mode in ("empty", "count_of_an_empty_answer"):
        return []
    if mode == "ignores_filter":
        return [entry(k, 4) for k in range(HELD)]
    if (mode == "ignores_filter_of_3" and "nsites=3" in criterion) or mode == "ignores_filter_of_one":
        return [entry(k, 4) for k in range(3 if mode == "ignores_filter_of_3" else 1)]
    if elements:
        sizes = {("V",): 1, ("O", "V"): 3}.get(tuple(sorted(elements)), 0)
        return [entry(k, elements=elements) for k in range(sizes)]
    entries = [entry(k) for k in range(HELD)] + [entry(k, 6) for k in range(5)]
    return [e for e in entries if not n_sites or e["attributes"]["nsites"] == int(n_sites[1])]


def mixed(symbols, shares, name="V"):
    return {"name": name, "chemical_symbols": symbols, "concentration": shares}


class Provider(ThreadingHTTPServer):
    """Answers in a mode; `requests` are the queries that it was asked, `refusals` how often it still refuses."""

    daemon_threads = True

    def __init__(self, mode, prefix=""):
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode, self.prefix, self.requests, self.refusals, self.retry_after = mode, prefix, [], 0, None
        self.host = f"http://127.0.0.1:{self.server_address[1]}"
        self.url = f"{self.host}{prefix}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def send(self, status, content, kind="application/vnd.api+json", **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        server, url = self.server, urlparse(self.path)
        query = {key: value[0] for key, value in parse_qs(url.query).items()}
        criterion, offset, mode = query.get("filter", ""), int(query.get("page_offset", 0)), server.mode
        server.requests.append(query)
        if url.path != f"{server.prefix}/v1/structures":
            return self.send(404, b"<html><body>nothing here</body></html>", "text/html")
        if server.refusals:
            server.refusals -= 1
            after = {} if server.retry_after is None else {"Retry_After": server.retry_after}
            return self.send(429, {"meta": META, "errors": [{"status": "429", "title": "Too many"}]}, **after)
        if mode == "html":
            return self.send(200, b"<html><title>Maintenance</title></html>", "text/html")
        if mode == "error500":
            return self.send(500, {"meta": META, "errors": [{"status": "500", "detail": "database is down"}]})
        if mode == "no_data":
            return self.send(200, {"meta": META, "results": []})
        if mode == "nsites501" and "nsites" in criterion:
            return self.send(501, {"meta": META, "errors": [{"status": "501", "detail": "nsites is not supported"}]})
        if mode == "offset_refused" and offset:
            return self.send(400, {"meta": META, "errors": [{"status": "400", "detail": "unknown page_offset"}]})
        if mode in ("offset_ignored", "no_way_to_more"):
            offset = 0
        held = held_for(criterion, mode)
        data = held[offset : offset + PAGE]
        more = offset + PAGE < len(held)
        fields = {} if mode == "nullpos" else {"response_fields": query.get("response_fields", "")}
        following = f"{server.url}/v1/structures?" + urlencode(
            {"filter": criterion, "page_offset": offset + PAGE} | fields
        )
        links = {"next": following if more else None}
        meta = META | {"data_returned": len(held), "more_data_available": more}
        if mode == "next_page":
            links = {"next_page": links["next"]}
        elif mode == "no_address":
            links = {"next": "http://[::" if more else None}
        elif mode == "link_object":
            links = {"next": more and {"href": following}}
        elif mode in ("no_next", "offset_ignored", "offset_refused", "no_count"):
            links = {}
            if mode == "no_count":
                meta = META
        elif mode == "no_way_to_more":
            links, meta = {}, META | {"more_data_available": True}
        elif mode == "count_of_an_empty_answer":
            meta |= {"data_returned": HELD}
        elif mode == "relative":
            links = {"next": more and following.removeprefix(server.host)}
        elif mode == "loop":
            links = {"next": following.replace(f"page_offset={offset + PAGE}", "page_offset=0")}
        elif mode == "short" and offset == PAGE:
            data = data[:3]
        elif mode == "no_positions" or (mode == "nullpos" and "response_fields" not in query):
            data = [e | {"attributes": {"nsites": 2}} for e in data]
        elif mode == "delay":
            meta |= {"request_delay": 0.5}
        change(mode, data, offset)
        return self.send(200, {"data": data, "meta": meta, "links": links})


def change(mode, data, offset):
    """Change the entries of a page as a mode has them."""
    for number, e in enumerate(data):
        attributes, first = e["attributes"], offset == 0 and number == 0
        if mode == "badentry" and first:
            attributes["cartesian_site_positions"] = None
        elif mode == "disordered" and offset == 0 and number < 2:
            attributes["species"][0] = mixed(["V", "Ti"], [0.5, 0.5])
        elif mode == "disordered_named":
            attributes["species"][0] = mixed(["V", "vacancy"], [0.5, 0.5])
        elif mode == "vacancy":
            attributes["species"][1] = mixed(["O", "vacancy"], [0.9, 0.1], "O")
        elif mode == "species_order":
            attributes["species"].reverse()
        elif mode == "assemblies" and first:
            attributes |= {"assemblies": [{"sites_in_groups": [[0], [1]], "group_probabilities": [0.5, 0.5]}]}
            attributes["structure_features"] = ["assemblies"]
        elif mode == "nonsense" and first:
            data[0] = "e2-0"
        elif mode == "nameless":
            del e["id"]
            attributes["cartesian_site_positions"] = None if first else attributes["cartesian_site_positions"]


@pytest.fixture
def provider():
    """Start providers; each ends with the test."""
    started = []

    def start(mode="ok", prefix="", **attributes):
        server = Provider(mode, prefix)
        for name, value in attributes.items():
            setattr(server, name, value)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Record waits instead of waiting; no proxy stands between the tests and their server."""
    seconds = []
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("imatgen_flows.crystals.rate_limit.sleep", seconds.append)
    monkeypatch.setattr("imatgen_flows.crystals.optimade_client.sleep", seconds.append)
    return seconds


@pytest.fixture
def templates(tmp_path):
    """Load the templates of a provider with at most three sites, by default from a cache of the test's own."""

    def load(server, url=None):
        options = SourceOptions(provider=url or server.url, cache_dir=tmp_path / "cache")
        return load_templates("optimade", options, max_sites=3)

    return load


def edges(found):
    return sorted(round(template.structure.lattice.a, 2) for template in found)


WHOLE = [round(4.0 + 0.05 * k, 2) for k in range(HELD)]


@pytest.mark.parametrize(
    "mode",
    [
        "ok",
        "next_page",
        "link_object",
        "relative",
        "no_next",
        "no_address",
        "loop",
        "nullpos",
        "species_order",
        "delay",
    ],
)
def test_an_answer_comes_whole_whatever_its_links_look_like(mode, provider, templates):
    found, exclusions = templates(provider(mode))
    assert edges(found) == WHOLE and exclusions == []
    assert {t.structure.composition.reduced_formula for t in found} == {"VO"}


@pytest.mark.parametrize("written", ["{}", "{}/", "{}/v1", "{}/v1/", "{}/v1/structures"])
def test_a_url_may_have_a_prefix_and_lack_its_slash(written, provider, templates):
    server = provider(prefix="/api/optimade")
    assert edges(templates(server, written.format(server.url))[0]) == WHOLE


def test_an_alias_is_one_of_pymatgen(provider, templates, monkeypatch):
    server = provider()
    monkeypatch.setitem(OptimadeRester.aliases, "oqmd", server.url)
    found, _ = templates(server, "oqmd")
    assert found[0].id == "oqmd-e2-0" and found[0].source == f"OPTIMADE oqmd, {date.today()}"


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("short", "sent 10 of the 12 entries that it counts, asked for 2 sites. No part is kept"),
        ("offset_ignored", "sent 5 of the 12 entries that it counts"),
        ("ignores_filter", "ignores the filter: none of the first 5 entries passes it"),
        ("html", "did not answer, 3 times .*text/html instead of JSON: 'Maintenance'"),
        ("error500", "did not answer, 3 times .*500: database is down"),
        ("no_data", "did not answer, 3 times .*JSON without a list `data`"),
        ("empty", "holds nothing with 2 elements"),
        ("count_of_an_empty_answer", "sent 0 of the 12 entries that it counts"),
        ("offset_refused", "sent 5 of the 12 entries that it counts"),
        ("no_way_to_more", "sent 5 entries, says that there are more, and no link leads to them"),
        ("ignores_filter_of_one", "ignores the filter: asked for crystals with 2 elements, it sent 1 others"),
    ],
)
def test_an_answer_that_is_not_whole_is_a_sentence_and_is_not_kept(mode, sentence, provider, templates, tmp_path):
    with pytest.raises(InputError, match=f"^templates: OPTIMADE provider `http.*` {sentence}.*prototypes"):
        templates(provider(mode))
    assert not (tmp_path / "cache").exists()


def test_a_url_without_optimade_and_one_without_a_server_are_said(provider, templates):
    server = provider()
    with pytest.raises(InputError, match=r"refuses the request \(404.*name or URL"):
        templates(server, server.url + "/elsewhere")
    with pytest.raises(InputError, match=r"did not answer, 3 times \(ConnectionError"):
        templates(server, "http://127.0.0.1:1/")
    with pytest.raises(InputError, match=r"`provider: http://\[::` is not a URL"):
        templates(server, "http://[::")


@pytest.mark.parametrize(
    ("mode", "reasons"),
    [
        ("badentry", {"no_structure": 1}),
        ("disordered", {"disordered": 2}),
        ("disordered_named", {"disordered": HELD}),
        ("vacancy", {"disordered": HELD}),
        ("assemblies", {"disordered": 1}),
        ("nonsense", {"no_structure": 1}),
        ("nameless", {"no_structure": 1}),
        ("ignores_filter_of_3", {"filter_ignored": 3}),
        ("nsites501", {"too_many_sites": 5}),
    ],
)
def test_an_entry_that_is_no_template_is_excluded_with_its_reason_also_from_the_cache(
    mode, reasons, provider, templates, caplog
):
    server = provider(mode)
    found, exclusions = templates(server)
    assert Counter(x.reason for x in exclusions) == reasons
    held = HELD + sum(reasons.get(key, 0) for key in ("filter_ignored", "too_many_sites"))
    assert len(found) == held - len(exclusions) and all(x.detail for x in exclusions)
    assert "ignores the filter for 3 sites: none of its 3" in caplog.text or mode != "ignores_filter_of_3"
    assert "501: nsites is not supported) for 2 sites" in caplog.text or mode != "nsites501"
    asked = len(server.requests)
    again, same = templates(server)
    assert same == exclusions and [t.structure for t in again] == [t.structure for t in found]
    assert len(server.requests) == asked


def test_where_no_entry_is_a_crystal_the_sentence_counts_the_reasons(provider, templates, tmp_path):
    with pytest.raises(
        InputError, match=r"none of the 12 entries .* is a crystal: 12 no structure; the first is.*sent no"
    ):
        templates(provider("no_positions"))
    assert not (tmp_path / "cache").exists()


def test_an_answer_that_says_nothing_of_its_number_is_taken_with_a_warning(provider, templates, caplog):
    assert edges(templates(provider("no_count"))[0]) == WHOLE[:PAGE]
    assert "does not say how many entries pass `nelements=2 AND nsites=2`; 5 came" in caplog.text


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("3", 3, 3), ("0", 0, 0), (None, 5, 5), ("in five minutes", 200, 300)],
)
def test_a_limit_of_requests_is_waited_for_and_reported(header, least, most, provider, templates, pauses, caplog):
    if header == "in five minutes":  # as a date, from now on
        header = format_datetime(datetime.now(UTC) + timedelta(minutes=5))
    server = provider(refusals=1, retry_after=header)
    assert edges(templates(server)[0]) == WHOLE
    assert len(pauses) == 1 and least <= pauses[0] <= most
    assert "limits its requests: the download waited" in caplog.text


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("1", "after 8 waits of 8 s in all it asks for 1 s more"),
        ("0", "after 8 waits of 0 s"),
        ("86400", "after 0 waits of 0 s in all it asks for 86400 s more"),
        (None, "after 6 waits of 315 s in all it asks for 320 s more"),
    ],
)
def test_a_limit_of_requests_without_end_is_a_sentence(header, sentence, provider, templates, tmp_path):
    with pytest.raises(InputError, match=rf"limits its requests: {sentence}.*try later"):
        templates(provider(refusals=10**6, retry_after=header))
    assert not (tmp_path / "cache").exists()


def test_a_page_that_fails_once_is_asked_for_again(provider, templates, monkeypatch):
    server, calls = provider(), []

    def fail_once(handler, *_, do_GET=Handler.do_GET):
        calls.append(handler.path)
        return handler.send(502, b"bad gateway", "text/plain") if len(calls) == 2 else do_GET(handler)

    monkeypatch.setattr(Handler, "do_GET", fail_once)
    assert edges(templates(server)[0]) == WHOLE
    assert calls[1] == calls[2]


def test_a_suggested_delay_between_pages_is_respected(provider, templates, pauses):
    templates(provider("delay"))
    assert pauses == [0.5] * 4


def test_known_phases_of_a_system_are_asked_for_part_by_part_and_once(provider, tmp_path):
    server = provider()
    options = SourceOptions(provider=server.url, cache_dir=tmp_path)
    phases, exclusions = load_known("optimade", ["V", "O"], options)
    assert sorted(p.id.rpartition("-")[0].rpartition("-")[2] for p in phases) == ["V", "e2", "e2", "e2"]
    assert not exclusions and np.isclose(phases[0].structure.volume, 4.0**3 / 2)  # the primitive cell of bcc
    asked = len(server.requests)
    assert load_known("optimade", ["O", "V"], options)[0] and len(server.requests) == asked == 3
    with pytest.raises(InputError, match=r"known: OPTIMADE provider `http.*` holds nothing of Ti-Zr"):
        load_known("optimade", ["Ti", "Zr"], options)


def test_an_unknown_optimade_provider_is_told_the_nearest(tmp_path):
    with pytest.raises(InputError, match="Did you mean `oqmd`"):
        load_templates("optimade", SourceOptions(provider="oqdm", cache_dir=tmp_path))
    with pytest.raises(InputError, match="needs a `provider`"):
        load_templates("optimade", SourceOptions(cache_dir=tmp_path))
