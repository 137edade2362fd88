"""The candidate table: the join of what jobs wrote, against a plain dictionary, and its file."""

from __future__ import annotations

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from pymatgen.core import Composition, Lattice, Structure

from imatgen_flows.candidates.candidate import VALIDATED, describe_crystal, place_on_hull, rejection
from imatgen_flows.candidates.committee import Vote, decide
from imatgen_flows.candidates.schema import COLUMNS, EMPTY, arrow_schema, column_names
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.candidates.table import count_by, join, read_table, table_part, write_part, write_table
from imatgen_flows.energetics.hull import Hull, HullEntry

DRAWN = {
    "round": 0, "sampler": "prior", "prior": "flow", "seed": 7, "latent_row": 0, "parents": ["a", "b"], "latent_x": 0.5,
    "latent_y": -1.0, "stability": 0.25,
}  # fmt: skip
FINISHED, UNDECODED = "r0-prior-000000", "r0-prior-000001"


def rocksalt(edge):
    return Structure.from_spacegroup(225, Lattice.cubic(edge), ["V", "O"], [[0] * 3, [0.5] * 3])


def hull_of(scale):
    return Hull([HullEntry(name, Composition(name), 0.0, "made up") for name in "VO"], potential=scale)


@pytest.fixture(scope="module")
def parts():
    """What the jobs write of two samples: one that is validated, and one that decodes to nothing."""
    drawn = [
        DRAWN
        | {"sample": FINISHED, "state": "valid", "id": "0123456789ab", "residual": 0.1, "cell_residual": 0.01}
        | {"count_matches": True, "min_distance": 1.9, "clean": False, "charge_balanced": True}
        | {"repaired": 1, "repaired_atoms": ["O7 (0.31 A from V3)"]}
        | describe_crystal(rocksalt(4.0)),
        DRAWN
        | {"sample": UNDECODED, "clean": False}
        | rejection(Stage.DECODE, "no_cell", "the image holds no readable cell"),
    ]
    filtered = {"sample": FINISHED, "state": "unique", "novelty": "new", "novelty_match": ""}
    ranked = (
        {
            "sample": FINISHED,
            "state": "shortlisted",
            "relaxed_id": "ab" * 6,
            "evaluations": 30,
            "steps": 12,
            "fmax": 0.04,
        }
        | describe_crystal(rocksalt(4.1))
        | place_on_hull(hull_of("chgnet 0.3.0"), Composition("VO"), 0.02)
    )
    voted = {"sample": FINISHED, "committee_evaluations": 9} | decide([Vote("a", 0.02), Vote("b", 0.03)], 0.1).to_row()
    phonons = {
        "sample": FINISHED,
        "dynamically_stable": True,
        "lowest_frequency": 0.1,
        "lowest_interpolated": -0.3,
        "free_energy": -0.02,
        "phonon_note": "by sevennet 7net-0",
        "phonon_evaluations": 40,
        "followed_id": "ef" * 6,
        "followed_e_above_hull": 0.01,
        "followed_stable": False,
        "soft_mode_evaluations": 12,
    }
    known = {
        "followed_novelty": "duplicate",
        "followed_match": "r0-slerp-000001",
        "sample": FINISHED,
        "tight_novelty": "new",
        "protostructure": "AB_cF8_225_a_b",
        "prototype_known": True,
        "nearest": "VO rocksalt",
        "nearest_distance": 0.01,
        "magnetic_order": "magnetic",
        "mean_moment": 1.2,
        "moment_evaluations": 1,
    }
    validated = (
        {"sample": FINISHED, "state": "validated", "validated_id": "cd" * 6, "validation_evaluations": 9}
        | {"validated_note": "guessed anion", "validated_fmax": 0.01}
        | describe_crystal(rocksalt(4.2))
        | place_on_hull(hull_of("r2SCAN"), Composition("VO"), -0.01, VALIDATED)
    )
    return [table_part(drawn), *(table_part([row]) for row in (filtered, ranked, voted, phonons, known, validated))]


