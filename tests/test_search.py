"""Campaigns whose sources compete: what the ledger conserves, what a kill leaves, and what the report says."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.errors import InputError
from imatgen_flows.managers.local import run_campaign
from imatgen_flows.managers.preflight import check_machine, make_plan
from imatgen_flows.report.html import build_report
from imatgen_flows.report.run_directory import RunDirectory
from imatgen_flows.report.sources import exhausted_sources
from imatgen_flows.run import Run

SHARES = {"generator": 0.25, "substitution": 0.25, "rattled": 0.25, "random_search": 0.25}
SCREEN = {"potential": "toy", "at_most": 9, "max_steps": 60, "fmax": 0.4}
OTHERS = {"shares": {"rattled": 0.5, "random_search": 0.5}}


def table(directory):
    return pq.read_table(directory / "candidates.parquet").to_pylist()


def allocation(directory):
    return json.loads((directory / "allocation.json").read_text())["batches"]


def relaxed(rows):
    return [row for row in rows if row["e_above_hull"] is not None or row["rejected_stage"] == "screen"]


@pytest.fixture(scope="module")
def config(tiny):
    pytest.importorskip("pyxtal")
    return tiny(screen=SCREEN, sources={"shares": SHARES, "allocation": "adaptive", "batches": 3})


@pytest.fixture(scope="module")
def run(config, run_once_trained, tmp_path_factory):
    return run_once_trained(config, tmp_path_factory.mktemp("sources") / "vo")


def test_the_ledger_closes_for_each_source_and_for_all(run):
    rows, ledger = table(run), json.loads((run / "ledger.json").read_text())
    assert len(rows) == ledger["samples"] == sum(part["samples"] for part in ledger["sources"].values())
    assert set(ledger["sources"]) == set(SHARES)
    for source, part in ledger["sources"].items():
        own = [row for row in rows if row["source"] == source]
        assert part["samples"] == len(own) == sum(part["states"].values())
        assert part["evaluations"].get("screen", 0) == sum(row["evaluations"] for row in own)
    spent = sum(part["evaluations"].get("screen", 0) for part in ledger["sources"].values())
    assert spent == ledger["evaluations"]["screen"]


def test_the_budget_is_spent_in_batches_and_each_relaxation_has_a_source(run):
    rows, batches = table(run), allocation(run)
    assert {row["batch"] for row in batches} == {0, 1, 2}
    given = {batch: sum(row["given"] for row in batches if row["batch"] == batch) for batch in range(3)}
    assert given == {0: 3, 1: 3, 2: 3}
    for source in SHARES:
        of_source = [row for row in relaxed(rows) if row["source"] == source]
        assert len(of_source) == sum(row["given"] for row in batches if row["source"] == source)


def test_candidates_of_all_sources_passed_the_same_gate(run):
    rows = relaxed(table(run))
    assert {row["novelty"] for row in rows} <= {"new", "duplicate", "known", "substituted", ""}
    assert all(row["nsites"] <= 4 and set(row["formula"]) >= {"V", "O"} and row["charge_balanced"] for row in rows)
    assert len({row["id"] for row in rows}) == len(rows)


def test_the_same_seed_and_budget_give_the_same_table_without_the_networks(tiny, tmp_path, same_table):
    pytest.importorskip("pyxtal")
    config = tiny(screen=SCREEN | {"at_most": 4}, sources=OTHERS | {"allocation": "adaptive", "batches": 2})
    first, second = run_campaign(config, tmp_path / "first"), run_campaign(config, tmp_path / "second")
    assert same_table(first, second)
    assert allocation(first) == allocation(second)


def test_a_batch_that_lost_its_last_jobs_is_made_again_the_same(config, run, tmp_path, same_table):
    killed = tmp_path / "killed"
    shutil.copytree(run, killed)
    documents = sorted((killed / "artifacts" / "documents").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    lost = [path for path in documents if path.name.startswith(("propose_", "relax_batch-", "rank_", "finish_"))][2:]
    assert {path.name.rpartition("-")[0] for path in lost} >= {"propose_candidates", "rank_candidates", "relax_batch"}
    for path in lost:
        path.unlink()
    run_campaign(config, killed, resume=True)
    assert same_table(killed, run)


def test_the_report_says_who_was_given_what_and_who_found_what(run):
    page = build_report(run).read_text()
    assert '<section id="sources">' in page and "Thompson sampling" in page
    assert "several sources were relaxed" in Run.open(run).methods()


def test_a_campaign_of_other_sources_trains_nothing_and_goes_on_over_rounds(tiny, tmp_path):
    pytest.importorskip("pyxtal")
    config = tiny(screen=SCREEN | {"at_most": 4, "threshold": 5.0}, sources=OTHERS, rounds={"at_most": 2})
    directory = run_campaign(config, tmp_path / "run")
    assert not [path for path in (directory / "artifacts" / "documents").iterdir() if path.name.startswith("train_")]
    rows = table(directory)
    assert {row["round"] for row in rows} == {0, 1} and len(relaxed(rows)) == 8
    assert {row["source"] for row in rows} == {"rattled", "random_search"}
    with pytest.raises(InputError, match="the generator was no source of its candidates"):
        Run.open(directory).model  # noqa: B018
    assert "Latent vectors" not in Run.open(directory).methods()
    assert not json.loads((directory / "metrics.json").read_text())["sampling"]  # the others decode nothing
    page = build_report(directory).read_text()
    assert '<section id="sources">' in page
    assert not any(f'<section id="{name}">' in page for name in ("latent", "reconstruction"))


def test_files_of_another_program_are_counted_out_the_broken_ones_too(tiny, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    cells = {"a": ["V", "O"], "b": ["V", "O", "O"], "foreign": ["Mn", "O"]}
    for name, species in cells.items():
        places = [[0.5 * i, 0.3 * i, 0.31 * i] for i in range(len(species))]
        Structure(Lattice.tetragonal(3.6, 4.4), species, places).to(filename=str(folder / f"{name}.cif"))
    (folder / "broken.cif").write_text("data_broken\n_cell_length_a 3\n")
    (folder / "empty.vasp").write_text("")
    config = tiny(
        screen=SCREEN | {"at_most": 4},
        sources={"shares": {"files": 0.5, "rattled": 0.5}, "files": folder, "samples": 1000},
        validity={"charge": "none"},
    )
    directory = run_campaign(config, tmp_path / "run")
    own = [row for row in table(directory) if row["source"] == "files"]
    assert len(own) == 5 == json.loads((directory / "ledger.json").read_text())["sources"]["files"]["samples"]
    reasons = {
        tuple(row["parents"])[0].split(".")[0]: row["rejected_reason"] for row in own if row["state"] == "rejected"
    }
    assert reasons["foreign"] == "other_elements" and reasons["broken"] and reasons["empty"]


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"shares": {"generator": 0.5, "rattled": 0.4}}, "the shares add up to 0.9, not to 1"),
        ({"shares": {"generator": 1.5, "rattled": -0.5}}, "shares are numbers from 0 to 1"),
        ({"shares": {"magic": 1.0}}, "unknown source `magic`"),
        ({"shares": {"files": 1.0}}, "needs a share in `shares` and a path in `files`"),
        ({"files": "x.cif"}, "needs a share in `shares` and a path in `files`"),
        ({"samples": 5}, "`samples` says what the structures of `files` took"),
        ({"allocation": "adaptive"}, "needs two sources or more"),
        ({"allocation": "greedy"}, "unknown allocation `greedy`"),
        ({"batches": 40}, "too few for 40 batches"),
        ({"batches": 0}, "greater than or equal to 1"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused_in_a_sentence(tiny, sources, said):
    with pytest.raises(InputError, match=said):
        tiny(sources=sources)


def test_a_missing_package_or_file_is_found_before_anything_runs(tiny, tmp_path, monkeypatch):
    from imatgen_flows.managers.source_check import check_sources

    (check,) = check_sources(tiny(sources={"shares": {"files": 1.0}, "files": tmp_path / "none"}))
    assert not check.ok
    monkeypatch.setattr("imatgen_flows.sources.registry.find_spec", lambda name: None)
    config = tiny(sources={"shares": {"random_search": 1.0}})
    (check,) = check_sources(config)
    assert not check.ok and "pip install 'imatgen-flows[search]'" in check.detail
    assert check in check_machine(config, read_templates=False)
    with pytest.raises(InputError, match="random search needs PyXtal"):
        run_campaign(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_plan_says_who_proposes_and_that_nothing_is_trained_without_the_generator(tiny, config):
    planned = make_plan(config)
    lines = planned.lines()
    assert lines["sources"].startswith("generator 25%, substitution 25%")
    assert "; adaptive; 3 batches a round" in lines["sources"]
    assert lines["samples"] == "60" and any(stage.title == "train VAE" for stage in planned.stages)
    alone = make_plan(tiny(sources={"shares": {"rattled": 1.0}}))
    assert alone.lines()["sources"] == "rattled" and alone.lines()["samples"].startswith("none")
    assert not any(stage.title.startswith("train") for stage in alone.stages)


def test_a_source_that_falls_short_says_where_its_candidates_are_and_what_nobody_took(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("artifacts"))
    rows = allocation(copy)
    for row in rows:
        row["planned"] += 1
    (copy / "allocation.json").write_text(json.dumps({"batches": rows}))
    unused, *notes = exhausted_sources(RunDirectory.open(copy))
    assert (
        unused.startswith(f"{len(SHARES)} of ") and "stayed unused" in unused
    )  # of the last batch: others are planned again
    waiting = sum(row["source"] == "rattled" and row["state"] == "unique" for row in table(copy))
    (said,) = (note for note in notes if note.startswith("Rattled"))
    assert "other sources could not take" in said and (f"{waiting} resemble something" in said or not waiting)


def test_what_could_not_be_filled_and_was_planned_again_counts_once(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("artifacts"))
    common = {"round": 0, "made": 0}
    batches = [
        {"batch": 0, "source": "rattled", "planned": 3, "given": 1},
        {"batch": 0, "source": "generator", "planned": 3, "given": 5},
        {"batch": 1, "source": "rattled", "planned": 5, "given": 0},
        {"batch": 1, "source": "generator", "planned": 1, "given": 6},
    ]
    (copy / "allocation.json").write_text(json.dumps({"batches": [common | row for row in batches]}))
    (said,) = exhausted_sources(RunDirectory.open(copy))
    assert said.startswith("Rattled substitution filled 1 of its 6 relaxations; the rest went to the other sources.")


def test_a_source_that_was_asked_for_nothing_has_no_candidates_and_the_report_says_so(tiny, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    Structure(Lattice.tetragonal(3.6, 4.4), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(filename=str(folder / "a.cif"))
    (folder / "broken.cif").write_text("data_broken\n_cell_length_a 3\n")
    config = tiny(screen=SCREEN | {"at_most": 2}, sources={"shares": {"rattled": 0.9, "files": 0.1}, "files": folder})
    assert f"{folder}: 1 crystals of all of V-O; 0 are of other elements, 1 cannot be read" in make_plan(config).sources
    directory = run_campaign(config, tmp_path / "run")
    assert not [row for row in table(directory) if row["source"] == "files"]
    (note,) = exhausted_sources(RunDirectory.open(directory))
    assert note.startswith("Files was asked for nothing") and note in build_report(directory).read_text()


def test_a_plan_says_where_a_first_batch_cannot_try_all_sources(tiny):
    sources = {"shares": SHARES, "allocation": "adaptive"}
    few = make_plan(tiny(screen=SCREEN, sources=sources | {"batches": 3})).sources
    assert "the first has 3 relaxations, too few to try all 4 sources" in few
    assert "too few" not in make_plan(tiny(screen=SCREEN, sources=sources | {"batches": 2})).sources


def test_files_without_what_is_searched_for_are_refused_before_anything_runs(tiny, tmp_path):
    path = tmp_path / "vo.cif"
    Structure(Lattice.tetragonal(3.6, 4.4), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(filename=str(path))
    config = tiny(search={"compositions": ["VO2"]}, sources={"shares": {"files": 1.0}, "files": path})
    with pytest.raises(
        InputError, match="holds no crystal of all of V-O that is searched for: 1 are not what is searched"
    ):
        make_plan(config)
