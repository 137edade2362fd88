"""The funnel: how many samples reached each state, and why the others left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imatgen_flows.candidates.states import Stage, State

FATE = ("sampler", "state", "rejected_stage", "rejected_reason")  # columns by which samples are counted


@dataclass(frozen=True)
class Step:
    """Samples that reached one state of the funnel, and those that left there.

    Attributes
    ----------
    state : the state
    reached : samples that came this far, by sampler
    left : samples that came no further because they were rejected here, by (stage, reason), most frequent first
    """

    state: State
    reached: dict[str, int]
    left: dict[tuple[str, str], int]

    @property
    def total(self) -> int:
        """Samples that came this far, of all samplers."""
        return sum(self.reached.values())


def funnel_steps(fates: Mapping[tuple, int]) -> list[Step]:
    """Count the samples that reached each state, and why the others left.

    Every sample is counted out once: at each step, those who reached it are those who reached the next, those who
    left here, and those whose final state this is. A last step that nobody tried is not shown.

    Parameters
    ----------
    fates : number of samples by the values of the columns `FATE`

    Examples
    --------
    >>> fates = {("prior", "screened", "", ""): 2, ("prior", "rejected", "decode", "no_cell"): 3}
    >>> [(step.state.value, step.total) for step in funnel_steps(fates)][:3]
    [('sampled', 5), ('valid', 2), ('unique', 2)]
    """
    order = State.ordered()
    samplers = dict.fromkeys(sampler for sampler, *_ in fates)
    reached = {state: dict.fromkeys(samplers, 0) for state in order}
    left: dict[State, Counter[tuple[str, str]]] = {state: Counter() for state in order}
    for (sampler, state, stage, reason), number in fates.items():
        last = last_state(state, stage)
        for passed in order[: order.index(last) + 1]:
            reached[passed][sampler] += number
        if state == State.REJECTED:
            left[last][stage, reason] += number
    steps = [Step(state, reached[state], dict(left[state].most_common())) for state in order]
    tried = any(stage == Stage.VALIDATE for _, _, stage, _ in fates)
    return steps if steps[-1].total or tried else steps[:-1]


def last_state(state: str, rejected_stage: str) -> State:
    """Return the furthest state that a candidate reached, from its state and the stage at which it was rejected."""
    return Stage(rejected_stage).reached if state == State.REJECTED else State(state)


def fate(row: Mapping[str, Any]) -> str:
    """Return the final state of a sample in words, or where and why it was rejected.

    Examples
    --------
    >>> fate({"state": "rejected", "rejected_stage": "decode", "rejected_reason": "no_cell", "rejected_detail": ""})
    'Rejected at decoding: no cell'
    """
    if row["state"] != State.REJECTED:
        return State(row["state"]).label
    detail = f" ({row['rejected_detail']})" if row["rejected_detail"] else ""
    reason = row["rejected_reason"].replace("_", " ")
    return f"Rejected at {Stage(row['rejected_stage']).label.lower()}: {reason}{detail}"
