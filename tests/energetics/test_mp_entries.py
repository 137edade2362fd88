"""Entries of the Materials Project: downloaded once, checked when read, and refused where they are on another scale."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from imatgen_flows.energetics.hull import Hull, HullEntry
from imatgen_flows.energetics.mp_corrections import mp2020_entry
from imatgen_flows.energetics.mp_entries import fetch_mp_entries
from imatgen_flows.errors import ImatgenError, InputError


def document(entry, **changes):
    """The thermodynamic document of an entry, as far as it is asked for."""
    name, _, run_type = entry.entry_id.rpartition("-")
    content = {
        "material_id": name,
        "thermo_type": "GGA_GGA+U",
        "energy_per_atom": entry.energy_per_atom,
        "entries": {run_type: entry.as_dict()},
    }
    return content | changes


class FakeRester:
    """Answers as MPRester(use_document_model=False) does; `test_mp_server.py` plays the server."""

    asked = 0
    network = True
    answer = ()

    def __init__(self, api_key, use_document_model):
        if not type(self).network:
            raise ConnectionError(f"Failed to resolve 'api.materialsproject.org' with {api_key}")
        self.materials = SimpleNamespace(thermo=self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def get_database_version(self):
        return "2026.02.01"

    def search(self, chemsys, thermo_types, **_):
        assert thermo_types == ["GGA_GGA+U"] and set(chemsys) == {"O", "V", "O-V"}
        type(self).asked += 1
        return [document(entry) if hasattr(entry, "entry_id") else entry for entry in type(self).answer]

    def count(self, criteria):
        assert criteria == {"chemsys": "O,V,O-V", "thermo_types": "GGA_GGA+U"}
        return len(type(self).answer)


@pytest.fixture
def materials_project(monkeypatch, results):
    entries = [mp2020_entry(result, f"mp-{n}-{result.run_type}") for n, result in enumerate(results.values())]
    rester = type("Rester", (FakeRester,), {"answer": entries})
    package, client = ModuleType("mp_api"), ModuleType("mp_api.client")
    client.MPRester = rester
    monkeypatch.setitem(sys.modules, "mp_api", package)
    monkeypatch.setitem(sys.modules, "mp_api.client", client)
    return rester


def test_references_are_downloaded_once_and_then_need_neither_key_nor_network(materials_project, results, tmp_path):
    first = fetch_mp_entries("V-O", tmp_path / "cache", "k" * 32)
    materials_project.network = False
    again = fetch_mp_entries(["O", "V"], tmp_path / "cache")
    assert again == first
    assert materials_project.asked == 1
    assert {entry.source for entry in first} == {"Materials Project 2026.02.01"}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["mp_2026.02.01_O-V_GGA_GGA+U.json"]
    ours = {name: mp2020_entry(result).energy_per_atom for name, result in results.items()}
    hull = Hull([HullEntry(name, results[name].structure.composition, energy) for name, energy in ours.items()])
    for name, energy in ours.items():
        composition = results[name].structure.composition
        expected = hull.e_above_hull(composition, energy)
        assert Hull(first).e_above_hull(composition, energy) == pytest.approx(expected, abs=1e-12)


def test_a_damaged_download_is_noticed(materials_project, tmp_path):
    fetch_mp_entries("V-O", tmp_path, "k" * 32)
    (path,) = tmp_path.iterdir()
    content = json.loads(path.read_text())
    content["entries"][0]["energy_per_atom"] -= 0.001
    for damaged in (json.dumps(content), path.read_text()[:200], "[]", ""):
        path.write_text(damaged)
        with pytest.raises(InputError, match="its hash does not match.*Delete it"):
            fetch_mp_entries("V-O", tmp_path)


def test_no_key_no_package_and_no_network_say_what_to_do(materials_project, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"MP_API_KEY.*compute the reference phases with the same flow"):
        fetch_mp_entries("V-O", tmp_path)
    materials_project.network = False
    with pytest.raises(InputError, match=r"did not answer \(ConnectionError.*network") as caught:
        fetch_mp_entries("V-O", tmp_path, "secret" * 6)
    assert "secret" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    with pytest.raises(InputError, match=r"imatgen-flows\[mp\]"):
        fetch_mp_entries("V-O", tmp_path, "k" * 32)
    with pytest.raises(InputError, match="references: `Vn` is not a chemical element"):
        fetch_mp_entries("Vn-O", tmp_path, "k" * 32)
    assert not list(tmp_path.iterdir())


def test_an_answer_on_another_scale_is_refused(materials_project, results, tmp_path):
    sound = materials_project.answer
    other = mp2020_entry(results["V2O5"], "mp-9-r2SCAN")
    other.parameters["run_type"] = "r2SCAN"
    raw = mp2020_entry(results["V2O5"], "mp-9-GGA+U")
    raw.energy_adjustments = []
    lone = [entry for entry in sound if entry.composition.reduced_formula != "V"]
    for answer, words in (
        ([*sound, other], "mp-9-r2SCAN computed with r2SCAN"),
        ([*sound, raw], "oxide mp-9-GGA\\+U without the correction"),
        (lone, "holds no phase of the element V"),
    ):
        materials_project.answer = answer
        with pytest.raises(ImatgenError, match=words):
            fetch_mp_entries("V-O", tmp_path, "k" * 32)
    assert not list(tmp_path.iterdir())
