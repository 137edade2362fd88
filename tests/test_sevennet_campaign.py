"""A campaign on another potential than the default one: it runs to its report, and conserves what every campaign does."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from imatgen_flows.jobs.label_dataset import label_dataset
from imatgen_flows.jobs.references import extend_hull, relax_references
from imatgen_flows.jobs.relax_batch import relax_batch
from imatgen_flows.managers.local import run_campaign
from imatgen_flows.managers.preflight import make_plan
from imatgen_flows.report import build_report
from imatgen_flows.report.methods import methods_paragraph
from imatgen_flows.report.run_directory import RunDirectory
from imatgen_flows.run import Run


@pytest.mark.slow
def test_a_campaign_on_sevennet_runs_to_its_report(tiny, tmp_path, documents):
    config = tiny(
        labels={"potential": "sevennet"},
        limits={"max_sites": 3, "max_edge": 5},
        model={"epochs": 0.06},
        screen={"potential": "sevennet", "at_most": 4, "max_steps": 60, "fmax": 0.3},
        references={"substituted": 1},
    )
    plan = make_plan(config)
    assert plan.potential == "sevennet" and plan.seconds["screen"] > 0
    directory = run_campaign(config, tmp_path / "vo")
    rows = pq.read_table(directory / "candidates.parquet").to_pylist()
    ledger = json.loads((directory / "ledger.json").read_text())
    assert sum(ledger["states"].values()) == ledger["samples"] == len(rows)
    spent = [
        sum(document.evaluations.values())
        for document in documents(directory, label_dataset, relax_references, extend_hull, relax_batch)
    ]
    assert ledger["evaluations_total"] == sum(spent) == sum(ledger["evaluations"].values())
    relaxed = [row for row in rows if row["e_above_hull"] is not None]
    assert relaxed and {row["scale"] for row in relaxed} == {"sevennet 7net-0"}
    versions = json.loads((directory / "provenance.json").read_text())["versions"]
    assert versions["sevenn"]
    page = build_report(directory).read_text(encoding="utf-8")
    assert "SevenNet 7net-0" in page
    words = methods_paragraph(RunDirectory.open(directory))
    assert "SevenNet: Park et al." in words and "CHGNet" not in words and "chgnet" not in words
    assert Run.open(directory).hull.potential == "sevennet 7net-0"
