from __future__ import annotations

import json
import math
import time
import tracemalloc
from collections import Counter

import pyarrow
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from scipy.stats import binomtest

from imatgen_flows.candidates.schema import column_names
from imatgen_flows.candidates.table import join, read_part, write_table
from imatgen_flows.errors import InputError
from imatgen_flows.metrics.statistics import rate_interval
from imatgen_flows.report import RunDirectory
from imatgen_flows.report.documents import CandidateRow
from imatgen_flows.report.html import SECTIONS
from imatgen_flows.report.page_data import page_data
from imatgen_flows.report.run_directory import how_made, per_structure


def test_the_funnel_counts_every_sample_out_once(shared_run):
    run = RunDirectory.open(shared_run)
    steps = run.funnel()
    ended = Counter(row["state"] for row in run.rows() if row["state"] != "rejected")
    assert steps[0].total == run.table.num_rows == 120
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        on = following.total if following else 0
        assert step.total == on + sum(step.left.values()) + ended[step.state]
    for sampler, count in Counter(row["sampler"] for row in run.rows()).items():
        assert steps[0].reached[sampler] == count


@pytest.mark.parametrize(
    "fate", [{"state": "validated"}, {"state": "rejected", "rejected_stage": "validate", "rejected_reason": "wrong_u"}]
)
def test_the_validated_step_is_shown_once_validation_was_tried(own_run, rewrite, fate):
    run = RunDirectory.open(own_run)
    assert run.funnel()[-1].state == "shortlisted"
    first = next(row["sample"] for row in run.rows() if row["state"] == "shortlisted")
    rewrite(own_run, lambda row: row | fate if row["sample"] == first else row)
    assert RunDirectory.open(own_run).funnel()[-1].state == "validated"


def test_new_candidates_are_relaxed_ones_lowest_first(shared_run):
    run = RunDirectory.open(shared_run)
    energies = [row["e_above_hull"] for row in run.relaxed]
    assert len(energies) == 30
    assert energies == sorted(energies)
    assert run.new == [row for row in run.relaxed if row["novelty"] == "new"]


def _delete(name):
    return lambda run: (run / name).unlink()


def _write(name, content):
    return lambda run: (run / name).write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_delete("campaign.yaml"), "not a run directory"),
        (_delete("hull.json"), "not finished, hull.json missing"),
        (_delete("candidates.parquet"), "candidates.parquet missing.*--resume"),
        (_write("ledger.json", b'{"samples": 12'), "ledger.json: cannot be read as JSON"),
        (_write("ledger.json", b"{}"), "ledger.json: holds no `evaluations`, `rejections`, `samples`, `states`"),
        (_write("metrics.json", b"[]"), "metrics.json: holds list"),
        (_write("latent.json", b"{}"), "latent.json: holds no list `training`"),
        (_write("campaign.yaml", b"a: [1"), "campaign.yaml: cannot be read as YAML"),
        (_write("campaign.yaml", b"text"), "campaign.yaml: holds no campaign"),
        (_write("candidates.parquet", b"PAR1 and no more"), "cannot be read as parquet"),
    ],
)
def test_a_faulty_directory_is_refused_with_the_file_named(own_run, harm, says):
    harm(own_run)
    with pytest.raises(InputError, match=says):
        RunDirectory.open(own_run)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda row: {k: v for k, v in row.items() if k != "e_above_hull"}, "no column e_above_hull"),
        (lambda row: row | {"state": "lost"}, "in a state 'lost'"),
        (lambda row: row | {"state": "rejected", "rejected_stage": "nowhere"}, "left at 'nowhere'"),
    ],
)
def test_candidates_of_another_version_are_refused(own_run, rewrite, change, says):
    rewrite(own_run, change)
    with pytest.raises(InputError, match=says):
        RunDirectory.open(own_run)


def test_a_run_of_version_1_is_answered_with_what_to_do(own_run):
    table = parquet.read_table(own_run / "candidates.parquet")
    parquet.write_table(table.rename_columns({"sampler": "method"}), own_run / "candidates.parquet")
    says = "version 1, .*report.html stays readable.*imatgen init DIR --from .*campaign.yaml"
    with pytest.raises(InputError, match=says):
        RunDirectory.open(own_run)
    (own_run / "campaign.yaml").write_text("version: 1\nsystem: [V, O]\n")
    (own_run / "candidates.parquet").unlink()
    with pytest.raises(InputError, match=says):
        RunDirectory.open(own_run)


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such directory"):
        RunDirectory.open(tmp_path / "absent")


def test_a_number_that_does_not_exist_is_null(own_run, rewrite):
    rewrite(own_run, lambda row: row | {"residual": math.nan, "min_distance": math.inf, "latent_x": math.nan})
    run = RunDirectory.open(own_run)
    assert {(row["residual"], row["min_distance"]) for row in run.rows()} == {(None, None)}
    assert run.mapped == []


def test_a_run_without_samples_can_be_read(own_run):
    write_table(own_run / "candidates.parquet", join([]))
    run = RunDirectory.open(own_run)
    assert (run.relaxed, run.samplers, run.mapped) == ([], [], [])
    assert run.funnel()[0].total == 0


