"""A page of the notebook is made by one script: each of its tables comes from the files of a run or of a benchmark."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from imatgen_flows.report import RunDirectory
from imatgen_flows.report.composition_classes import classes_of_samples, merged

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def notebook_page(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("notebook_page")


@pytest.fixture
def results(notebook_page):
    return notebook_page.result_tables


def cells(text, first):
    """The cells of each line of a table that begins in this way."""
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(f"| {first} |")]


def test_composition_classes_stand_beside_the_papers(results, shared_run):
    run = RunDirectory.open(shared_run)
    text = results.composition_classes(run)
    for sampler, classes in classes_of_samples(run).items():
        [line] = cells(text, sampler.replace("_", " "))
        assert line[-1] == f"{merged(classes).total()} ({len(merged(classes))})"
    assert "7,845 (36)" in text and "1,697 (47)" in text


def test_the_papers_classes_add_up_to_its_totals(results):
    for name in ("slerp", "prior"):
        texts = [text.replace(",", "") for text in results.PAPER_CLASSES[name].values()]
        *parts, total = ([int(number) for number in re.findall(r"\d+", text)] for text in texts)
        assert [sum(column) for column in zip(*parts, strict=True)] == total


def test_a_run_without_the_evaluation_of_its_latent_space_has_no_table_of_it(results, shared_run):
    assert results.latent(RunDirectory.open(shared_run)) == ""


@pytest.mark.parametrize("note", ["", "no training structure is unstable"])
def test_the_latent_space_is_described_with_and_without_numbers(results, own_run, note):
    share = {"all": 0.31, "plane": 0.1, "shuffled": -0.1}
    measured = {"auc": 0.912, "balanced_accuracy": 0.8, "silhouette": 0.1, "unseen": {"auc": 0.7, "structures": 4}}
    space = {
        "separation": {} if note else {"all": measured, "plane": measured | {"unseen": None}},
        "diversity": {"shared": share, "explained": {"volume": share}},
    }
    content = {
        "counts": {"stable": 30, "unstable": 10},
        "stable_below": 0.5,
        "seed": 7,
        "epochs": 100,
        "note": note,
        "auc_lead": None if note else [0.01, 0.2],
        "diversity": {"neighbours": 10, "properties": {"volume": "volume per atom"}},
        "spaces": {"with_classifier": space, "without_classifier": space},
    }
    (own_run / "latent_classifier.json").write_text(json.dumps(content))
    text = results.latent(RunDirectory.open(own_run))
    assert ("0.912" in text) == (not note) and note in text
    assert "| volume per atom | 31 % | 10 % | -10 % |" in text


def test_ablation_and_benchmarks_become_tables(notebook_page, tmp_path, monkeypatch):
    ablation, benchmark = tmp_path / "ablation.json", tmp_path / "train.json"
    rows = [
        {"name": "default", "figures": {"clean": 0.612345}},
        {"name": "no noise", "figures": {"clean": 0}},
        {"name": "a sampler", "figures": {"clean": 0, "dup": 12}},
    ]
    ablation.write_text(json.dumps({"settings": {"seed": 7}, "rows": rows}))
    benchmark.write_text(
        json.dumps({"title": "Training", "hardware": "2 cores", "ways": [{"way": "ours", "rate": 12345.6}]})
    )
    output = tmp_path / "page.md"
    given = ["--ablation", ablation, "--benchmark", benchmark, "--output", output]
    monkeypatch.setattr(sys, "argv", ["notebook_page.py", *map(str, given)])
    assert notebook_page.main() == 0
    text = output.read_text()
    assert text.startswith("# Training\n")
    assert "seed: 7.\n" in text and cells(text, "variant") == [["variant", "clean"], ["variant", "clean", "dup"]]
    assert cells(text, "default") == [["default", "0.612"]] and cells(text, "no noise") == [["no noise", "0"]]
    assert cells(text, "a sampler") == [["a sampler", "0", "12"]]
    assert "## Training\n" in text and "hardware: 2 cores." in text and cells(text, "ours") == [["ours", "12,346"]]


def test_trainings_at_full_scale_become_rows_that_say_how_far_they_came(results, tmp_path):
    figures = {"crystals": 200, "every_atom_within_0.2_A": 150, "atom_rmse": 0.0441}
    result = {
        "preset": "large", "hardware": "a GPU", "trained_on": 7000, "peak_bytes": 2_260_000_000, "history": [{}] * 15,
        "basis": {"grid": 64, "epochs": 20}, "reconstruction": {"training": figures, "held_out": figures},
    }  # fmt: skip
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result))
    [row] = cells(results.trainings([path]), "large")
    assert row[1:5] == ["64", "a GPU", "15 of 20", "7,000"]
    assert row[5].startswith("150 of 200 (75.0 %") and row[7:] == ["0.0441", "2.26"]


def test_what_a_run_cannot_tell_of_itself_comes_from_a_file_beside_it(notebook_page, tmp_path):
    assert notebook_page.notes(tmp_path) == ""
    (tmp_path / "notes.md").write_text("Trained elsewhere.\n\n")
    assert notebook_page.notes(tmp_path) == "Trained elsewhere.\n"


def test_the_vacancy_check_stands_beside_its_controls(results, own_run):
    candidate = {"formula": "A3X4", "filled_formula": "A4X4", "e_above_hull": 0.01, "filled_e_above_hull": 0.07}
    content = {
        "candidates": [candidate | {"match": "known:AX"}],
        "returned": {"count": 1, "of": 1},
        "controls_returned": {"count": 3, "of": 4},
    }
    (own_run / "vacancies.json").write_text(json.dumps(content))
    text = results.vacancies(RunDirectory.open(own_run))
    assert cells(text, "A3X4") == [["A3X4", "A4X4", "0.010", "0.070", "known:AX"]]
    assert "1 of 1 (" in text and "3 of 4 (75.0 %" in text
    (own_run / "vacancies.json").write_text(json.dumps(content | {"controls_returned": {"count": 0, "of": 0}}))
    assert "controls" not in results.vacancies(RunDirectory.open(own_run))


def test_a_page_of_a_run_has_its_head_and_is_not_written_over(notebook_page, shared_run, tmp_path, monkeypatch):
    for name in ("dataset", "generation"):  # the synthetic run lacks their counts
        monkeypatch.setattr(notebook_page.result_tables, name, lambda run: "")
    output = tmp_path / "page.md"
    given = [shared_run, "--output", output, "--commit", "`a1b2c3d`", "--question", "What is found?"]
    monkeypatch.setattr(sys, "argv", ["notebook_page.py", *map(str, given)])
    assert notebook_page.main() == 0
    text, record = output.read_text(), RunDirectory.open(shared_run).provenance
    assert cells(text, "**question**") == [["**question**", "What is found?"]]
    assert cells(text, "**date**") == [["**date**", record["finished"][:10]]]
    assert cells(text, "**machine**") == [["**machine**", record["hardware"]]]
    assert cells(text, "**commit**") == [["**commit**", "`a1b2c3d`"]]
    assert cells(text, "**conclusion**") == [["**conclusion**", notebook_page.MISSING]]
    assert "<summary>campaign file</summary>" in text
    with pytest.raises(SystemExit, match="2"):
        notebook_page.main()
    assert output.read_text() == text
