from __future__ import annotations

import gzip
import json
from collections import Counter

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.known_phases import load_known
from imatgen_flows.crystals.registry import TEMPLATE_SOURCES, CrystalSource, SourceOptions
from imatgen_flows.crystals.standard import primitive_cell, standardise
from imatgen_flows.crystals.structure_files import RawCrystal
from imatgen_flows.crystals.templates import MAX_GIVEN_SITES, load_templates
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
    templates, exclusions = load_templates("file", SourceOptions(path))
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
    templates, exclusions = load_templates("file", SourceOptions(path))
    assert len(templates) == 2
    assert [x.reason for x in exclusions] == ["unreadable"]
    assert expected in exclusions[0].detail


def test_every_row_comes_out_once_in_primitive_standard_form(tmp_path):
    rows = [row("a", ROCKSALT), *bad_rows().values(), "{}", row("b", RUTILE * (1, 1, 2))]
    templates, exclusions = load_templates("file", SourceOptions(write(tmp_path / "t.jsonl.gz", rows)))
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
        load_templates("file", SourceOptions(tmp_path / "half.jsonl.gz"))


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
        load_templates("file", SourceOptions(tmp_path / name))


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_templates("file", SourceOptions(tmp_path / "nothing.jsonl.gz"))
    with pytest.raises(InputError, match="holds no CIF"):
        load_templates("file", SourceOptions(tmp_path))
    with pytest.raises(InputError, match="needs a `path`"):
        load_templates("file")
    with pytest.raises(InputError, match="unknown source of templates `mpp`. Did you mean `mp`"):
        load_templates("mpp")


def test_a_choice_that_chooses_nothing_says_what_the_fields_hold(tmp_path):
    path = write(tmp_path / "t.jsonl", [row(str(i), ROCKSALT, era=bool(i)) for i in range(3)])
    path.write_bytes(gzip.decompress(path.read_bytes()))
    with pytest.raises(
        InputError, match=r"templates: `where` chooses none of the 3 .*`era` is true \(2\), false \(1\)"
    ):
        load_templates("file", SourceOptions(path=path, where={"era": 2018}))
    with pytest.raises(InputError, match=r"known: `where` chooses none .* There `kind` is null \(3\)\."):
        load_known("file", ["V", "O"], SourceOptions(path=path, where={"kind": "MP"}))
    with pytest.raises(InputError, match="is a folder. Leave `where` out"):
        load_templates("file", SourceOptions(path=tmp_path, where={"era": True}))


def test_a_folder_of_cif_and_poscar_files_is_read(tmp_path):
    ROCKSALT.to(str(tmp_path / "vo.cif"))
    RUTILE.to(str(tmp_path / "POSCAR_rutile"), fmt="poscar")
    RUTILE.to(str(tmp_path / "vo.vasp"), fmt="poscar")
    (tmp_path / "broken.cif").write_text("data_\n_cell_length_a what\n")
    (tmp_path / "notes.txt").write_text("not a crystal")
    templates, exclusions = load_templates("file", SourceOptions(tmp_path))
    assert [(t.id, len(t.structure)) for t in templates] == [("POSCAR_rutile", 6), ("vo.cif", 2), ("vo.vasp", 6)]
    assert [(x.id, x.reason) for x in exclusions] == [("broken", "unreadable"), ("notes.txt", "other_format")]


def test_known_phases_of_any_size_and_of_each_part_of_the_system_are_read(tmp_path):
    large = RUTILE.copy()
    large.make_supercell([3, 2, 2])
    large.perturb(0.05, seed=1)  # so that no smaller cell holds it
    absurd = RUTILE.copy()
    absurd.make_supercell([4, 3, 3])
    vanadium = Structure(Lattice.cubic(3.0), ["V", "V"], [[0, 0, 0], [0.5] * 3])
    foreign = ROCKSALT.copy()
    foreign.replace_species({"V": "Ti"})
    rows = {"large": large, "absurd": absurd, "V bcc": vanadium, "TiO": foreign}
    path = write(tmp_path / "known.jsonl.gz", [row(name, crystal) for name, crystal in rows.items()])
    phases, exclusions = load_known("file", ["V", "O"], SourceOptions(path))
    assert {phase.id: len(phase.structure) for phase in phases} == {"large": 72, "V bcc": 1}
    reasons = {item.id: (item.reason, item.detail) for item in exclusions}
    assert reasons["absurd"] == (
        "too_large",
        f"216 sites as given; at most {MAX_GIVEN_SITES} are taken",
    )
    assert reasons["TiO"] == ("other_elements", "holds Ti")
    assert load_known("shipped", ["V", "O"]) == ([], [])


def own_source(options, query):
    """Read two crystals, one of them too large, as a source that somebody adds does."""
    yield RawCrystal("own-1", options.provider, ROCKSALT)
    yield RawCrystal("own-2", options.provider, RUTILE)


def test_a_source_is_added_by_one_entry_of_the_registry():
    TEMPLATE_SOURCES.add(CrystalSource("own", "Own", "A source of one's own.", loader=f"{__name__}:own_source"))
    try:
        templates, exclusions = load_templates("own", SourceOptions(provider="shelf"), max_sites=4)
    finally:
        TEMPLATE_SOURCES.remove("own")
    assert [(t.id, t.source, len(t.structure)) for t in templates] == [("own-1", "shelf", 2)]
    assert [(x.id, x.reason) for x in exclusions] == [("own-2", "too_many_sites")]
