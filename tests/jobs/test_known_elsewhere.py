"""The job that looks up what is known: it adds columns, changes no state, counts its evaluations, survives providers."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlparse

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.ledger import LedgerError
from imatgen_flows.candidates.states import State
from imatgen_flows.config import CampaignConfig, Elsewhere, Known
from imatgen_flows.energetics.references import reference_phases
from imatgen_flows.errors import InputError
from imatgen_flows.flows.common import plain, with_files
from imatgen_flows.jobs.candidate_table import candidate_rows, read_candidates
from imatgen_flows.jobs.dataset_rows import crystal_row
from imatgen_flows.jobs.documents import CampaignData, DatasetDocument
from imatgen_flows.jobs.finish_round import COUNTED, _evaluations_on_record, _ledger, _notes
from imatgen_flows.jobs.known_elsewhere import MOMENTS, known_elsewhere
from imatgen_flows.sources.registry import GENERATOR

from .conftest import VO, VO2, candidate

CSCL = Structure(Lattice.cubic(2.6), ["V", "O"], [[0, 0, 0], [0.5] * 3])


@pytest.fixture
def dataset(store):
    rows = [crystal_row("known-1", VO, known=True), crystal_row("mp-1:Ti=V", VO2, "mp-1")]
    nothing = store.put_lines("nothing", [])
    crystals = store.put_lines("crystals", rows)
    elements = ["V", "O"]
    return DatasetDocument(
        key="build_dataset-0", elements=elements, crystals=crystals, packed=nothing, exclusions=nothing, counts={}
    )


@pytest.fixture
def look_up(store, dataset, published, shortlist, run, monkeypatch, tmp_path):
    """Run the job on candidates; return its document, and its rows by sample."""
    monkeypatch.setenv("IMATGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("imatgen_flows.crystals.optimade_client.sleep", lambda _: None)

    def look_up(*screened, providers=(), potential="toy", known=None):
        job = known_elsewhere(
            str(store.root),
            candidates=shortlist(*screened),
            data=CampaignData(dataset=dataset, references=published),
            system=["V", "O"],
            known=with_files(known or Known()),
            elsewhere=plain(Elsewhere(providers=list(providers))),
            potential=potential,
        )
        document = run(job)[known_elsewhere.spec.name]
        return document, {row["sample"]: row for row in candidate_rows(document.candidates)}

    return look_up


def test_columns_are_added_and_no_state_is_changed(look_up):
    relaxed = candidate("relaxed", VO2.copy().perturb(0.03, seed=1), State.SCREENED, 0.3)
    lost = candidate("lost", VO, State.REJECTED)
    document, rows = look_up(candidate("new", CSCL, e_above_hull=0.1), relaxed, lost)
    assert {name: row["state"] for name, row in rows.items()} == {
        "new": "shortlisted",
        "relaxed": "screened",
        "lost": "rejected",
    }
    assert all(row["novelty"] == "" for row in rows.values())  # that is another job's
    new = rows["new"]
    assert (new["tight_novelty"], new["tight_match"]) == ("new", "")
    assert (new["protostructure"], new["prototype_known"]) == ("AB_cP2_221_a_b", True)
    assert new["nearest"] == "known-1" and new["nearest_distance"] > 0.05
    assert (rows["relaxed"]["tight_novelty"], rows["relaxed"]["tight_match"]) == ("substituted", "mp-1:Ti=V")
    assert rows["relaxed"]["nearest"] == "" and rows["lost"]["tight_novelty"] == ""
    assert document.evaluations == {"screen": 24}  # the toy potential has no moments
    assert (new["magnetic_order"], new["mean_moment"], new["moment_evaluations"]) == ("", None, 0)


def test_without_a_shortlist_nothing_is_looked_up(look_up):
    document, rows = look_up(candidate("relaxed", VO2, State.SCREENED), providers=["http://127.0.0.1:9/unreachable"])
    assert rows["relaxed"]["elsewhere"] == [] and rows["relaxed"]["tight_novelty"] == "substituted"
    assert document.evaluations == {"screen": 8}


def test_moments_of_chgnet_tell_magnetic_from_nonmagnetic_and_are_counted(look_up):
    v2o5 = next(phase.structure for phase in reference_phases(["V", "O"]) if phase.name == "V2O5")
    document, rows = look_up(candidate("empty d shell", v2o5), candidate("d3", VO), potential="chgnet")
    assert rows["d3"]["magnetic_order"] == "magnetic" and rows["d3"]["mean_moment"] > 0.5
    assert rows["empty d shell"]["magnetic_order"] == "nonmagnetic" and rows["empty d shell"]["mean_moment"] < 0.1
    counted = sum(row["moment_evaluations"] for row in rows.values())
    assert document.evaluations == {"screen": 16, MOMENTS: counted} and counted == 2


def test_a_structure_that_the_potential_cannot_read_costs_its_moments_alone(look_up, monkeypatch):
    monkeypatch.setattr("imatgen_flows.energetics.moments.TIMEOUT", 1e-9)
    document, rows = look_up(candidate("slow", VO), potential="chgnet")
    assert (rows["slow"]["magnetic_order"], rows["slow"]["mean_moment"]) == ("", None)
    assert rows["slow"]["protostructure"] == "AB_cF8_225_a_b"
    assert document.evaluations.get(MOMENTS, 0) == rows["slow"]["moment_evaluations"]


class Provider(ThreadingHTTPServer):
    """Holds one crystal, the caesium chloride structure of VO, and answers in a mode."""

    daemon_threads = True

    def __init__(self, mode):
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode, self.url = mode, f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        mode, criterion = self.server.mode, parse_qs(urlparse(self.path).query)["filter"][0]
        entry = {
            "id": "17",
            "type": "structures",
            "attributes": {
                "lattice_vectors": CSCL.lattice.matrix.tolist(),
                "species": [{"name": e, "chemical_symbols": [e], "concentration": [1.0]} for e in ("V", "O")],
                "species_at_sites": ["V", "O"],
                "cartesian_site_positions": CSCL.cart_coords.tolist(),
                "structure_features": [],
            },
        }
        held = [entry] if len(re.findall(r'"\w+"', criterion)) == 2 and mode != "nothing" else []
        counted = len(held) + (3 if mode == "half a page" and held else 0)
        body = json.dumps(
            {"data": held, "meta": {"data_returned": counted, "more_data_available": counted > len(held)}}
        )
        self.send_response(500 if mode == "error" else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def provider():
    servers = []

    def start(mode):
        server = Provider(mode)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_provider_that_answers_says_where_a_crystal_is_and_that_another_is_not_there(look_up, provider):
    url = provider("whole")
    _, rows = look_up(candidate("there", CSCL), candidate("not there", VO), providers=[url])
    (there,), (absent,) = rows["there"]["elsewhere"], rows["not there"]["elsewhere"]
    assert there.startswith(f"{url}: ") and there.endswith(f" {url}/v1/structures/17")
    assert absent == f"{url}: not among 1 crystals of the system"
    assert rows["there"]["nearest"].endswith(f"-17 ({url})") and rows["there"]["nearest_distance"] < 1e-6


@pytest.mark.parametrize(
    ("mode", "words"),
    [("error", "did not answer, 3 times"), ("half a page", "sent 1 of the 4 entries"), ("nothing", "holds nothing")],
)
def test_a_provider_that_fails_is_told_and_recorded_as_silent_beside_one_that_answers(
    look_up, provider, caplog, mode, words
):
    url, other = provider(mode), provider("whole")
    document, rows = look_up(candidate("there", CSCL), providers=[url, other])
    silent, whole = rows["there"]["elsewhere"]
    assert silent.startswith(f"{url}: not answered (") and words in silent
    assert whole.endswith("/v1/structures/17")
    assert f"`{url}` has not answered, so that nothing is known of what it holds" in caplog.text
    assert rows["there"]["state"] == "shortlisted" and document.counts == {"shortlisted": 1}
    notes = _notes({"labels": SimpleNamespace(note="")}, read_candidates(document.candidates, COUNTED))
    assert notes == [f"`{url}` has not answered about 1 candidates: what it holds of them is not known."]


def test_the_materials_project_without_a_key_is_silent(look_up, monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    _, rows = look_up(candidate("new", CSCL), providers=["mp"])
    (said,) = rows["new"]["elsewhere"]
    assert said.startswith("mp: not answered (the Materials Project needs a key")


def test_a_disordered_phase_among_the_known_ones_is_a_parent(
    look_up, tmp_path, store, dataset, published, shortlist, run
):
    cif = tmp_path / "disordered.cif"
    mixed = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.15), [{"Li": 0.5, "V": 0.5}, "O"], [[0, 0, 0], [0.5] * 3]
    )
    mixed.to(str(cif))
    layered = Structure.from_spacegroup(
        "R-3m", Lattice.hexagonal(2.92, 14.4), ["Li", "V", "O"], [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.25]]
    )
    job = known_elsewhere(
        str(store.root),
        candidates=shortlist(candidate("layered", layered)),
        data=CampaignData(dataset=dataset, references=published),
        system=["Li", "V", "O"],
        known=with_files(Known(source="file", path=cif)),
        elsewhere=plain(Elsewhere()),
        potential="toy",
    )
    (row,) = candidate_rows(run(job)[known_elsewhere.spec.name].candidates)
    assert row["variant_of"].endswith("(disordered)") and row["variant_of"].startswith("disordered")


def test_providers_of_a_campaign_are_one_or_a_list_each_once():
    assert CampaignConfig(system=["V", "O"], elsewhere={"providers": "oqmd"}).elsewhere.providers == ["oqmd"]
    assert Elsewhere(providers=["mp", "oqmd", "mp"]).providers == ["mp", "oqmd"]
    with pytest.raises(InputError, match=r"elsewhere.*a provider has no name"):
        CampaignConfig(system=["V", "O"], elsewhere={"providers": ["mp", " "]})


def test_the_ledger_of_a_round_counts_moments_by_source_and_from_the_rows(look_up):
    document, _ = look_up(
        candidate("a", VO), candidate("b", CSCL), candidate("c", VO, State.SCREENED), potential="chgnet"
    )
    drawn = read_candidates(document.candidates, COUNTED)
    ledger = _ledger(drawn, {GENERATOR: 3}, [document])
    labels = SimpleNamespace(labels=None)
    recorded = _evaluations_on_record(drawn, {"labels": labels}, None, is_first=False)
    assert {purpose: number for purpose, number in recorded.items() if number} == {"screen": 24, MOMENTS: 2}
    ledger.check(evaluations=recorded, total=26)
    assert ledger.sources[GENERATOR].evaluations == {"screen": 24, MOMENTS: 2}
    with pytest.raises(LedgerError, match="evaluations for moments were entered, 1 counted"):
        ledger.check(evaluations=recorded | {MOMENTS: 1})
