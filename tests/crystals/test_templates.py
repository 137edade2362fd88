from __future__ import annotations

import gzip
import json
import logging
import sys
from collections import Counter
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.standard import standardise
from imatgen_flows.crystals.templates import load_known, load_templates, primitive_cell
from imatgen_flows.errors import InputError

ROCKSALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
RUTILE = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])


def row(name, structure, **changes):
    species = [site.species_string for site in structure]
    matrix, coords = structure.lattice.matrix.tolist(), structure.frac_coords.tolist()
    return {"id": name, "lattice": matrix, "species": species, "frac_coords": coords} | changes


def write(path, rows):
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    with gzip.open(path, "wt") as stream:
        stream.write(text)
    return path


def bad_rows():
    cell = np.eye(3) * 5
    big = Structure(Lattice.cubic(10), ["V"] * 100 + ["O"] * 100, np.random.default_rng(0).random((200, 3)))
    return {
        "nan_coordinates": row("nan", ROCKSALT, frac_coords=[[float("nan"), 0, 0]] + [[0.1, 0.2, i / 8] for i in range(7)]),
        "disordered": row("mixed", RUTILE, species=[{"V": 0.5, "Ti": 0.5}, "V", "O", "O", "O", "O"]),
        "wrong_number_of_elements": row("three", RUTILE, species=["V", "Ti", "O", "O", "O", "O"]),
        "zero_volume": row("flat", RUTILE, lattice=[[3, 0, 0], [0, 3, 0], [3, 3, 0]]),
        "too_many_sites": row("big", big),
        "overlap": {"id": "near", "lattice": cell.tolist(), "species": ["V", "O"],
                    "frac_coords": [[0, 0, 0], [0.98, 0, 0]]},
        "edge_too_long": row("long", Structure(Lattice.tetragonal(3, 11), ["V", "O"], [[0, 0, 0], [0.5] * 3])),
    }  # fmt: skip


def test_the_shipped_prototypes_are_all_accounted_for():
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    templates, exclusions = load_templates()
    assert len(templates) + len(exclusions) == len(list(AFLOW_PROTOTYPE_LIBRARY))
    assert len({t.id for t in templates} | {x.id for x in exclusions}) == len(templates) + len(exclusions)
    assert len(templates) == 142
    for template in templates:
        assert len(template.structure.composition.elements) == 2
        assert len(template.structure) <= 20
        assert max(template.structure.lattice.abc) <= 10


@pytest.mark.parametrize("reason", bad_rows())
def test_a_bad_row_costs_one_row_and_says_why(tmp_path, reason):
    path = write(tmp_path / "t.jsonl.gz", [row("good", ROCKSALT), bad_rows()[reason], row("also", RUTILE)])
    templates, exclusions = load_templates("file", path)
    assert [t.id for t in templates] == ["good", "also"]
    assert [x.reason for x in exclusions] == [reason]
    assert exclusions[0].detail


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{not json", "line 2"),
        ('"a string"', "line 2"),
        ('{"id": "x", "species": ["V"], "frac_coords": [[0, 0, 0]]}', "no `lattice`"),
        (json.dumps(row("x", ROCKSALT, species=["V"])), "1 species"),
        (json.dumps(row("x", RUTILE, species=["Qq"] * 6)), "Qq is not an element"),
    ],
)
def test_a_line_that_is_no_crystal_is_left_out_with_its_number(tmp_path, line, expected):
    path = write(tmp_path / "t.jsonl.gz", [row("good", ROCKSALT), line, row("also", RUTILE)])
    templates, exclusions = load_templates("file", path)
    assert len(templates) == 2
    assert [x.reason for x in exclusions] == ["unreadable"]
    assert expected in exclusions[0].detail


