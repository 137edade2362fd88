"""The Materials Project is downloaded once, and every way to fail says what to do."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.known_phases import load_known
from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.templates import load_templates
from imatgen_flows.errors import InputError

KEY = "k" * 32
ROCKSALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
RUTILE = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
VANADIUM = Structure(Lattice.cubic(3.0), ["V", "V"], [[0, 0, 0], [0.5, 0.5, 0.5]])


class FakeMaterialsProject:
    """Answers as MPRester(use_document_model=False) does; counts how often it is asked."""

    calls = 0
    network = True
    errors = ()  # what the next calls raise
    lost = 0  # documents of the count that do not come
    extra = ()  # documents beside the others

    def __init__(self, api_key, use_document_model):
        if not type(self).network:
            raise ConnectionError("Failed to resolve 'api.materialsproject.org'")
        self.materials = SimpleNamespace(summary=self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def get_database_version(self):
        return "2026.02.01"

    def count(self, criteria):
        """Like mp-api's, it takes the words of the server, and those alone."""
        known = {
            "deprecated",
            "batch_id_not_eq",
            "nelements_min",
            "nelements_max",
            "nsites_min",
            "nsites_max",
            "chemsys",
        }
        assert set(criteria) <= known and {"deprecated", "batch_id_not_eq"} < set(criteria)
        if "chemsys" in criteria:
            return len(self.held(chemsys=criteria["chemsys"].split(",")))
        assert criteria["nelements_min"] == criteria["nelements_max"] == 2
        return len(self.held()) + type(self).lost

    def search(self, num_elements=None, num_sites=None, chemsys=None, **_):
        type(self).calls += 1
        if type(self).errors:
            error, *type(self).errors = type(self).errors
            raise error
        return self.held(chemsys)

    def held(self, chemsys=None):
        if chemsys:
            held = {"V": VANADIUM, "O-V": ROCKSALT, "Ti-V": ROCKSALT}
            return [{"material_id": f"mp-{name}", "structure": held[name]} for name in held if name in chemsys]
        mixed = Structure(Lattice.cubic(3), [{"V": 0.5, "Ti": 0.5}, "O"], [[0, 0, 0], [0.5] * 3])
        return [
            {"material_id": "mp-1", "structure": ROCKSALT.get_primitive_structure()},
            {"material_id": "mp-2", "structure": RUTILE.as_dict()},
            {"material_id": "mp-3", "structure": mixed},
            *self.extra,
        ]


@pytest.fixture
def materials_project(monkeypatch):
    rester = type("Rester", (FakeMaterialsProject,), {})
    package, client = ModuleType("mp_api"), ModuleType("mp_api.client")
    client.MPRester = rester
    monkeypatch.setitem(sys.modules, "mp_api", package)
    monkeypatch.setitem(sys.modules, "mp_api.client", client)
    rester.pauses = []
    monkeypatch.setattr("imatgen_flows.crystals.rate_limit.sleep", rester.pauses.append)
    return rester


def test_the_materials_project_is_asked_once_then_never_again(materials_project, tmp_path):
    first, exclusions = load_templates("mp", SourceOptions(cache_dir=tmp_path / "cache", api_key="k" * 32))
    assert [t.id for t in first] == ["mp-1", "mp-2"]
    assert [(x.id, x.reason) for x in exclusions] == [("mp-3", "disordered")]
    assert {t.source for t in first} == {"Materials Project 2026.02.01"}
    materials_project.network = False
    again, _ = load_templates("mp", SourceOptions(cache_dir=tmp_path / "cache"))  # no network, no key
    assert [t.structure for t in again] == [t.structure for t in first]
    assert materials_project.calls == 1
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".gz"]


def test_known_phases_are_those_of_the_system_and_its_parts_in_whatever_order_it_is_written(
    materials_project, tmp_path
):
    phases, exclusions = load_known("mp", ["V", "O"], SourceOptions(cache_dir=tmp_path, api_key="k" * 32))
    assert [phase.id for phase in phases] == ["mp-V", "mp-O-V"] and not exclusions
    assert {phase.source for phase in phases} == {"Materials Project 2026.02.01"}
    again, _ = load_known("mp", ["O", "V"], SourceOptions(cache_dir=tmp_path))  # no key
    assert [phase.id for phase in again] == ["mp-V", "mp-O-V"] and materials_project.calls == 1
    with pytest.raises(InputError, match=r"known: the Materials Project needs a key.*give `known` a `path`"):
        load_known("mp", ["V", "O", "Ti"], SourceOptions(cache_dir=tmp_path))


