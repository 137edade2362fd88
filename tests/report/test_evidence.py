"""The evidence for a candidate in a line, and what the table of candidates can be restricted to."""

from __future__ import annotations

from imatgen_flows.report.evidence import evidence_filters, evidence_line, verdicts


def test_a_candidate_that_nobody_was_asked_about_has_no_evidence():
    assert evidence_line({"committee": ""}) == evidence_line({}) == ""


def test_the_line_names_verdict_mean_and_spread():
    row = {"committee": "disputed", "committee_mean": 0.0617, "committee_spread": 0.096}
    assert evidence_line(row) == "Disputed: 0.062 eV/atom in the mean, spread 0.096"


def test_a_verdict_without_a_second_vote_has_no_spread():
    assert evidence_line({"committee": "undecided", "committee_mean": 0.1, "committee_spread": None}) == "Undecided"


def test_a_filter_is_offered_where_a_candidate_passes_it():
    assert not evidence_filters([{"committee": "refused"}, {"committee": ""}])
    (offered,) = evidence_filters([{"committee": "refused"}, {"committee": "agreed"}])
    assert (offered["column"], offered["value"]) == ("committee", "agreed")


def test_verdicts_fill_a_column_where_somebody_was_asked():
    assert verdicts([{"committee": ""}, {}]) == verdicts([]) == {}
    assert verdicts([{"dynamically_stable": False}, {}]) == {"phonons": ["unstable", ""]}