def test_every_row_comes_out_once_in_primitive_standard_form(tmp_path):
    rows = [row("a", ROCKSALT), *bad_rows().values(), "{}", row("b", RUTILE * (1, 1, 2))]
    templates, exclusions = load_templates("file", write(tmp_path / "t.jsonl.gz", rows))
    assert len(templates) + len(exclusions) == len(rows)
    assert Counter(x.reason for x in exclusions) == Counter([*bad_rows(), "unreadable"])
    assert [len(t.structure) for t in templates] == [2, 6]
    for template in templates:
        again = standardise(template.structure)
        np.testing.assert_allclose(again.frac_coords, template.structure.frac_coords, atol=1e-6)


def test_a_distorted_supercell_is_not_folded_into_its_parent():
    double = RUTILE * (1, 1, 2)
    double.translate_sites([0], [0, 0, 0.02], frac_coords=True)
    assert len(primitive_cell(double)) == 12
    assert primitive_cell(RUTILE * (1, 1, 2)).volume == pytest.approx(RUTILE.volume)


def test_a_truncated_file_is_refused_and_says_how_much_was_read(tmp_path):
    rng = np.random.default_rng(0)  # incompressible, so that half of the file holds about half of the rows
    rows = [row(f"r{i}", ROCKSALT, frac_coords=rng.random((8, 3)).tolist()) for i in range(400)]
    whole = write(tmp_path / "whole.jsonl.gz", rows).read_bytes()
    (tmp_path / "half.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"half.jsonl.gz is truncated.* 1\d\d rows|2\d\d rows"):
        load_templates("file", tmp_path / "half.jsonl.gz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl.gz", b"", "is empty"),
        ("blank.jsonl.gz", gzip.compress(b"\n\n", mtime=0), "no line of"),
        ("plain.jsonl.gz", b'{"id": 1}\n', "not a gzip file"),
        ("damaged.jsonl.gz", gzip.compress(b"x" * 100, mtime=0)[:20] + b"\xff" * 30, "damaged"),
        ("image.jsonl", b"\xff\xd8\xff\xe0", "not text"),
        ("prose.jsonl", b"a crystal\nanother crystal\n", "no line of"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_an_input_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_templates("file", tmp_path / name)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_templates("file", tmp_path / "nothing.jsonl.gz")
    with pytest.raises(InputError, match="holds no CIF"):
        load_templates("file", tmp_path)
    with pytest.raises(InputError, match="needs a `path`"):
        load_templates("file")
    with pytest.raises(InputError, match="unknown source `mpp`"):
        load_templates("mpp")


def test_a_choice_that_chooses_nothing_says_what_the_fields_hold(tmp_path):
    path = write(tmp_path / "t.jsonl", [row(str(i), ROCKSALT, era=bool(i)) for i in range(3)])
    path.write_bytes(gzip.decompress(path.read_bytes()))
    with pytest.raises(
        InputError, match=r"templates: `where` chooses none of the 3 .*`era` is true \(2\), false \(1\)"
    ):
        load_templates("file", path, where={"era": 2018})
    with pytest.raises(InputError, match=r"known: `where` chooses none .* There `kind` is null \(3\)\."):
        load_known(path, ["V", "O"], where={"kind": "MP"})
    with pytest.raises(InputError, match="is a folder. Leave `where` out"):
        load_templates("file", tmp_path, where={"era": True})


def test_a_folder_of_cif_and_poscar_files_is_read(tmp_path):
    ROCKSALT.to(str(tmp_path / "vo.cif"))
    RUTILE.to(str(tmp_path / "POSCAR_rutile"), fmt="poscar")
    RUTILE.to(str(tmp_path / "vo.vasp"), fmt="poscar")
    (tmp_path / "broken.cif").write_text("data_\n_cell_length_a what\n")
    (tmp_path / "notes.txt").write_text("not a crystal")
    templates, exclusions = load_templates("file", tmp_path)
    assert [(t.id, len(t.structure)) for t in templates] == [("POSCAR_rutile", 6), ("vo.cif", 2), ("vo.vasp", 6)]
    assert [(x.id, x.reason) for x in exclusions] == [("broken", "unreadable")]


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

    def search(self, num_elements, num_sites, **_):
        type(self).calls += 1
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
    first, exclusions = load_templates("mp", cache_dir=tmp_path / "cache", api_key="k" * 32)
    assert [t.id for t in first] == ["mp-1", "mp-2"]
    assert [(x.id, x.reason) for x in exclusions] == [("mp-3", "disordered")]
    assert {t.source for t in first} == {"Materials Project 2026.02.01"}
    materials_project.network = False
    again, _ = load_templates("mp", cache_dir=tmp_path / "cache")  # no network, no key
    assert [t.structure for t in again] == [t.structure for t in first]
    assert materials_project.calls == 1
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".gz"]


def test_no_key_no_network_and_no_package_say_what_to_do(materials_project, monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"MP_API_KEY.*prototypes"):
        load_templates("mp", cache_dir=tmp_path)
    materials_project.network = False
    with pytest.raises(InputError, match=r"did not answer.*ConnectionError.*network"):
        load_templates("mp", cache_dir=tmp_path, api_key="k" * 32)
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    with pytest.raises(InputError, match="pip install"):
        load_templates("mp", cache_dir=tmp_path, api_key="k" * 32)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_named(materials_project, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        load_templates("mp", cache_dir=tmp_path / "file" / "cache", api_key="k" * 32)


class FakeOptimade:
    """Like pymatgen's client, it logs a failed page and returns nothing for it."""

    aliases: ClassVar = {"oqmd": "https://oqmd.org/optimade/"}
    fails = 0  # how many of the next requests for two sites
    asked: ClassVar = []

    def __init__(self, providers, timeout):
        self.provider = providers[0]

    def get_snls_with_filter(self, query):
        type(self).asked.append(query)
        if "nsites=2" in query and type(self).fails:
            type(self).fails -= 1
            try:
                raise TimeoutError("no answer")
            except TimeoutError:
                logging.getLogger("pymatgen.ext.optimade").exception("Could not retrieve required information")
            return {}
        held = {"nelements=2 AND nsites=2": ROCKSALT.get_primitive_structure(), "nelements=2 AND nsites=6": RUTILE}
        found = held.get(query)
        return {self.provider: {f"id{len(found)}": SimpleNamespace(structure=found)}} if found else {}


@pytest.fixture
def optimade(monkeypatch):
    rester = type("Rester", (FakeOptimade,), {"asked": []})
    monkeypatch.setattr("pymatgen.ext.optimade.OptimadeRester", rester)
    return rester


def test_optimade_asks_again_for_a_page_that_failed_then_uses_the_cache(optimade, tmp_path):
    optimade.fails = 1
    templates, exclusions = load_templates("optimade", provider="oqmd", max_sites=8, cache_dir=tmp_path)
    assert [t.id for t in templates] == ["oqmd-id2", "oqmd-id6"] and exclusions == []
    assert len(optimade.asked) == 7 + 1
    optimade.fails = 99
    again, _ = load_templates("optimade", provider="oqmd", max_sites=8, cache_dir=tmp_path)
    assert [t.structure for t in again] == [t.structure for t in templates]
    assert len(optimade.asked) == 8


def test_an_optimade_page_that_stays_missing_is_an_error_not_a_gap(optimade, tmp_path):
    optimade.fails = 99
    with pytest.raises(InputError, match=r"did not answer for 2 sites.*TimeoutError"):
        load_templates("optimade", provider="oqmd", cache_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_optimade_provider_is_told_the_nearest(optimade, tmp_path):
    with pytest.raises(InputError, match="Did you mean `oqmd`"):
        load_templates("optimade", provider="oqdm", cache_dir=tmp_path)
    with pytest.raises(InputError, match="needs a `provider`"):
        load_templates("optimade", cache_dir=tmp_path)
