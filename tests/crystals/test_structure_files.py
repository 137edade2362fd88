"""Files as they come from other people: what is in them is read, or left out with the reason; nothing vanishes."""

from __future__ import annotations

import gzip
import json
import logging
import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.config import Known
from imatgen_flows.crystals.known_phases import load_known
from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.structure_files import crystal_row, list_files, read_crystals, read_files, write_crystals
from imatgen_flows.crystals.templates import load_templates
from imatgen_flows.errors import InputError
from imatgen_flows.jobs.campaign_inputs import published_phases
from imatgen_flows.jobs.documents import InputFile

FILES = Path(__file__).with_name("files")
ROCKSALT = Structure(Lattice.cubic(4.2), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def read(path):
    """Read a path to the formula of each crystal, or the reason and the detail of its exclusion, by id."""
    found = list(read_crystals(path, None, "templates"))
    contents = {
        raw.id: raw.crystal.composition.formula
        if isinstance(raw.crystal, Structure)
        else (raw.crystal.reason, raw.crystal.detail)
        for raw in found
    }
    assert len(contents) == len(found), "two crystals have one id"
    assert all(raw.id == raw.crystal.id for raw in found if not isinstance(raw.crystal, Structure))
    return contents


def cif(*sites, header="_chemical_formula_sum 'V O'", columns=("label", "type_symbol")):
    names = "".join(f"_atom_site_{column}\n" for column in (*columns, "fract_x", "fract_y", "fract_z", "occupancy"))
    cell = "".join(f"_cell_length_{axis} 4.2\n" for axis in "abc")
    cell += "".join(f"_cell_angle_{angle} 90\n" for angle in ("alpha", "beta", "gamma"))
    return f"data_x\n{cell}{header}\nloop_\n{names}" + "\n".join(sites) + "\n"


def test_a_hydrate_without_its_hydrogens_is_left_out_with_the_warning_of_pymatgen():
    phases, (exclusion,) = load_known("file", ["V", "O"], SourceOptions(FILES / "known_hydrate"))
    assert not phases and exclusion.reason == "unreadable"
    assert exclusion.detail == "hydrate.cif: Missing elements H from PMG structure composition"


def test_a_site_that_names_no_element_costs_the_crystal_and_a_mass_number_does_not():
    found = read(FILES / "unknown_symbol_site_dropped")
    assert found["iso"] == "V1 O2"  # 18O
    assert found["vac"] == ("unreadable", "vac.cif: site O2: `Oh` names no element")
    assert found["nolabel"] == ("unreadable", "nolabel.cif: site M1: `.` names no element")
    assert found["M_ternary"] == ("unreadable", "M_ternary.cif: site Ox1: `?` names no element")


@pytest.mark.parametrize(
    ("label", "header", "expected"),
    [
        ("CA1", "_chemical_formula_sum 'Ca O'", "Ca1 O1"),
        ("CA1", "_chemical_formula_sum 'C O'", "C1 O1"),
        ("FeT1", "", "Fe1 O1"),
        ("HO1", "", "names no element, or more than one"),
        ("Va1", "", "names no element"),
        ("D1", "_chemical_formula_sum 'H O'", "H1 O1"),
        ("D1", "_chemical_formula_sum 'D O'", "H1 O1"),
        ("2H1", "_chemical_formula_sum 'D O'", "H1 O1"),
    ],
)
def test_a_label_names_an_element_where_that_is_certain(tmp_path, label, header, expected):
    (tmp_path / "x.cif").write_text(cif(f"{label} 0 0 0 1", "O1 .5 .5 .5 1", header=header, columns=("label",)))
    found = read(tmp_path)["x"]
    assert expected == found if isinstance(found, str) else expected in found[1]


def test_every_block_of_a_cif_is_a_crystal_with_a_name():
    assert read(FILES / "multi_block") == {"many:one": "V1 O1", "many:two": "V4 O4", "many:three": "V1 O1"}
    assert list(read(FILES / "multi_block" / "many.cif")) == ["many:one", "many:two", "many:three"]


def test_blocks_of_one_name_are_numbered_and_a_bad_one_costs_one(tmp_path):
    good, bad = cif("V1 V 0 0 0 1", "O1 O .5 .5 .5 1"), "data_x\n_cell_length_a 4\n"
    (tmp_path / "a.cif").write_text(good + bad + good)
    found = read(tmp_path)
    assert list(found) == ["a:x", "a:x-2", "a:x-3"]
    assert found["a:x"] == found["a:x-3"] == "V1 O1" and "no table of sites" in found["a:x-2"][1]


@pytest.mark.parametrize("folder", ["crlf_bom", "non_ascii"])
def test_any_encoding_and_line_ending_is_read(folder):
    found = read(FILES / folder)
    assert len(found) == {"crlf_bom": 6, "non_ascii": 2}[folder]
    assert set(found.values()) == {"V1 O1"}


def test_a_name_of_any_script_is_an_id(tmp_path):
    ROCKSALT.to(str(tmp_path / "plain.cif"))
    (tmp_path / "plain.cif").rename(tmp_path / "Ünïcode 名.cif")
    assert read(tmp_path) == {"Ünïcode 名": "V1 O1"}


def test_empty_loops_are_passed_over_and_empty_files_are_not():
    found = read(FILES / "empty_loop")
    assert found["emptyloop"] == found["emptyaniso"] == "V1 O1"
    assert found["empty"] == ("unreadable", "empty.cif: it is empty")
    assert "no block begins with `data_`" in found["html"][1]
    assert "no table of sites" in found["noatoms"][1]


def test_a_share_of_one_that_is_rounded_or_left_out_is_one_and_others_are_disorder():
    found = read(FILES / "partial_occ")
    assert [found[f"occ_{share}"] for share in ("0", "1.001", "dot", "question")] == ["V1 O1"] * 4
    templates, exclusions = load_templates("file", SourceOptions(FILES / "partial_occ"))
    assert len(templates) == 4
    assert {item.id: item.reason for item in exclusions} == dict.fromkeys(
        ["occ", "occ_0.999", "occ_mixed"], "disordered"
    )


def test_a_space_group_that_cannot_be_found_is_not_taken_for_p1(tmp_path):
    sites = "V1 V 0 0 0 1", "O1 O .5 .5 .5 1"
    (tmp_path / "odd.cif").write_text(cif(*sites, header="_symmetry_space_group_name_H-M 'F odd'"))
    (tmp_path / "none.cif").write_text(cif(*sites, header=""))
    found = read(tmp_path)
    assert found["none"] == "V1 O1" and "`F odd` is not one that pymatgen reads" in found["odd"][1]


P1 = "_symmetry_space_group_name_H-M 'P 1'"
TWO_SITES = "V1 V 0 0 0 1", "O1 O .5 .5 .5 1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (cif("V1 V 0 0 0 -1", TWO_SITES[1], header=P1), "V1 has an occupancy of -1"),
        (cif("V1 V . . . 1", TWO_SITES[1], header=P1), "V1 has no coordinates"),
        (cif(*TWO_SITES, header=P1).replace("_cell_length_a", "_cell_length_a 9\n_cell_length_a"), "stands 2 times"),
        (cif(*TWO_SITES, header=P1).replace("_cell_length_a", "_cell_length_q"), "no cell"),
        (cif(*TWO_SITES, header=P1).replace("_cell_length_a ", "_cell_length_a -"), "`_cell_length_a` is -"),
        (cif(*TWO_SITES, header=P1).replace("fract", "Cartn"), "no fractional coordinates"),
        (
            cif(*TWO_SITES, header=P1) + "\nloop_\n_atom_site_label\n_atom_site_fract_x\nO9 .1\n",
            "`_atom_site_label` stands 2 times",
        ),
        (cif(*TWO_SITES, header="_space_group_name_H-M_ref 'F m -3 m'"), "`F m -3 m` is not one that pymatgen reads"),
        (
            cif(*TWO_SITES, header="_symmetry_space_group_name_H-M 'F m -3 m'\n_symmetry_Int_Tables_number 221"),
            "Fm-3m (225) by name, and number 221",
        ),
        (
            cif(*TWO_SITES, header="_space_group_IT_number 225").replace(
                "_cell_angle_gamma 90", "_cell_angle_gamma 80"
            ),
            "is not cubic",
        ),
    ],
)
def test_a_cif_that_pymatgen_takes_for_another_crystal_is_left_out(tmp_path, text, reason):
    (tmp_path / "wrong.cif").write_text(text)
    assert reason in read(tmp_path)["wrong"][1]