def test_the_crystal_of_a_candidate_is_what_dft_left_else_what_the_potential_left(own_run, validate):
    validate(own_run)
    run = RunDirectory.open(own_run)
    for row in run.relaxed:
        assert run.cif(row) == (own_run / "structures" / f"{row['validated_id'] or row['relaxed_id']}.cif").read_text()


def test_a_missing_structure_is_named_with_the_cure(own_run):
    run = RunDirectory.open(own_run)
    (own_run / "structures" / f"{run.new[0]['relaxed_id']}.cif").unlink()
    with pytest.raises(InputError, match=f"{run.new[0]['relaxed_id']}.cif: cannot be read: No such file.*--resume"):
        run.cif(run.new[0])


@pytest.fixture
def large_run(own_run):
    """A run of 200,010 samples: the rows of those that were not relaxed, repeated."""
    table = read_part(own_run / "candidates.parquet")
    rejected = table.filter(~pc.field("e_above_hull").is_valid())
    table = pyarrow.concat_tables([table, *[rejected] * 2221])
    names = pyarrow.array([f"r0-{number:06d}" for number in range(table.num_rows)])
    write_table(own_run / "candidates.parquet", table.set_column(0, table.schema.field("sample"), names))
    return own_run


def _show(path):
    """Read a run and write all that the report counts and lists of it."""
    run = RunDirectory.open(path)
    for _, section in SECTIONS.values():
        section(run)
    page_data(run)
    return run


def test_a_large_run_is_counted_by_column_and_no_row_is_made_of_a_sample_that_is_not_shown(shared_run, large_run):
    _show(shared_run)  # so that all modules are there
    started = time.process_time()
    tracemalloc.start()
    run = _show(large_run)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.process_time() - started < 10  # s
    assert peak < 50e6  # bytes; rows of all samples take 460e6
    valid = run.funnel()[1].total
    assert run.funnel()[0].total == run.table.num_rows == 200_010
    assert run.table.num_rows - valid == 2222 * (26 + 14 + 19 + 8)
    assert len(run.relaxed) == 30
    assert len(run.mapped) == 20_000


def test_what_disagrees_within_a_run_is_said(own_run):
    assert RunDirectory.open(own_run).notes() == []
    ledger = json.loads((own_run / "ledger.json").read_text())
    wrong = ledger | {"samples": 119, "evaluations": {"labels": 4}, "evaluations_total": 5}
    (own_run / "ledger.json").write_text(json.dumps(wrong))
    hull = json.loads((own_run / "hull.json").read_text())
    (own_run / "hull.json").write_text(json.dumps({**hull, "potential": "emt"}))
    scales, samples, evaluations = RunDirectory.open(own_run).notes()
    assert "chgnet 0.3.0" in scales
    assert "119" in samples
    assert "add up to 4, it says 5" in evaluations


def test_published_compounds_that_failed_share_a_note_and_other_references_have_none(own_run):
    failed = [{"name": f"V{number}O", "kind": "compound", "reason": "not_converged"} for number in range(7)]
    failed += [{"name": "S beta", "kind": "element", "reason": "diverged"}]
    failed += [{"name": "mp-1:Ti=V", "kind": "substituted", "reason": "crashed"}]
    hull = json.loads((own_run / "hull.json").read_text())
    (own_run / "hull.json").write_text(json.dumps({**hull, "failed": failed}))
    (note,) = RunDirectory.open(own_run).notes()
    assert "V0O (not converged)" in note and "V4O (not converged) and 2 more" in note
    assert "S beta" not in note and "mp-1" not in note


@given(st.integers(0, 500), st.integers(1, 500))
def test_the_interval_is_scipys_wilson_interval(count, total):
    count = min(count, total)
    low, high = rate_interval(count, total)
    theirs = binomtest(count, total).proportion_ci(method="wilson")
    assert math.isclose(low, theirs.low, abs_tol=1e-9)
    assert math.isclose(high, theirs.high, abs_tol=1e-9)


def test_no_samples_say_nothing_about_a_rate():
    assert rate_interval(0, 0) == (0.0, 1.0)


def test_the_error_of_a_structure_is_its_largest_and_none_where_one_is_missing():
    assert per_structure([0.1, [0.1, -0.3, 0.2], None, float("nan"), [0.1, None]]) == [0.1, 0.3, None, None, None]
    assert per_structure(None) == []


@pytest.mark.parametrize(
    ("sampler", "prior", "parents", "text"),
    [
        ("perturb", "", ["VO2"], "perturbation of VO2"),
        ("slerp", "", ["VO", "VO2"], "interpolation between VO and VO2"),
        ("prior", "flow", [], "draw from the prior (flow)"),
        ("prior", "gaussian", [], "draw from the prior (Gaussian)"),
        ("genetic_crossing", "", ["VO", "VO2"], "genetic crossing from VO, VO2"),
    ],
)
def test_the_origin_of_a_sample_is_described_in_words(sampler, prior, parents, text):
    assert how_made({"sampler": sampler, "prior": prior, "parents": parents}) == text


def test_the_columns_read_by_name_are_columns_of_the_table():
    assert set(CandidateRow.__annotations__) <= set(column_names())


def test_a_run_from_before_a_column_was_added_can_still_be_read(own_run, rewrite):
    rewrite(own_run, lambda row: {name: value for name, value in row.items() if name != "validated_note"})
    assert {row["validated_note"] for row in RunDirectory.open(own_run).rows()} == {""}
