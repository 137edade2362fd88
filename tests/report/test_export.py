from __future__ import annotations

import csv

import numpy as np
import pyarrow
import pytest
from ase.io import read
from pyarrow import parquet
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from imatgen_flows.candidates import schema
from imatgen_flows.candidates.schema import Column
from imatgen_flows.errors import InputError
from imatgen_flows.report import RunDirectory, export_run
from imatgen_flows.report.export import FORMATS
from imatgen_flows.report.page_data import page_data


def test_each_new_candidate_becomes_a_cif_file_that_reads_back(shared_run, tmp_path):
    files = export_run(shared_run, "cif", tmp_path)
    rows = RunDirectory.open(shared_run).new
    assert [file.stem for file in files] == [row["relaxed_id"] for row in rows]
    for file, row in zip(files, rows, strict=True):
        structure = Structure.from_file(file)
        assert structure.composition.reduced_formula == row["formula"]
        assert structure.volume / len(structure) == pytest.approx(row["volume_per_atom"], rel=1e-5)


def test_poscars_hold_the_same_crystals_as_the_cif_files(shared_run, tmp_path):
    written = {fmt: export_run(shared_run, fmt, tmp_path / fmt) for fmt in ("poscar", "cif")}
    assert [path.stem for path in written["poscar"]] == [path.stem for path in written["cif"]]
    for poscar, cif in zip(*written.values(), strict=True):
        assert poscar.suffix == ".vasp" and poscar.stem in poscar.read_text().splitlines()[0]
        ours, theirs = Structure.from_file(poscar), Structure.from_file(cif)
        assert ours.composition == theirs.composition and ours.lattice.volume == pytest.approx(theirs.lattice.volume)
        assert StructureMatcher(primitive_cell=False, scale=False).get_rms_dist(ours, theirs)[0] < 1e-3


def test_extxyz_carries_structures_and_energies(shared_run, tmp_path):
    (file,) = export_run(shared_run, "extxyz", tmp_path, only="all")
    run = RunDirectory.open(shared_run)
    rows = run.relaxed
    crystals = read(file, index=":", format="extxyz")
    assert [atoms.info["e_above_hull"] for atoms in crystals] == pytest.approx([row["e_above_hull"] for row in rows])
    for atoms, row in zip(crystals, rows, strict=True):
        structure = Structure.from_str(run.cif(row), fmt="cif")
        assert atoms.info["scale"] == "chgnet 0.3.0"
        assert sorted(atoms.get_chemical_symbols()) == sorted(site.specie.symbol for site in structure)
        ours, theirs = (
            np.sort(one, axis=None) for one in (atoms.get_all_distances(mic=True), structure.distance_matrix)
        )
        assert np.allclose(ours, theirs, atol=1e-4)


def test_tables_hold_the_same_candidates_in_the_same_order(shared_run, tmp_path):
    (text,) = export_run(shared_run, "csv", tmp_path, only="all")
    (table,) = export_run(shared_run, "parquet", tmp_path, only="all")
    read_back = parquet.read_table(table).to_pylist()
    with text.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    run = RunDirectory.open(shared_run)
    assert read_back == [row | {"structure": run.cif(row)} for row in run.relaxed]
    assert list(read_back[0])[-1] == "structure" and "structure" not in lines[0]
    assert [line["sample"] for line in lines] == [row["sample"] for row in read_back]
    assert [float(line["e_above_hull"]) for line in lines] == [row["e_above_hull"] for row in read_back]


def test_nothing_is_written_where_nothing_is_new(own_run, rewrite):
    rewrite(own_run, lambda row: row | {"novelty": "known"})
    assert export_run(own_run, "csv") == []
    assert not (own_run / "export").exists()
    assert len(export_run(own_run, "cif", only="all")) == 30


def test_candidates_of_one_crystal_do_not_overwrite_each_other(own_run, rewrite):
    first = RunDirectory.open(own_run).relaxed[0]["relaxed_id"]
    rewrite(own_run, lambda row: row | ({"relaxed_id": first} if row["relaxed_id"] else {}))
    files = export_run(own_run, "cif", only="all")
    assert [file.stem for file in files] == [f"{first}-{row['sample']}" for row in RunDirectory.open(own_run).relaxed]
    assert all(file.is_file() for file in files)