def test_a_cif_whose_symmetry_makes_thousands_of_sites_is_not_tried(tmp_path):
    rows = [f"V{n} V 0.{n:03} 0.1{n:02} 0.2{n:02} 1" for n in range(1, 41)]
    (tmp_path / "many.cif").write_text(cif(*rows, header="_symmetry_space_group_name_H-M 'F m -3 m'"))
    assert read(tmp_path)["many"][0] == "too_large"


@pytest.mark.parametrize(
    ("elements", "counts", "rows", "reason"),
    [
        ("V O Ti", "1 1", 2, "3 elements (V O Ti) and 2 numbers"),
        ("V O", "1 1", 3, "more rows of coordinates than the 2"),
    ],
)
def test_a_poscar_whose_numbers_of_atoms_do_not_suit_it_is_left_out(tmp_path, elements, counts, rows, reason):
    cell = f"x\n1\n4 0 0\n0 4 0\n0 0 4\n{elements}\n{counts}\nDirect\n"
    (tmp_path / "wrong.vasp").write_text(cell + "".join(f"0.{n} 0.{n} 0.{n}\n" for n in range(rows)))
    assert reason in read(tmp_path)["wrong"][1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bigint", ["int too large to convert to float", "V1 O1"]),
        ("bom", ["V1 O1", "V1 O1"]),
        ("pymatgen_dict", ["V1 O1", "V1 O1"]),
        ("species_comma", ["`V,spin` names no element", "V1 O1"]),
        ("species_spin", ["`V2+,spin=high` names no element", "V1 O1"]),
        ("species_vacancy", ["`X_vacancy` names no element", "V1 O1"]),
        ("trailing_comma", ["V1 O1", "V1 O1"]),
    ],
)
def test_each_line_of_a_file_is_a_crystal_or_has_a_reason(name, expected):
    found = list(read(FILES / "jsonl" / f"{name}.jsonl").values())
    assert all(text == item or text in item[1] for text, item in zip(expected, found, strict=True))


