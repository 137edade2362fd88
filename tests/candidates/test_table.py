"""The candidate table: every column has a value for every candidate, and survives its file."""

from __future__ import annotations

import json
import math

import pytest
from pyarrow import parquet
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.candidate import Candidate, Energy, Origin
from imatgen_flows.candidates.schema import COLUMNS, arrow_schema, column_names
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.candidates.table import candidate_row, write_table

ORIGIN = Origin(sampler="prior", prior="flow", seed=7, row=0, parents=["a", "b"], x=0.5, y=-1.0)


def energy(scale, above):
    return Energy(
        scale=scale, energy_per_atom=-8.0, formation_energy=-1.5, e_above_hull=above, decomposition={}, fmax=0.04, steps=12,
        note="guessed anion",
    )  # fmt: skip


@pytest.fixture
def validated():
    def cell(edge):
        return Structure.from_spacegroup(225, Lattice.cubic(edge), ["V", "O"], [[0] * 3, [0.5] * 3]).as_dict()

    return Candidate(
        sample="r0-prior-000000", id="0123456789ab", origin=ORIGIN, repaired=["O7 (0.31 A from V3)"],
        decode_quality={"residual": 0.1, "count_matches": True, "min_distance": 1.9, "peaks": {"V": 4, "O": 4}},
        structure=cell(4.0), relaxed=cell(4.1), validated=cell(4.2), spacegroup=("Fm-3m", 225), evaluations=30,
        energies=[energy("chgnet 0.3.0", 0.02), energy("r2SCAN", -0.01)], validation_evaluations=9,
        novelty="new", state=State.VALIDATED,
    )  # fmt: skip


@pytest.fixture
def undecoded():
    candidate = Candidate(sample="r0-prior-000001", origin=ORIGIN)
    candidate.reject(Stage.DECODE, "no_cell", "the image holds no readable cell")
    return candidate


def test_every_column_reads_a_value_of_its_type_from_a_finished_candidate(validated):
    types = {"text": str, "texts": list, "integer": int, "number": float, "boolean": bool}
    row = candidate_row(validated)
    assert tuple(row) == column_names()
    for column in COLUMNS:
        assert isinstance(row[column.name], types[column.type]), column.name
        assert column.label and column.description.endswith("."), column.name
    assert (row["e_above_hull"], row["validated_e_above_hull"]) == (0.02, -0.01)
    assert row["volume_per_atom"] == pytest.approx(4.2**3 / 8)  # of the latest structure
    assert (row["state"], row["formula"], row["nsites"], row["repaired"]) == ("validated", "VO", 8, 1)


def test_a_sample_that_did_not_decode_has_empty_texts_and_no_numbers(undecoded):
    row = candidate_row(undecoded)
    assert (row["rejected_stage"], row["rejected_reason"]) == ("decode", "no_cell")
    for column in COLUMNS:
        if column.type == "text":
            assert isinstance(row[column.name], str), column.name
    missing = ("residual", "count_matches", "min_distance", "e_above_hull", "validated_e_above_hull", "volume_per_atom")
    assert all(row[name] is None for name in missing)
    assert all(row[name] == "" for name in ("id", "formula", "structure", "scale", "validated_scale", "novelty"))
    assert row["nsites"] == row["steps"] == 0


def test_the_table_survives_its_file_with_the_words_of_its_columns(validated, undecoded, tmp_path):
    rows = [candidate_row(validated), candidate_row(undecoded)]
    write_table(tmp_path / "candidates.parquet", rows)
    table = parquet.read_table(tmp_path / "candidates.parquet")
    assert table.to_pylist() == rows
    assert table.schema.equals(arrow_schema())
    metadata = table.schema.field("e_above_hull").metadata
    assert (metadata[b"label"], metadata[b"unit"]) == (b"E_hull", b"eV/atom")
    assert list(tmp_path.iterdir()) == [tmp_path / "candidates.parquet"]


def test_a_table_without_rows_keeps_its_types(tmp_path):
    write_table(tmp_path / "candidates.parquet", [])
    assert parquet.read_schema(tmp_path / "candidates.parquet").equals(arrow_schema())


def test_a_candidate_survives_its_file(validated, undecoded):
    for candidate in (validated, undecoded):
        read = Candidate(**json.loads(json.dumps(candidate.model_dump(mode="json"))))
        assert read.model_dump(mode="json") == candidate.model_dump(mode="json")


def test_a_distance_that_does_not_exist_is_none():
    quality = {"residual": 1.0, "count_matches": False, "min_distance": math.nan}
    candidate = Candidate(sample="s", origin=ORIGIN, decode_quality=quality)
    assert candidate.decode_quality.min_distance is None
    json.dumps(candidate.model_dump(mode="json"), allow_nan=False)
