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

ROCKSALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
RUTILE = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
VANADIUM = Structure(Lattice.cubic(3.0), ["V", "V"], [[0, 0, 0], [0.5, 0.5, 0.5]])


class FakeMaterialsProject:
    """Answers as MPRester(use_document_model=False) does; counts how often it is asked."""

    calls = 0
    network = True

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

    def search(self, num_elements=None, num_sites=None, chemsys=None, **_):
        type(self).calls += 1
        if chemsys:
            held = {"V": VANADIUM, "O-V": ROCKSALT, "Ti-V": ROCKSALT}
            return [{"material_id": f"mp-{name}", "structure": held[name]} for name in held if name in chemsys]
        mixed = Structure(Lattice.cubic(3), [{"V": 0.5, "Ti": 0.5}, "O"], [[0, 0, 0], [0.5] * 3])
        return [
            {"material_id": "mp-1", "structure": ROCKSALT.get_primitive_structure()},
            {"material_id": "mp-2", "structure": RUTILE.as_dict()},
            {"material_id": "mp-3", "structure": mixed},
        ]


@pytest.fixture
def materials_project(monkeypatch):
    rester = type("Rester", (FakeMaterialsProject,), {})
    package, client = ModuleType("mp_api"), ModuleType("mp_api.client")
    client.MPRester = rester
    monkeypatch.setitem(sys.modules, "mp_api", package)
    monkeypatch.setitem(sys.modules, "mp_api.client", client)
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