def test_no_key_no_network_and_no_package_say_what_to_do(materials_project, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"MP_API_KEY.*prototypes"):
        load_templates("mp", SourceOptions(cache_dir=tmp_path))
    materials_project.network = False
    with pytest.raises(InputError, match=r"did not answer.*ConnectionError.*network"):
        load_templates("mp", SourceOptions(cache_dir=tmp_path, api_key="k" * 32))
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    with pytest.raises(InputError, match="pip install"):
        load_templates("mp", SourceOptions(cache_dir=tmp_path, api_key="k" * 32))
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_named(materials_project, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        load_templates("mp", SourceOptions(cache_dir=tmp_path / "file" / "cache", api_key="k" * 32))


class MPRestError(Exception):
    """Stands for the error of mp-api, which has the status in its message alone."""


def rest_error(status, message="no message"):
    """The error as mp-api words it."""
    url = "https://api.materialsproject.org/materials/summary/?_limit=1000"
    return MPRestError(f"REST query returned with error status code {status} on URL {url} with message:\n{message}")


def http_error(status, **headers):
    error = ConnectionError("refused")
    error.response = SimpleNamespace(status_code=status, headers=headers)
    return error


def test_documents_without_a_structure_are_excluded_with_their_reason_also_from_the_cache(materials_project, tmp_path):
    materials_project.extra = (
        {"material_id": "mp-4", "structure": None},
        {"material_id": "mp-5"},
        {"material_id": "mp-6", "structure": {"lattice": "cubic"}},
    )
    reasons = {"mp-3": "disordered", "mp-4": "no_structure", "mp-5": "no_structure", "mp-6": "unreadable"}
    for options in (SourceOptions(cache_dir=tmp_path, api_key=KEY), SourceOptions(cache_dir=tmp_path)):
        found, exclusions = load_templates("mp", options)
        assert [t.id for t in found] == ["mp-1", "mp-2"]
        assert {x.id: x.reason for x in exclusions} == reasons
    assert materials_project.calls == 1


def test_fewer_documents_than_the_count_are_an_error_and_are_not_kept(materials_project, tmp_path):
    materials_project.lost = 2
    with pytest.raises(InputError, match=r"sent 3 of the 5 documents that it counts. No part is kept.*prototypes"):
        load_templates("mp", SourceOptions(cache_dir=tmp_path, api_key=KEY))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (http_error(429, **{"Retry-After": "7"}), 7),
        (rest_error(429, "API rate limit exceeded. Try again in 12 seconds"), 12),
        (rest_error(429, "Please wait 2 minutes"), 120),
        (rest_error(429), 5),
        (ConnectionError("Max retries exceeded with url: /materials/ (too many 429 error responses)"), 5),
    ],
)
def test_a_limit_of_requests_is_waited_for_and_reported(error, seconds, materials_project, tmp_path, caplog):
    materials_project.errors = [error]
    found, _ = load_templates("mp", SourceOptions(cache_dir=tmp_path, api_key=KEY))
    assert [t.id for t in found] == ["mp-1", "mp-2"]
    assert materials_project.pauses == [seconds]
    assert f"the Materials Project limits its requests: the download waited {seconds} s, in 1 waits" in caplog.text


@pytest.mark.parametrize(
    ("errors", "sentence"),
    [
        ([rest_error(429, "wait 1 s")] * 99, r"limits its requests: after 8 waits of 8 s.*Try later"),
        ([rest_error(429, "wait 9000 s")], r"after 0 waits of 0 s in all it asks for 9000 s more"),
        ([rest_error(401, "No API key found")], r"refuses the key in MP_API_KEY \(.*401.*Get one at https"),
        ([rest_error(403, f"Invalid authentication credentials {KEY}")], r"refuses the key.*credentials \*\*\*\)"),
        ([http_error(403)], r"refuses the key in MP_API_KEY"),
        ([MPRestError("Please obtain a valid API key. Valid API keys are 32 characters.")], r"refuses the key"),
        (
            [rest_error(503, "Response <html><h1>Down for maintenance</h1></html>")],
            r"answered with something else than data \(.*Response Down for maintenance",
        ),
        ([ValueError("JSONDecodeError: unexpected character at line 1")], r"something else than data"),
        ([rest_error(500, "Internal Server Error")], r"did not answer \(MPRestError.*500.*network"),
    ],
)
def test_an_answer_without_documents_is_a_sentence_and_is_not_kept(errors, sentence, materials_project, tmp_path):
    materials_project.errors = errors
    with pytest.raises(InputError, match=f"(?s)^templates: the Materials Project .*{sentence}.*prototypes") as failure:
        load_templates("mp", SourceOptions(cache_dir=tmp_path, api_key=KEY))
    assert KEY not in str(failure.value) and "_limit" not in str(failure.value)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_of_the_cache_is_downloaded_again(materials_project, tmp_path, caplog):
    options = SourceOptions(cache_dir=tmp_path, api_key=KEY)
    first, _ = load_templates("mp", options)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    again, _ = load_templates("mp", options)
    assert [t.structure for t in again] == [t.structure for t in first] and materials_project.calls == 2
    assert "is not whole" in caplog.text