def test_a_file_without_any_crystal_says_what_was_wrong_first(tmp_path):
    (tmp_path / "deep.jsonl").write_text("[" * 100_000 + "\n")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name in ("deep.jsonl", "deep.json"):
        with pytest.raises(InputError, match="nested too deeply"):
            read(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no crystal")
    with pytest.raises(InputError, match=r"notes.txt is of no format that is read"):
        read(tmp_path / "notes.txt")
    ROCKSALT.to(str(tmp_path / "vo.cif"))
    with pytest.raises(InputError, match=r"vo.cif is of another format. Leave `where` out"):
        read_crystals(tmp_path / "vo.cif", {"era": 1}, "templates")


def test_every_file_of_a_folder_is_counted_and_named_by_its_place_where_names_clash(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        ROCKSALT.to(str(tmp_path / folder / "POSCAR"), fmt="poscar")
    ROCKSALT.to(str(tmp_path / "one.cif"))
    with gzip.open(tmp_path / "two.cif.gz", "wt") as stream:
        stream.write(ROCKSALT.to(fmt="cif"))
    (tmp_path / "half.cif.gz").write_bytes((tmp_path / "two.cif.gz").read_bytes()[:60])
    (tmp_path / "Upper.CIF").write_text(ROCKSALT.to(fmt="cif"))
    (tmp_path / "list.json").write_text(
        json.dumps([ROCKSALT.as_dict(), {"id": "mine", "structure": ROCKSALT.as_dict()}])
    )
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROCKSALT.as_dict()) + "\n\nnot json\n")
    (tmp_path / "README").write_text("no crystal")
    (tmp_path / "gone.cif").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = read(tmp_path)
    crystals = {name for name, content in found.items() if isinstance(content, str)}
    assert crystals == {"a/POSCAR", "b/POSCAR", "one", "two", "Upper", "list:1", "list:mine", "rows:1"}
    reasons = {name: content[0] for name, content in found.items() if name not in crystals}
    assert reasons == {
        "half": "unreadable",
        "rows:3": "unreadable",
        "README": "other_format",
        "gone": "other_format",
        "loop": "other_format",
    }


