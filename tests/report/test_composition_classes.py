from __future__ import annotations

import json
import re

from imatgen_flows.report import RunDirectory
from imatgen_flows.report.composition_classes import (
    classes_of_database,
    classes_of_samples,
    classes_section,
    merged,
)
from imatgen_flows.report.compositions import published_formulas
from imatgen_flows.report.run_directory import sampler_label


def amend(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_every_valid_sample_is_counted_once_and_no_other(shared_run):
    run = RunDirectory.open(shared_run)
    counted = classes_of_samples(run)
    assert list(counted) == run.samplers
    for sampler, classes in counted.items():
        rows = [row for row in run.rows() if row["sampler"] == sampler]
        invalid = [row for row in rows if row["rejected_stage"] in ("decode", "validity")]
        assert merged(classes).total() == len(rows) - len(invalid)
    assert sum(merged(classes).total() for classes in counted.values()) == run.funnel()[1].total


def test_what_a_round_found_does_not_make_its_composition_one_of_the_dataset(own_run):
    training = {"x": 0.0, "y": 0.0, "stable": True, "formation_energy": -1.0, "known": False}
    amend(own_run / "hull.json", lambda hull: hull.update(references=[]))
    rows = [{**training, "id": "mp-1", "formula": "V2O3"}, {**training, "id": "found:r0-slerp-1", "formula": "VO2"}]
    amend(own_run / "latent.json", lambda latent: latent.update(training=rows))
    found = [classes for classes in classes_of_samples(RunDirectory.open(own_run)).values() if merged(classes)]
    assert {name for classes in found for name in classes["dataset"]} == {"V2O3"}
    assert "VO2" in {name for classes in found for name in classes["new"]}


def test_a_published_phase_counts_where_it_did_not_relax_and_a_substituted_one_never_does(own_run):
    def change(hull):
        for phase in hull["references"]:
            phase["kind"] = "substituted"
        hull["failed"] = [
            {"name": "big", "formula": "V6O13", "kind": "compound", "reason": "not_converged"},
            {"name": "mp-9:Ti=V", "formula": "V3O5", "kind": "substituted", "reason": "not_converged"},
            {"name": "of an older run", "reason": "not_converged"},
        ]

    amend(own_run / "hull.json", change)
    run = RunDirectory.open(own_run)
    assert "V6O13" in published_formulas(run)
    assert not {"V3O5", "V2O5"} & set(published_formulas(run))
    assert merged(classes_of_database(run)["published phases"])["V6O13"] == 1


def test_elements_are_reference_phases_and_no_compositions_of_the_system(shared_run):
    found = merged(classes_of_database(RunDirectory.open(shared_run))["published phases"])
    assert {"VO", "VO2"} <= set(found) and not {"V", "O2", "O"} & set(found)


def test_the_section_says_for_each_sampler_structures_and_compositions(shared_run):
    run = RunDirectory.open(shared_run)
    section = classes_section(run)
    for sampler, classes in classes_of_samples(run).items():
        line = re.search(rf"<tr><td>{sampler_label(sampler)}</td>(.*?)</tr>", section)[1]
        every = merged(classes)
        assert line.endswith(f"{every.total():,} <small>({len(every):,})</small></td>")