def test_every_column_has_a_value_of_its_type_for_a_finished_candidate(parts):
    types = {"text": str, "texts": list, "integer": int, "number": float, "boolean": bool}
    row, _ = join(parts).to_pylist()
    assert tuple(row) == column_names()
    for column in COLUMNS:
        assert isinstance(row[column.name], types[column.type]), column.name
        assert column.label and column.description.endswith("."), column.name
    assert (row["e_above_hull"], row["validated_e_above_hull"]) == (0.02, -0.01)
    assert (row["scale"], row["validated_scale"]) == ("chgnet 0.3.0", "r2SCAN")
    assert row["volume_per_atom"] == pytest.approx(4.2**3 / 8)  # of the latest structure
    assert (row["state"], row["formula"], row["nsites"], row["repaired"]) == ("validated", "VO", 8, 1)
    assert (row["spacegroup"], row["spacegroup_number"]) == ("Fm-3m", 225)


def test_a_sample_that_did_not_decode_has_empty_texts_and_no_numbers(parts):
    _, row = join(parts).to_pylist()
    assert (row["state"], row["rejected_stage"], row["rejected_reason"]) == ("rejected", "decode", "no_cell")
    written = {*DRAWN, "sample", "clean", "state", "rejected_stage", "rejected_reason", "rejected_detail"}
    for column in COLUMNS:
        if column.name not in written:
            assert row[column.name] == EMPTY[column.type], column.name
    missing = (
        "residual",
        "count_matches",
        "charge_balanced",
        "min_distance",
        "e_above_hull",
        "validated_e_above_hull",
        "volume_per_atom",
    )
    assert all(row[name] is None for name in missing)
    texts = ("id", "relaxed_id", "validated_id", "formula", "scale", "validated_scale", "novelty")
    assert all(row[name] == "" for name in texts)
    assert row["nsites"] == row["steps"] == 0 and row["repaired_atoms"] == []


def test_the_table_survives_its_file_with_the_words_of_its_columns(parts, tmp_path):
    whole = join(parts)
    write_table(tmp_path / "candidates.parquet", whole)
    table = parquet.read_table(tmp_path / "candidates.parquet")
    assert table.equals(whole)
    assert table.schema.equals(arrow_schema())
    metadata = table.schema.field("e_above_hull").metadata
    assert (metadata[b"label"], metadata[b"unit"]) == (b"E_hull", b"eV/atom")
    assert list(tmp_path.iterdir()) == [tmp_path / "candidates.parquet"]


def test_a_table_without_rows_keeps_its_types(tmp_path):
    for number, parts in enumerate(([], [table_part([])], [table_part([], ["state"])] * 2)):
        write_table(tmp_path / f"{number}.parquet", join(parts))
        assert parquet.read_schema(tmp_path / f"{number}.parquet").equals(arrow_schema())
        assert parquet.read_metadata(tmp_path / f"{number}.parquet").num_rows == 0


def test_a_number_that_does_not_exist_is_null_and_not_nan():
    from imatgen_flows.candidates.decoding import examine
    from imatgen_flows.representation import DecodeQuality

    row = examine(None, DecodeQuality(1.0, 1.0, {}, {}, float("nan")), ("V", "O")).row
    assert row["min_distance"] is None
    assert join([table_part([row | {"sample": "a"}])])["min_distance"].null_count == 1


# The join

SAMPLES = st.sampled_from(["a", "b", "c", "d", "e"])
VALUES = {
    "text": st.text("xyz", max_size=3),
    "texts": st.lists(st.text("xyz", max_size=2), max_size=3),
    "integer": st.integers(-(2**62), 2**62),
    "number": st.floats(allow_nan=False),
    "boolean": st.booleans(),
}
# a column of each type, and a second one of texts
SHOWN = ("state", "formula", "parents", "round", "residual", "clean")
ROWS = st.fixed_dictionaries(
    {"sample": SAMPLES},
    optional={column.name: st.none() | VALUES[column.type] for column in COLUMNS if column.name in SHOWN},
)


def joined_by_hand(parts, names):
    """Join rows one by one, without columns."""
    types = {column.name: column.type for column in COLUMNS}
    found = {}
    for row in (row for part in parts for row in part):
        cells = found.setdefault(row["sample"], {name: EMPTY[types[name]] for name in names})
        cells.update({name: value for name, value in row.items() if value is not None and name in names})
    return [{"sample": sample} | cells for sample, cells in found.items()]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(ROWS, max_size=6), max_size=4))
def test_the_join_is_that_of_a_dictionary(parts):
    expected = joined_by_hand(parts, SHOWN)
    found = join([table_part(rows) for rows in parts], SHOWN)
    assert found.column_names == [name for name in column_names() if name in {"sample", *SHOWN}]
    assert [{name: row[name] for name in ("sample", *SHOWN)} for row in found.to_pylist()] == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(ROWS, max_size=6), max_size=4), st.sets(SAMPLES))
