from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from imatgen_flows.report import RunDirectory
from imatgen_flows.report.validation import validation_section


@pytest.fixture
def validated(own_run, validate):
    validate(own_run, scale="a scale <of ours>")
    return RunDirectory.open(own_run)


def lines(section, table):
    """Text of the cells of a table of the section, by row."""
    body = re.search(f'<table class="{table}">.*?<tbody>(.*?)</tbody>', section, re.DOTALL).group(1)
    rows = re.findall("<tr.*?</tr>", body, re.DOTALL)
    return [[re.sub("<[^>]*>", "", cell) for cell in re.findall("<td.*?</td>", row)] for row in rows]


def test_without_validation_there_is_no_section(shared_run):
    assert validation_section(RunDirectory.open(shared_run)) == ""


def test_a_campaign_that_validated_nothing_says_so(own_run, validate, rewrite):
    validate(own_run)
    rewrite(own_run, lambda row: row | {"state": "unique", "rejected_stage": "", "validation_evaluations": 0})
    rewrite(own_run, lambda row: row | {"validated_e_above_hull": None})
    assert "0 validated, 0 refused" in validation_section(RunDirectory.open(own_run))


def test_each_distance_shown_is_that_of_the_table_with_its_scale(validated):
    rows = {row["validated_id"]: row for row in validated.rows() if row["validated_e_above_hull"] is not None}
    shown = lines(validation_section(validated), "validated")
    assert {cells[-1] for cells in shown} == set(rows)
    for cells in shown:
        row = rows[cells[-1]]
        numbers = [float(text.replace("−", "-")) for text in cells[2:4]]
        assert numbers == [round(row["e_above_hull"], 3), round(row["validated_e_above_hull"], 3)]
        assert cells[4:6] == ["a scale &lt;of ours&gt;", str(row["validation_evaluations"])]
    assert [cells[3] for cells in shown] == [
        f"{value:.3f}".replace("-0.000", "0.000").replace("-", "−")
        for value in sorted(row["validated_e_above_hull"] for row in rows.values())
    ]


def test_every_candidate_that_was_shortlisted_is_counted_once(validated):
    section = validation_section(validated)
    states = Counter(row["state"] for row in validated.rows())
    refused = Counter(row["rejected_reason"] for row in validated.rows() if row["rejected_stage"] == "validate")
    counts = (
        f"{states['validated']} validated, {refused.total()} refused, and {states['shortlisted']} shortlisted but not"
    )
    assert counts in section
    assert {cells[0]: int(cells[1]) for cells in lines(section, "refused")} == {
        reason.replace("_", " "): count for reason, count in refused.items()
    }


def test_the_mean_difference_is_numpys(validated):
    pairs = [
        (row["e_above_hull"], row["validated_e_above_hull"])
        for row in validated.rows()
        if row["validated_e_above_hull"] is not None
    ]
    mean = np.abs(np.diff(pairs, axis=1)).mean()
    assert f"is {mean:.3f} eV/atom" in validation_section(validated)


def test_what_a_calculation_says_is_escaped(validated):
    section = validation_section(validated)
    assert "<b>" not in section
    assert "&lt;b&gt;U&lt;/b&gt; of 0 eV" in section
    assert "<of ours>" not in section


def test_what_must_be_known_of_an_energy_is_said_once_with_all_that_it_concerns(own_run, validate, rewrite):
    validate(own_run)
    rewrite(own_run, lambda row: row | {"validated_note": "a correction was <guessed>"})
    section = validation_section(RunDirectory.open(own_run))
    assert section.count("a correction was &lt;guessed&gt;") == 1 and "<guessed>" not in section
