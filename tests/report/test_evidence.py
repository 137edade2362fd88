"""The evidence for a candidate in a line, and what the table of candidates can be restricted to."""

from __future__ import annotations

import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.report.evidence import evidence_filters, evidence_line, verdict_columns


def test_a_candidate_that_nobody_was_asked_about_has_no_evidence():
    assert evidence_line({"committee": ""}) == evidence_line({}) == ""


def test_the_line_names_verdict_mean_and_spread():
    row = {"committee": "disputed", "committee_mean": 0.0617, "committee_spread": 0.096}
    assert evidence_line(row) == "Disputed: 0.062 eV/atom in the mean, spread 0.096"


def test_a_verdict_without_a_second_vote_has_no_spread():
    assert evidence_line({"committee": "undecided", "committee_mean": 0.1, "committee_spread": None}) == "Undecided"


def test_the_nearest_crystal_is_called_known_where_it_is_published():
    known = {"nearest": "VO2 rutile (relaxed)", "nearest_distance": 0.08}
    assert evidence_line(known) == "Nearest known VO2 rutile (relaxed), distance 0.08"
    made = {"nearest": "A3B4_oI14 (relaxed) (substituted)", "nearest_distance": 0.12}
    assert evidence_line(made) == "Nearest substituted A3B4_oI14 (relaxed), distance 0.12"


def test_a_filter_is_offered_where_a_candidate_passes_it():
    assert not evidence_filters([{"committee": "refused"}, {"committee": ""}])
    (offered,) = evidence_filters([{"committee": "refused"}, {"committee": "agreed"}])
    assert (offered["column"], offered["value"]) == ("committee", "agreed")


def test_verdicts_fill_a_column_where_somebody_was_asked():
    assert verdict_columns([{"committee": ""}, {}]) == verdict_columns([]) == {}
    assert verdict_columns([{"dynamically_stable": False}, {}]) == {"phonons": ["unstable", ""]}


def test_a_database_that_did_not_answer_holds_nothing(own_run, rewrite):
    import yaml

    from imatgen_flows.report.referee import referee_answers
    from imatgen_flows.report.run_directory import RunDirectory

    silent, held, absent = (
        "http://127.0.0.1:9: not answered (refused)",
        "mp: mp-1 https://x.org/mp-1",
        "oqmd: not among 3 c",
    )
    rewrite(own_run, lambda row: row | {"elsewhere": [silent, held, absent] if row["novelty"] == "new" else []})
    campaign = yaml.safe_load((own_run / "campaign.yaml").read_text())
    campaign["elsewhere"] = {"providers": ["http://127.0.0.1:9", "mp", "oqmd"]}
    (own_run / "campaign.yaml").write_text(yaml.safe_dump(campaign))
    run = RunDirectory.open(own_run)
    near = sum(row["e_above_hull"] <= run.threshold for row in run.new)
    said = dict(referee_answers(run))["Are they really new?"]
    assert f"{near} matches in all." in said and f"http://127.0.0.1:9 has not answered about {near}." in said


@pytest.mark.parametrize(("name", "column"), [("committee", "committee"), ("phonons", "phonon_note")])
@pytest.mark.parametrize("content", ["{}", None])
def test_a_file_of_evidence_that_is_empty_or_gone_is_named(own_run, rewrite, name, column, content):
    from imatgen_flows.report.evidence import evidence_section
    from imatgen_flows.report.phonons import computed_phonons
    from imatgen_flows.report.run_directory import RunDirectory

    given = {
        "committee": "agreed",
        "committee_votes": ["toy: 0.1"],
        "phonon_note": "too large",
        "dynamically_stable": None,
    }
    rewrite(own_run, lambda row: row | ({column: given[column]} if row["e_above_hull"] is not None else {}))
    if content is not None:
        (own_run / f"{name}.json").write_text(content)
    run = RunDirectory.open(own_run)
    with pytest.raises(InputError, match=f"{name}.json: (holds no|no such file)"):
        evidence_section(run) if name == "committee" else computed_phonons(run)