def test_parts_in_files_join_as_those_in_memory_do_and_samples_can_be_chosen(tmp_path_factory, parts, chosen):
    folder = tmp_path_factory.mktemp("parts")
    tables = [table_part(rows) for rows in parts]
    paths = [folder / f"{number}.parquet" for number in range(len(parts))]
    for path, table in zip(paths, tables, strict=True):
        write_part(path, table)
    whole = join(tables, SHOWN)
    assert read_table(paths, SHOWN).equals(whole)
    some = [row for row in whole.to_pylist() if row["sample"] in chosen]
    for samples in (chosen, sorted(chosen), dict.fromkeys(chosen)):
        assert read_table(paths, SHOWN, samples).to_pylist() == some


def test_later_parts_win_and_a_null_fills_nothing():
    parts = [
        table_part([{"sample": "a", "state": "valid", "residual": 0.1}, {"sample": "b", "state": "valid"}]),
        table_part([{"sample": "b", "state": "unique"}, {"sample": "a", "state": None, "residual": 0.2}]),
        table_part([{"sample": "a", "residual": None}], ["state"]),
    ]
    assert join(parts, ["state", "residual"]).to_pylist() == [
        {"sample": "a", "state": "valid", "residual": 0.2},
        {"sample": "b", "state": "unique", "residual": None},
    ]
    assert join(parts[::-1], ["residual"]).to_pylist()[0]["residual"] == 0.1


def test_samples_keep_the_order_in_which_they_first_occur_and_the_last_of_equal_ones_in_a_part_wins():
    parts = [
        table_part([{"sample": "b", "round": 1}, {"sample": "a", "round": 2}, {"sample": "b", "round": 3}]),
        table_part([{"sample": "c", "round": 4}, {"sample": "a", "round": 5}]),
    ]
    assert [tuple(row.values()) for row in join(parts, ["round"]).to_pylist()] == [("b", 3), ("a", 5), ("c", 4)]


def test_a_column_that_no_part_has_is_empty():
    row = join([table_part([{"sample": "a"}])]).to_pylist()[0]
    assert row == {"sample": "a"} | {column.name: EMPTY[column.type] for column in COLUMNS if column.name != "sample"}


def test_parts_of_several_chunks_join_as_one_does():
    chunked = pyarrow.concat_tables([table_part([{"sample": name, "parents": [name]}]) for name in "abc"])
    assert chunked["sample"].num_chunks == 3
    assert join([chunked], ["parents"]).equals(join([chunked.combine_chunks()], ["parents"]))


def test_no_sample_at_all_may_be_asked_for(parts, tmp_path):
    for number, part in enumerate(parts):
        write_part(tmp_path / str(number), part)
    paths = [tmp_path / str(number) for number in range(len(parts))]
    assert read_table(paths, None, []).equals(join([]))
    assert read_table(paths, ["state"], ["nobody"]).equals(join([], ["state"]))


def test_a_column_that_the_table_does_not_have_is_refused(parts):
    with pytest.raises(ValueError, match="has no column colour, hue"):
        table_part([{"sample": "a", "colour": "red"}, {"sample": "b", "hue": "warm"}])
    with pytest.raises(ValueError, match="has no column structure"):
        join(parts, ["structure"])


def test_equal_parts_are_equal_files(parts, tmp_path):
    for name in ("one", "two"):
        write_part(tmp_path / name, parts[0])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["valid", "unique", ""]), st.none() | st.booleans())))
def test_rows_are_counted_by_values_in_the_order_in_which_these_occur(cells):
    rows = [{"sample": str(row), "state": state, "clean": clean} for row, (state, clean) in enumerate(cells)]
    table = join([table_part(rows)], ["state", "clean"])
    counted = count_by(table, "state", "clean")
    assert list(counted.items()) == [(pair, cells.count(pair)) for pair in dict.fromkeys(cells)]
    assert count_by(table, "state") == {(state,): sum(s == state for s, _ in cells) for state, _ in cells}


def test_every_state_of_a_candidate_is_one_that_the_ledger_counts(parts):
    assert {row["state"] for row in join(parts, ["state"]).to_pylist()} <= {state.value for state in State}
