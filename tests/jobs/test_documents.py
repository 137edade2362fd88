"""The documents that pass between jobs."""

from __future__ import annotations

import pytest
from imatgen_flows.discovery import ledger
from pydantic import ValidationError

from imatgen_flows.candidates.candidate import Candidate, Origin
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.report import run_directory


def test_every_layer_means_the_same_by_the_states_of_a_candidate():
    states = [state.value for state in State]
    assert {*ledger.STATES, "rejected"} == set(states)
    assert list(run_directory.STATES) == [state for state in states if state != "rejected"]


def test_a_rejected_candidate_says_where_and_why():
    record = Candidate(sample="r0-slerp-000001", origin=Origin(method="slerp", seed=7, row=1, x=0, y=0))
    record.reject(Stage.VALIDITY, "overlap", "0.31 A, the limit is 0.5 A")
    assert record.state is State.REJECTED
    assert (record.rejection.stage.value, record.rejection.reason) == ("validity", "overlap")
    assert Candidate(**record.model_dump(mode="json")) == record


def test_unknown_fields_of_a_candidate_are_refused():
    with pytest.raises(ValidationError, match="extra"):
        Candidate(sample="s", origin=Origin(method="slerp", seed=7, row=1, x=0, y=0), colour="red")
