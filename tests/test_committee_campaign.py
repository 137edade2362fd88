"""A campaign with a committee: faults of a member cost its votes and nothing else, and both conservation laws hold."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from imatgen_flows.candidates.states import Geometry
from imatgen_flows.jobs.candidate_table import candidate_structures
from imatgen_flows.jobs.committee import relax_member_references, relax_member_shortlist, take_votes

MEMBERS = """
import os
import numpy as np
from imatgen_flows.energetics.toy import ToyCalculator


class Member(ToyCalculator):
    def __init__(self, fault=""):
        super().__init__()
        self.fault = fault

    def calculate(self, atoms=None, properties=None, system_changes=()):
        symbols = set(atoms.get_chemical_symbols())
        if self.fault == "no_oxygen" and "O" in symbols:
            raise ValueError("no parameters for O")
        super().calculate(atoms, properties, system_changes)
        if self.fault == "shifted":
            self.results["energy"] += sum(0.7 if symbol == "V" else -2.1 for symbol in atoms.get_chemical_symbols())
        if len(symbols) == 2:
            if self.fault == "nan_of_large" and len(atoms) == {largest}:
                self.results["energy"] = np.nan
            if self.fault == "crash_of_large" and len(atoms) == {largest}:
                os.abort()


def same(device): return Member()
def shifted(device): return Member("shifted")
def no_oxygen(device): return Member("no_oxygen")
def nan_of_large(device): return Member("nan_of_large")
def crash_of_large(device): return Member("crash_of_large")
"""
FAULTS = ["same", "shifted", "no_oxygen", "nan_of_large", "crash_of_large"]


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Make potentials that a worker process can import."""
    folder = tmp_path_factory.mktemp("members")
    # a cell of four sites is the largest; with one of three among the references each member has a hull
    (folder / "member_potentials.py").write_text(MEMBERS.replace("{largest}", "4"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder), prepend=":")
        yield [f"member_potentials:{fault}" for fault in FAULTS]


@pytest.fixture(scope="module")
def run(tiny, members, run_once_trained, tmp_path_factory):
    config = tiny(committee={"potentials": members, "at_most": 5, "threshold": 5.0})
    config.screen.threshold = 50.0  # the toy potential makes no low hull
    return run_once_trained(config, tmp_path_factory.mktemp("committee") / "vo")


@pytest.fixture(scope="module")
def rows(run):
    return pq.read_table(run / "candidates.parquet").to_pylist()


def test_the_lowest_of_the_shortlist_have_a_verdict_and_no_other(rows):
    shortlist = sorted((row for row in rows if row["state"] == "shortlisted"), key=lambda row: row["e_above_hull"])
    asked = [row["sample"] for row in rows if row["committee"]]
    assert asked and set(asked) == {row["sample"] for row in shortlist[:5]}
    for row in rows:
        assert bool(row["committee"]) == bool(row["committee_votes"])


def test_only_energies_within_the_hull_of_a_member_count(rows):
    """A constant energy for each atom of an element moves a potential's hull with its candidates."""
    for row in rows:
        if row["committee"]:
            first, same, shifted = row["committee_votes"][:3]
            assert first == f"toy: {row['e_above_hull']:.3f}"
            assert same.partition("same")[2] == shifted.partition("shifted")[2]
            # both relax to 0.3 eV/A, one from where the other ended
            assert float(same.partition(": ")[2].split(" ")[0]) == pytest.approx(row["e_above_hull"], abs=0.1)


def test_a_member_that_knows_no_oxygen_loses_all_its_votes_and_says_why(run, rows):
    for row in rows:
        if row["committee"]:
            assert "no vote" in row["committee_votes"][3] and "no_oxygen" in row["committee_votes"][3]
    table = json.loads((run / "committee.json").read_text())
    (note,) = [member["note"] for member in table["members"] if member["potential"].endswith("no_oxygen")]
    votes = [vote for vote in table["votes"] if vote["potential"].endswith("no_oxygen")]
    assert "no hull" in note and "O" in note
    assert len(votes) == sum(bool(row["committee"]) for row in rows) and {vote["e_above_hull"] for vote in votes} == {
        None
    }


@pytest.mark.parametrize("place", [4, 5])
def test_a_not_finite_energy_and_a_crash_cost_the_votes_on_large_cells_alone(rows, run, documents, place):
    (votes,) = documents(run, take_votes)
    structures = candidate_structures(votes.candidates, Geometry.RELAXED)
    asked = [row for row in rows if row["committee"]]
    lost = {row["sample"] for row in asked if "no vote" in row["committee_votes"][place]}
    assert lost == {row["sample"] for row in asked if len(structures[row["sample"]]) == 4}
    assert lost or len(asked) < 5


def test_every_evaluation_of_the_committee_is_in_the_ledger(run, rows, documents):
    from imatgen_flows.io.artifacts import read_lines

    ledger = json.loads((run / "ledger.json").read_text())["evaluations"]
    spent = sum(
        row["evaluations"] for batch in documents(run, relax_member_shortlist) for row in read_lines(batch.relaxations)
    )
    assert ledger["committee"] == spent == sum(row["committee_evaluations"] for row in rows) > 0
    of_references = documents(run, relax_member_references)
    assert len(of_references) == len(FAULTS)
    assert ledger["committee references"] == sum(
        row["evaluations"] for member in of_references for row in read_lines(member.phases)
    )


def test_the_report_says_what_each_member_said(run, rows):
    from imatgen_flows.report.evidence import read_members
    from imatgen_flows.report.html import build_report
    from imatgen_flows.report.run_directory import RunDirectory

    asked = sum(bool(row["committee"]) for row in rows)
    same, shifted, no_oxygen, *others = read_members(RunDirectory.open(run))
    assert same.higher == pytest.approx(shifted.higher, abs=1e-6) and same.voted == asked
    assert (no_oxygen.voted, no_oxygen.lost, no_oxygen.higher, no_oxygen.scale) == (0, asked, None, "")
    assert all(member.voted + member.lost == asked for member in others)
    page = build_report(run).read_text()
    assert "it has no hull" in page and "agreed on by the committee" in page


def test_the_candidates_as_ranked_are_found_behind_the_votes(run, documents):
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.provenance import finished_round, ranked_candidates
    from imatgen_flows.jobs.rank_candidates import rank_candidates

    found = ranked_candidates(ArtifactStore(run / "artifacts"), finished_round(run))
    assert found.key in {document.key for document in documents(run, rank_candidates)}


def test_another_threshold_takes_the_votes_again_and_relaxes_nothing(run, documents):
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.managers.local import run_campaign

    before = {path.name for path in (run / "artifacts" / "documents").iterdir()}
    config = CampaignConfig.from_file(run / "campaign.yaml")
    config.committee.threshold = 100.0
    run_campaign(config, run, resume=True)
    made = {
        path.name.rpartition("-")[0] for path in (run / "artifacts" / "documents").iterdir() if path.name not in before
    }
    assert made == {"take_votes", "known_elsewhere", "finish_round"}
    verdicts = {row["committee"] for row in pq.read_table(run / "candidates.parquet").to_pylist()}
    assert verdicts == {"", "agreed"}
