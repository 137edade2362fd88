from __future__ import annotations

import json

import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.metrics.statistics import rate_interval
from imatgen_flows.report import RunDirectory, draw_figures
from imatgen_flows.report.rounds import accounts, rounds_section


@pytest.fixture
def three(own_run, give_rounds):
    give_rounds(own_run, 3)
    return RunDirectory.open(own_run)


def test_a_run_of_one_round_has_no_account_of_rounds(own_run, give_rounds):
    give_rounds(own_run, 1)
    run = RunDirectory.open(own_run)
    assert accounts(run) is None
    assert rounds_section(run) == ""


@pytest.mark.parametrize("count", [2, 3, 7])
def test_cumulative_numbers_end_at_the_totals_of_the_ledger(own_run, give_rounds, validate, count):
    validate(own_run)
    give_rounds(own_run, count)
    run = RunDirectory.open(own_run)
    account = accounts(run)
    assert account.evaluations[-1] == run.ledger["evaluations_total"]
    assert account.near[-1] == sum(row["e_above_hull"] <= 0.1 for row in run.new)
    assert len(account.total.distances) == len(run.new)
    assert account.evaluations == sorted(account.evaluations)
    assert account.near == sorted(account.near)
    assert account.preparation == run.ledger["evaluations"]["labels"] + run.ledger["evaluations"]["references"]


def test_each_round_counts_its_own_samples(three):
    for row in accounts(three).rounds:
        mine = [one for one in three.rows() if one["round"] == row.number]
        assert row.relaxations == sum(one["evaluations"] > 0 for one in mine)
        assert row.evaluations == sum(one["evaluations"] for one in mine)
        for limit in (0.08, 0.1):
            new = [one for one in mine if one["novelty"] == "new" and one["e_above_hull"] is not None]
            assert row.within(limit) == sum(one["e_above_hull"] <= limit for one in new)


def test_a_rate_lies_in_its_interval_which_is_that_of_the_share(three):
    for row in (*accounts(three).rounds, accounts(three).total):
        rate, low, high = row.rate
        assert low <= rate <= high
        share = rate_interval(row.near, row.relaxations)
        assert high / low == pytest.approx(share[1] / share[0])
        assert rate * row.evaluations / 1000 == pytest.approx(row.near)


def test_a_round_that_relaxed_nothing_has_no_rate_and_costs_no_report(own_run, give_rounds, rewrite):
    give_rounds(own_run, 2)
    fate = {"state": "rejected", "rejected_stage": "validity", "rejected_reason": "overlap", "e_above_hull": None}
    rewrite(own_run, lambda row: row if row["round"] else row | fate | {"evaluations": 0, "novelty": ""})
    run = RunDirectory.open(own_run)
    assert accounts(run).rounds[0].rate == (0, 0, 0)
    assert "rounds" in {file.stem for file in draw_figures(run)}
    assert '<section id="rounds">' in rounds_section(run)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (
            {"mean": 3.0, "low": 1.0, "high": 5.0},
            "the loop found 3.0 more new structures .*interval \\+1.0 to \\+5.0\\)\\.<",
        ),
        ({"mean": 2.0, "low": -1.0, "high": 5.0}, "2.0 more .*−1.0 to \\+5.0\\): the seeds do not distinguish"),
        ({"mean": -2.0, "low": -3.0, "high": -1.0}, "2.0 fewer .*−3.0 to −1.0\\)\\.<"),
        ({"mean": 2.0, "low": float("nan"), "high": float("nan")}, "2.0 more .*has no interval"),
        ({"mean": 2.0, "low": None, "high": None}, "2.0 more .*has no interval"),
    ],
)
def test_the_gain_over_one_long_round_is_said_with_its_interval(three, found, says):
    content = {"seeds": [11, 12, 13], "rows": [], "within": 0.1, **found}
    (three.path / "loop.json").write_text(json.dumps(content))
    import re

    assert re.search(says, rounds_section(three))


@pytest.mark.parametrize("content", ["{}", "[]", '{"seeds": 3, "mean": 1, "low": 0, "high": 2, "within": 0.1}', "{"])
def test_a_faulty_comparison_is_refused_with_the_file_named(three, content):
    (three.path / "loop.json").write_text(content)
    with pytest.raises(InputError, match="loop.json"):
        rounds_section(three)