def test_files_that_are_given_one_by_one_are_read_as_those_of_a_folder(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "one.cif").write_text(ROCKSALT.to(fmt="cif"))
    (tmp_path / "a" / "broken.cif").write_text("nothing")
    (tmp_path / "rows.jsonl").write_text(2 * (json.dumps(crystal_row("r", "a paper", ROCKSALT)) + "\n"))
    files = list_files(
        [tmp_path / "a", tmp_path / "b" / "one.cif", tmp_path / "rows.jsonl", tmp_path / "b" / ".." / "a"]
    )
    found = read_files(files)
    assert {path: [raw.id for file, raw in found if file == path] for path in files} == {
        tmp_path / "a" / "broken.cif": ["broken"],
        tmp_path / "a" / "one.cif": [f"{tmp_path}/a/one.cif"],
        tmp_path / "b" / "one.cif": [f"{tmp_path}/b/one.cif"],
        tmp_path / "rows.jsonl": ["rows:r", "rows:r-2"],
    }
    assert found[0][1].crystal.reason == "unreadable" and [raw.source for _, raw in found[-2:]] == ["a paper"] * 2
    with pytest.raises(InputError, match="nowhere does not exist"):
        list_files([tmp_path / "a", tmp_path / "nowhere"])


def test_a_change_in_a_folder_within_a_folder_changes_the_key_of_the_input(tmp_path):
    (tmp_path / "sub").mkdir()
    ROCKSALT.to(str(tmp_path / "sub" / "vo.cif"))
    before = InputFile.of(tmp_path)
    (tmp_path / "sub" / "vo.cif").write_text((tmp_path / "sub" / "vo.cif").read_text().replace("4.2", "4.3"))
    assert InputFile.of(tmp_path) != before


def test_ids_stay_apart_where_a_row_has_the_name_that_a_number_would_make(tmp_path):
    row = {"lattice": np.eye(3).tolist(), "species": ["V"], "frac_coords": [[0, 0, 0]]}
    rows = [json.dumps({"id": name} | row) for name in ("a", "a-2", "a", "a")]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    assert list(read(tmp_path / "rows.jsonl")) == ["a", "a-2", "a-3", "a-4"]


def test_known_phases_are_named_apart_when_they_are_read():
    phases, exclusions = published_phases(["V", "O"], Known(source="file", path=FILES / "known_name_clash.jsonl"))
    names = [phase.name for phase in phases]
    assert len(set(names)) == len(names) and names.count("VO rocksalt") == 1
    assert len(exclusions) + sum(name.startswith("VO rocksalt-") for name in names) == 1


def test_a_published_phase_of_any_size_within_reason_is_on_the_hull():
    (phase,), exclusions = load_known("file", ["V", "O"], SourceOptions(FILES / "known_large.jsonl"))
    assert not exclusions and len(phase.structure) == 22


@pytest.mark.parametrize("sites", [2_000, 20_000])
def test_a_crystal_that_is_too_large_is_left_out_before_its_symmetry_is_searched(tmp_path, sites, monkeypatch):
    def refuse(crystal):
        raise AssertionError("the symmetry was searched")

    monkeypatch.setattr("imatgen_flows.crystals.templates.primitive_cell", refuse)
    rows = [f"{x:.5f} {y:.5f} {z:.5f}" for x, y, z in np.random.default_rng(0).random((sites, 3))]
    (tmp_path / "big.cif").write_text(
        cif(*(f"{s}{n} {s} {row} 1" for n, row in enumerate(rows) for s in "VO"[n % 2]), header="")
    )
    cell = f"big\n1\n68 0 0\n0 68 0\n0 0 68\nV O\n{sites // 2} {sites // 2}\nDirect\n"
    (tmp_path / "big.vasp").write_text(cell + "\n".join(rows))
    options = SourceOptions(tmp_path)
    for found, exclusions in (load_templates("file", options), load_known("file", ["V", "O"], options)):
        assert not found and [item.reason for item in exclusions] == ["too_large"] * 2
        assert f"{sites} sites as given" in exclusions[1].detail


