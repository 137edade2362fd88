"""The two conservation laws of the ledger."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imatgen_flows.candidates.ledger import Ledger, LedgerError
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.errors import ImatgenError

fates = st.one_of(
    st.tuples(st.sampled_from(State.ordered()), st.just(""), st.just("")),
    st.tuples(
        st.just(State.REJECTED), st.sampled_from(list(Stage)), st.sampled_from(["overlap", "duplicate", "crashed"])
    ),
)
spendings = st.lists(st.tuples(st.sampled_from(["labels", "references", "screen"]), st.integers(0, 10**6)))


@st.composite
def ledgers(draw):
    ended = draw(st.lists(fates, max_size=40))
    ledger = Ledger(samples=len(ended))
    for fate in ended:
        ledger.count(*fate)
    for purpose, number in draw(spendings):
        ledger.spend(purpose, number)
    return ledger


@given(st.lists(fates, max_size=40), spendings)
def test_nothing_that_enters_is_lost(ended, spent):
    ledger = Ledger(samples=len(ended))
    for fate in ended:
        ledger.count(*fate)
    for purpose, number in spent:
        ledger.spend(purpose, number)
    screened = sum(number for purpose, number in spent if purpose == "screen")
    ledger.check(evaluations={"screen": screened}, total=sum(number for _, number in spent))
    assert sum(ledger.states.values()) == len(ended)
    assert sum(ledger.rejections.values()) == ledger.states[State.REJECTED.value]


@given(ledgers())
def test_what_leaves_the_funnel_between_two_states_ended_or_was_rejected_there(ledger):
    funnel = ledger.funnel
    assert funnel["sampled"] == ledger.samples
    order = State.ordered()
    for state, following in zip(order, [*order[1:], None], strict=True):
        rejected = sum(number for (stage, _), number in ledger.rejections.items() if Stage(stage).reached is state)
        assert funnel[state.value] - funnel.get(following, 0) == ledger.states[state.value] + rejected


@given(ledgers())
def test_a_ledger_survives_its_file(ledger):
    read = Ledger.from_dict(json.loads(json.dumps(ledger.to_dict())))
    assert read.to_dict() == ledger.to_dict()
    read.check(total=ledger.evaluations.total())


@given(ledgers(), ledgers())
def test_rounds_add_up_in_any_order(first, second):
    both = first.merge(second)
    both.check(total=first.evaluations.total() + second.evaluations.total())
    assert both.funnel == {state: first.funnel[state] + second.funnel[state] for state in first.funnel}
    for name in ("states", "rejections", "evaluations"):
        assert getattr(both, name) == getattr(second.merge(first), name)


@pytest.mark.parametrize("entered", [2, 4])
def test_a_sample_lost_or_counted_twice_is_reported_with_both_numbers(entered):
    ledger = Ledger(samples=3)
    ledger.count("valid", number=entered)
    with pytest.raises(LedgerError, match=f"{entered} final states of samples were entered, 3 counted"):
        ledger.check()


def test_an_evaluation_lost_is_reported_with_both_numbers():
    ledger = Ledger()
    ledger.spend("screen", 1200)
    ledger.spend("labels", 1)
    with pytest.raises(LedgerError, match="1,200 evaluations for screen were entered, 1,201 counted"):
        ledger.check(evaluations={"screen": 1201})
    with pytest.raises(LedgerError, match="1,201 evaluations in all were entered, 1,200 counted"):
        ledger.check(total=1200)


def test_evaluations_of_a_purpose_never_entered_are_missed():
    with pytest.raises(LedgerError, match="0 evaluations for dft were entered, 7 counted"):
        Ledger().check(evaluations={"dft": 7})


@pytest.mark.parametrize(
    "fate",
    [
        ("rejected",),
        ("rejected", "screen", ""),
        ("rejected", "nowhere", "lost"),
        ("gone",),
        ("valid", "screen", "lost"),
    ],
)
def test_a_fate_without_its_reason_is_refused(fate):
    ledger = Ledger(samples=1)
    with pytest.raises(LedgerError):
        ledger.count(*fate)
    assert not ledger.states


def test_evaluations_cannot_be_given_back():
    with pytest.raises(LedgerError, match="-1 evaluations"):
        Ledger().spend("screen", -1)


def test_a_value_counts_as_its_member_does():
    ledgers = [Ledger(samples=2), Ledger(samples=2)]
    ledgers[0].count(State.VALID)
    ledgers[0].count(State.REJECTED, Stage.SCREEN, "crashed")
    ledgers[1].count("valid")
    ledgers[1].count("rejected", "screen", "crashed")
    first, second = (repr(ledger.to_dict()) for ledger in ledgers)
    assert first == second and "State" not in first  # plain text, no members


def test_every_state_is_in_the_funnel_and_every_stage_leaves_it_at_a_state():
    assert list(Ledger().funnel) == [state.value for state in State if state is not State.REJECTED]
    assert all(stage.reached in State.ordered() for stage in Stage)
    assert issubclass(LedgerError, ImatgenError)
