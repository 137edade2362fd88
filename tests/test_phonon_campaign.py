"""A campaign with phonons of its best candidates: what they add, and that its ledger adds up."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from imatgen_flows.candidates.states import Geometry
from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs.candidate_table import candidate_structures
from imatgen_flows.jobs.finish_round import finish_round
from imatgen_flows.jobs.known_elsewhere import known_elsewhere
from imatgen_flows.jobs.phonons import compute_phonons
from imatgen_flows.jobs.rank_candidates import rank_candidates
from imatgen_flows.managers.local import run_campaign
from imatgen_flows.run import Run

COLUMNS = ("dynamically_stable", "lowest_frequency", "free_energy")


@pytest.fixture(scope="module")
def config(tiny):
    screen = {"potential": "toy", "at_most": 6, "batch_size": 3, "max_steps": 100, "fmax": 0.3, "threshold": 5.0}
    phonons = {"at_most": 2, "supercell": 5, "fmax": 0.05, "max_atoms": 120, "follow": True}
    return tiny(screen=screen, phonons=phonons, sources={"shares": {"random_search": 1.0}})  # nothing is trained


@pytest.fixture(scope="module")
def run(config, run_once_trained, tmp_path_factory):
    return run_once_trained(config, tmp_path_factory.mktemp("phonons") / "vo")


def rows_of(directory):
    return pq.read_table(directory / "candidates.parquet").to_pylist()


def test_the_ledger_balances_with_phonons(run, documents):
    ledger, rows = json.loads((run / "ledger.json").read_text()), rows_of(run)
    (made,) = documents(run, compute_phonons)
    spent = sum(row["phonon_evaluations"] for row in rows)
    assert ledger["evaluations"]["phonons"] == made.evaluations["phonons"] == spent > 0
    followed = sum(row["soft_mode_evaluations"] for row in rows)
    assert ledger["evaluations"].get("soft modes", 0) == followed
    assert ledger["evaluations"]["screen"] == sum(row["evaluations"] for row in rows)
    assert ledger["evaluations_total"] == sum(ledger["evaluations"].values())
    assert sum(ledger["states"].values()) == ledger["samples"] == len(rows)
    of_sources = [source["evaluations"] for source in ledger["sources"].values()]
    assert sum(source.get("phonons", 0) for source in of_sources) == spent


def test_phonons_are_those_of_the_lowest_of_the_shortlist(run):
    rows = rows_of(run)
    tried = {row["sample"] for row in rows if row["phonon_evaluations"] or row["phonon_note"]}
    shortlist = sorted((r["e_above_hull"], r["sample"]) for r in rows if r["state"] == "shortlisted")
    assert len(shortlist) >= 2 and tried == {sample for _, sample in shortlist[:2]}
    for row in rows:
        if row["sample"] not in tried:
            assert all(row[name] is None for name in COLUMNS)
        elif row["dynamically_stable"] is None:
            assert row["phonon_note"]
        else:
            assert row["dynamically_stable"] is (row["lowest_frequency"] > -0.1)
            assert (row["free_energy"] is None) is not row["dynamically_stable"]


def test_bands_and_densities_lie_beside_the_candidates_which_stay_as_they_were(run, documents):
    (made,), (ranked,), (finished,) = (documents(run, job) for job in (compute_phonons, rank_candidates, finish_round))
    spectra = read_lines(made.extra["phonons"])
    assert len(spectra) == 2 and made.counts == ranked.counts and set(ranked.extra) <= set(made.extra)
    (last,) = documents(run, known_elsewhere)
    assert finished.candidates == last.candidates and made.candidates.parts == last.candidates.parts[:-1]
    for row in spectra:
        assert row["state"] == "rejected" or (
            row["bands"]["frequencies"] and row["density"]["states"] and row["structure"] and row["supercell"]
        )
        assert (row["followed"] is not None) == (row["soft_mode"] is not None)
    assert set(candidate_structures(made.candidates, Geometry.RELAXED)) == set(
        candidate_structures(ranked.candidates, Geometry.RELAXED)
    )


def test_a_run_that_is_resumed_computes_no_phonons_again(run, config):
    before = {path.name: path.stat().st_mtime_ns for path in (run / "artifacts" / "documents").iterdir()}
    run_campaign(config, run, resume=True)
    assert before == {path.name: path.stat().st_mtime_ns for path in (run / "artifacts" / "documents").iterdir()}


def test_without_phonons_no_such_job_is_made_and_the_keys_of_all_others_stay(config, run, tmp_path, run_once_trained):
    without = config.model_copy(deep=True)
    without.phonons.follow = False
    without.phonons.at_most = 0
    plain = run_once_trained(without, tmp_path / "vo")
    keys = {path.name for path in (plain / "artifacts" / "documents").iterdir()}
    with_phonons = {path.name for path in (run / "artifacts" / "documents").iterdir()}
    differing = {name.partition("-")[0] for name in keys ^ with_phonons}
    assert differing == {"compute_phonons", "known_elsewhere", "finish_round"}
    found = Run.open(run).compare(Run.open(plain))
    assert set(found.settings) == {"phonons.at_most", "phonons.follow"} and found.settings["phonons.at_most"] == (2, 0)
    assert found.evaluations["phonons"][0] > 0 and found.evaluations["phonons"][1] is None
    assert len(found.common) == found.found["new"][0] > 0 and not found.notes


def test_the_report_shows_bands_and_verdicts_of_what_was_computed(run):
    from imatgen_flows.report.evidence import evidence_line
    from imatgen_flows.report.html import build_report
    from imatgen_flows.report.phonons import computed_phonons
    from imatgen_flows.report.run_directory import RunDirectory

    page, found = build_report(run).read_text(), computed_phonons(RunDirectory.open(run))
    computed = [row for row in rows_of(run) if row["dynamically_stable"] is not None]
    assert 'id="phonons"' in page and len(found) == len(computed) > 0
    lowest = {row["sample"]: row["lowest_frequency"] for row in computed}
    for spectrum in found.values():
        bands = [value for piece in spectrum["bands"]["frequencies"] for point in piece for value in point]
        # the lowest is that of the whole zone, and one that was checked replaces what was interpolated
        assert bands and all(value == round(value, 3) for value in bands) and spectrum["sample"] in lowest
    for row in computed:
        said = "Dynamically stable" if row["dynamically_stable"] else "Unstable"
        assert f"{said}, lowest {row['lowest_frequency']:.2f} THz" in evidence_line(row)


def test_another_number_of_phonons_computes_none_again(run, config, monkeypatch):
    from imatgen_flows.energetics import phonons

    def refuse(structures, *_args, **_options):
        raise AssertionError(f"{len(structures)} structures are computed again")

    before = {row["sample"]: row for row in rows_of(run) if row["phonon_evaluations"]}
    monkeypatch.setattr(phonons, "phonons_of_many", refuse)
    fewer = config.model_copy(deep=True)
    fewer.phonons.at_most = 1
    run_campaign(fewer, run, resume=True)
    (first,) = [row for row in rows_of(run) if row["phonon_evaluations"]]
    assert first == before[first["sample"]]
    run_campaign(config, run, resume=True)


def test_a_campaign_that_asks_for_no_phonons_any_more_shows_none(run, config):
    without = config.model_copy(deep=True)
    without.phonons.follow = False
    without.phonons.at_most = 0
    assert (run / "phonons.json").is_file()
    run_campaign(without, run, resume=True)
    assert not (run / "phonons.json").exists() and not any(row["phonon_evaluations"] for row in rows_of(run))
    run_campaign(config, run, resume=True)
    assert (run / "phonons.json").is_file()
