"""A campaign without a shortlist says why, and what to change."""

from __future__ import annotations

import pytest

from imatgen_flows.candidates.ledger import Ledger
from imatgen_flows.candidates.outcome import explain_empty
from imatgen_flows.candidates.states import Stage, State


def ledger(*ends):
    """A ledger of samples that ended as (state or stage, reason, number)."""
    made = Ledger(sum(number for *_, number in ends))
    for end, reason, number in ends:
        if isinstance(end, Stage):
            made.count(State.REJECTED, end, reason, number)
        else:
            made.count(end, number=number)
    return made.to_dict()


@pytest.mark.parametrize(
    ("ends", "said", "cure"),
    [
        (
            [(Stage.DECODE, "no_cell", 9), (Stage.VALIDITY, "overlap", 1)],
            "none of 10 samples is a valid",
            "model.epochs",
        ),
        ([(Stage.VALIDITY, "charge_balance", 9)], "validity: 9 charge balance", "`validity.charge`"),
        ([(Stage.VALIDITY, "edge_too_long", 9)], "none of 9 samples", "limits.max_edge"),
        ([(Stage.UNIQUENESS, "known", 4), (Stage.DECODE, "no_cell", 5)], "none of 4 valid samples is new", "sampling"),
        ([(Stage.SCREEN, "crashed", 3), (Stage.UNIQUENESS, "known", 4)], "none of 3 new samples", "screen.max_steps"),
        ([(State.SCREENED, "", 3), (State.UNIQUE, "", 7)], "none of 3 relaxed candidates", "screen.threshold"),
        (
            [(Stage.VALIDATE, "wrong_u", 2), (State.SCREENED, "", 3)],
            "refused each of 2 shortlisted",
            "mend what failed",
        ),
    ],
)
def test_the_last_step_that_nobody_passed_is_named_with_its_cure(ends, said, cure):
    sentence = explain_empty(ledger(*ends))
    assert sentence.startswith("no result: ") and said in sentence and cure in sentence


def test_reasons_of_that_step_alone_are_named():
    sentence = explain_empty(ledger((Stage.UNIQUENESS, "known", 4), (Stage.DECODE, "no_cell", 5)))
    assert "uniqueness: 4 known" in sentence and "no cell" not in sentence


@pytest.mark.parametrize("state", [State.SHORTLISTED, State.VALIDATED])
def test_a_shortlist_needs_no_excuse(state):
    assert explain_empty(ledger((state, "", 1), (Stage.DECODE, "no_cell", 99))) == ""


def test_a_ledger_from_elsewhere_says_nothing():
    assert explain_empty({"samples": 3, "evaluations": {}}) == ""


@pytest.mark.parametrize("reason", ["other_composition", "no_cell", ""])
def test_without_the_generator_nobody_is_told_to_draw_more_samples(reason):
    stage = Stage.VALIDITY if reason else ""
    found = ledger((stage or State.SCREENED, reason, 4))
    table = found if isinstance(found, dict) else found.to_dict()
    assert "`sampling`" in explain_empty(table) and "`sources.shares`" not in explain_empty(table)
    said = explain_empty(table | {"sources": {"genetic": table}})
    assert "`sampling`" not in said and "epochs" not in said and "`sources.shares`" in said


def test_a_campaign_whose_sources_proposed_nothing_says_so():
    said = explain_empty(Ledger().to_dict() | {"sources": {"genetic": Ledger().to_dict()}})
    assert said.startswith("no result: no source proposed a candidate. ") and "`validity.charge`" in said