def test_what_dft_left_is_exported_in_place_of_what_the_potential_left(own_run, validate):
    validate(own_run)
    files = export_run(own_run, only="all")
    for file, row in zip(files, RunDirectory.open(own_run).relaxed, strict=True):
        assert file.stem == (row["validated_id"] or row["relaxed_id"])
        assert file.read_text().endswith("# as DFT left it\n") == (row["state"] == "validated")


@pytest.mark.parametrize("form", FORMATS)
def test_a_missing_structure_is_named_with_the_cure_and_nothing_is_written(own_run, form):
    missing = own_run / "structures" / f"{RunDirectory.open(own_run).new[0]['relaxed_id']}.cif"
    missing.unlink()
    if form == "csv":  # holds no structures
        assert export_run(own_run, form)
        return
    with pytest.raises(InputError, match=rf"{missing}: cannot be read: No such file.*--resume"):
        export_run(own_run, form)
    assert not (own_run / "export").exists()


def test_the_default_destination_lies_in_the_run(own_run):
    (file,) = export_run(own_run, "csv")
    assert file.parent == own_run / "export"


@pytest.mark.parametrize(("choice", "says"), [({"format": "cssr"}, "Known: cif"), ({"only": "best"}, "Known: new")])
def test_an_unknown_choice_is_answered_with_the_known_ones(shared_run, choice, says):
    with pytest.raises(InputError, match=says):
        export_run(shared_run, **choice)


def test_a_destination_that_cannot_be_written_to_is_named(shared_run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="file: cannot be written to"):
        export_run(shared_run, "csv", tmp_path / "file")


@pytest.mark.parametrize("name", ["all.csv", "new.CIF", "structures.extxyz", "table.parquet"])
def test_a_destination_that_is_named_like_a_file_is_refused(shared_run, tmp_path, name):
    with pytest.raises(InputError, match=rf"{name}: .*destination is a directory"):
        export_run(shared_run, "csv", tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_new_column_appears_in_every_export_and_on_the_page(own_run, rewrite):
    column = Column("hardness", "number", "Hardness", "Invented.", "GPa", in_header=True)
    schema.COLUMNS.append(column)
    try:
        assert RunDirectory.open(own_run).relaxed[0]["hardness"] is None  # a table of before has no such column
        rewrite(own_run, lambda row: row | {"hardness": 1.5})
        (text,), (crystals,), (table,) = (export_run(own_run, name) for name in ("csv", "extxyz", "parquet"))
        assert float(next(csv.DictReader(text.open(newline="", encoding="utf-8")))["hardness"]) == 1.5
        assert read(crystals, index=0, format="extxyz").info["hardness"] == 1.5
        field = parquet.read_schema(table).field("hardness")
        assert (field.metadata[b"label"], field.metadata[b"unit"]) == (b"Hardness", b"GPa")
        data = page_data(RunDirectory.open(own_run))
        written = {"name": "hardness", "label": "Hardness", "unit": "GPa", "type": "number", "description": "Invented."}
        assert written in data["columns"]
        assert {row["hardness"] for row in data["candidates"]} == {1.5}
    finally:
        schema.COLUMNS.remove(column)


def test_what_is_agreed_on_and_dynamically_stable_can_be_exported_alone(own_run, tmp_path):
    path = own_run / "candidates.parquet"
    rows = parquet.read_table(path).to_pylist()
    new = [row for row in rows if row["novelty"] == "new" and row["e_above_hull"] is not None]
    for place, row in enumerate(new):
        row |= {"committee": "agreed" if place % 2 else "refused", "dynamically_stable": place % 3 == 0}
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=parquet.read_schema(path)), path)
    numbers = {
        only: len(export_run(own_run, "cif", tmp_path / only, only=only))
        for only in ("new", "agreed", "stable", "agreed-stable")
    }
    both = sum(place % 2 == 1 and place % 3 == 0 for place in range(len(new)))
    assert numbers == {"new": len(new), "agreed": len(new) // 2, "stable": (len(new) + 2) // 3, "agreed-stable": both}
