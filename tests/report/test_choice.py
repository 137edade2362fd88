"""Which candidates are chosen: by class, by distance from the hull, by number; and what the commands say of them."""

from __future__ import annotations

import json

import pytest

from imatgen_flows.candidates.classes import Selection
from imatgen_flows.errors import InputError
from imatgen_flows.report import RunDirectory, export_run
from imatgen_flows.report.choice import choose_candidates


@pytest.fixture
def voted_run(own_run, rewrite):
    """A run whose new candidates have verdicts: every second one is agreed on, every third one stable."""
    new = [row["sample"] for row in RunDirectory.open(own_run).new]
    assert len(new) >= 6

    def give(row):
        place = new.index(row["sample"]) if row["sample"] in new else None
        if place is None:
            return row
        verdict = "agreed" if place % 2 == 0 else "refused"
        return row | {"committee": verdict, "dynamically_stable": place % 3 == 0, "committee_votes": ["a", "b"]}

    rewrite(own_run, give)
    return own_run


def test_each_selection_takes_what_its_name_says(voted_run):
    run = RunDirectory.open(voted_run)
    names = {only: [row["sample"] for row in choose_candidates(run, only.value)] for only in Selection}
    new = [row["sample"] for row in run.new]
    assert names[Selection.NEW] == new and names[Selection.ALL] == [row["sample"] for row in run.relaxed]
    assert names[Selection.AGREED] == new[::2] and names[Selection.STABLE] == new[::3]
    assert names[Selection.AGREED_STABLE] == new[::6]
    shortlist = [row["sample"] for row in run.new if row["state"] in ("shortlisted", "validated")]
    assert names[Selection.SHORTLIST] == shortlist


def test_distance_and_number_cut_the_list_from_above(shared_run):
    run = RunDirectory.open(shared_run)
    energies = [row["e_above_hull"] for row in run.relaxed]
    middle = energies[len(energies) // 2]
    assert len(choose_candidates(run, "all", middle)) == sum(energy <= middle for energy in energies)
    assert choose_candidates(run, "all", top=2) == run.relaxed[:2]
    assert choose_candidates(run, "all", energies[0] - 1) == []
    with pytest.raises(InputError, match="the best 0 candidates are none"):
        choose_candidates(run, top=0)
    with pytest.raises(InputError, match="`best` is not a choice of candidates"):
        choose_candidates(run, "best")


def test_the_export_writes_what_is_chosen(shared_run, tmp_path):
    run = RunDirectory.open(shared_run)
    energy = run.relaxed[3]["e_above_hull"]
    files = export_run(shared_run, "cif", tmp_path, "all", max_e_hull=energy, top=3)
    assert [file.stem for file in files] == [row["relaxed_id"] for row in run.relaxed[:3]]


def test_show_prints_verdicts_and_says_when_nothing_is_left(imatgen, voted_run, tmp_path):
    code, text, _ = imatgen("show", voted_run, "--top", 2)
    best = RunDirectory.open(voted_run).new[:2]
    assert code == 0 and all(row["relaxed_id"] in text for row in best)
    assert "agreed" in text and "refused" in text and "unstable" in text and max(map(len, text.splitlines())) <= 80
    code, text, _ = imatgen("show", voted_run, "--only", "agreed", "--json")
    assert code == 0 and {row["committee"] for row in json.loads(text)} == {"agreed"}
    code, text, error = imatgen("show", voted_run, "--max-e-hull", -9)
    assert code == 1 and not text and "no relaxed candidate is `new` and within -9 eV/atom" in error
    code, _, error = imatgen("show", tmp_path)
    assert code == 2 and "not a run directory" in error