def test_several_processes_read_the_same_and_the_log_says_how_far_they_are(tmp_path, caplog):
    text = ROCKSALT.to(fmt="cif")
    for number in range(1_050):
        (tmp_path / f"{number:04}.cif").write_text(text)
    shutil.copy(tmp_path / "0000.cif", tmp_path / "copy.txt")
    with caplog.at_level(logging.INFO, "imatgen_flows"):
        templates, exclusions = load_templates("file", SourceOptions(tmp_path, workers=2))
    assert [template.id for template in templates] == [f"{number:04}" for number in range(1_050)]
    assert [item.id for item in exclusions] == ["copy.txt"]
    assert "reading files of crystals: 1,000 of 1,051" in caplog.messages


def test_spglib_is_silent():
    code = (
        "import imatgen_flows.crystals.standard as s; from pymatgen.core import Structure;"
        "s.primitive_cell(Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ['V'], [[0, 0, 0]]))"
    )
    # a number of attempts that is none makes spglib complain, as a cell whose centring it does not find does
    loud = {**os.environ, "SPGLIB_NUM_ATTEMPTS": "x", "PYTHONPATH": os.pathsep.join(sys.path)}
    for environment, silent in ((loud, True), ({**loud, "SPGLIB_WARNING": "ON"}, False)):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert ("spglib:" not in done.stderr) == silent


def test_a_file_of_the_cache_is_read_as_it_was_downloaded(tmp_path):
    header = {"rows": 2, "source": "OPTIMADE provider `x` 2026-11-29"}
    excluded = {"id": "x-2", "source": "OPTIMADE x", "reason": "disordered", "detail": "a site holds V0.5"}
    write_crystals(
        tmp_path / "cache.jsonl.gz",
        [header, crystal_row("x-1", "OPTIMADE x", ROCKSALT), excluded],
        "known",
    )
    taken, left = read_crystals(tmp_path / "cache.jsonl.gz", None, "known")
    assert (taken.id, taken.crystal) == ("x-1", ROCKSALT)
    assert (left.crystal.reason, left.id) == ("disordered", "x-2")


def test_hidden_files_of_a_folder_are_not_read_and_are_counted(tmp_path):
    hidden = ("._rutile.cif", ".DS_Store", ".hidden.cif", ".rows.jsonl")
    for name in hidden:
        (tmp_path / name).write_bytes(b"\0\5\26\7" + ROCKSALT.to(fmt="cif").encode())
    with pytest.raises(InputError, match="holds no CIF"):
        read(tmp_path)
    ROCKSALT.to(str(tmp_path / "rutile.cif"))
    found = read(tmp_path)
    assert found.pop("rutile") == "V1 O1" and len(found) == len(hidden)
    for reason, detail in found.values():
        assert reason == "other_format" and "hidden files" in detail and detail.startswith(hidden)
    (tmp_path / ".hidden.cif").write_text(ROCKSALT.to(fmt="cif"))
    assert list(read(tmp_path / ".hidden.cif").values()) == ["V1 O1"]  # named in the campaign, it is meant


@pytest.mark.parametrize("before", ["", json.dumps(ROCKSALT.as_dict()) + "\n"])
def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch, before):
    monkeypatch.setattr("imatgen_flows.crystals.json_lines.MAX_BYTES", 1_000_000)
    with gzip.open(tmp_path / "bomb.jsonl.gz", "wt") as stream:
        stream.write(before)
        for _ in range(50):
            stream.write(" " * 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=rf"templates: line {2 if before else 1} of .*bomb.* is longer than 1 MB"):
            read(tmp_path / "bomb.jsonl.gz")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_line_of_the_longest_length_is_read(tmp_path, monkeypatch):
    line = json.dumps(ROCKSALT.as_dict()) + "\n"
    monkeypatch.setattr("imatgen_flows.crystals.json_lines.MAX_BYTES", len(line))
    (tmp_path / "rows.jsonl").write_text(line * 3)
    assert len(read(tmp_path / "rows.jsonl")) == 3
