"""Two conservation laws: no sample and no energy evaluation goes missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.errors import ImatgenError


class LedgerError(ImatgenError):
    """The books do not balance: something was lost, or counted twice."""


class Ledger:
    """What became of the samples, and what the energies cost.

    Every sample ends in exactly one state, and every energy-and-force evaluation (labels, references, relaxations of
    candidates, baselines too) is counted where it was spent. Ledgers of rounds add up: `merge`.

    Parameters
    ----------
    samples : how many were drawn, as the sampler counts them

    Attributes
    ----------
    states : samples by the state they ended in; the rejected ones too
    rejections : rejected samples by (stage, reason)
    evaluations : energy-and-force evaluations by purpose
    """

    def __init__(self, samples: int = 0) -> None:
        self.samples = samples
        self.states: Counter[str] = Counter()
        self.rejections: Counter[tuple[str, str]] = Counter()
        self.evaluations: Counter[str] = Counter()

    def count(self, state: str, stage: str = "", reason: str = "", number: int = 1) -> None:
        """Enter samples under the state they ended in; those rejected, with the stage and the reason.

        Raises
        ------
        LedgerError
            Where the state or the stage is unknown, or a rejection has no reason.
        """
        if state == State.REJECTED.value:
            if stage not in [known.value for known in Stage] or not reason:
                known = ", ".join(known.value for known in Stage)
                raise LedgerError(
                    f"a rejection needs a reason and one of the stages {known}; this one has stage {stage!r} and reason {reason!r}"
                )
            self.rejections[stage, reason] += number
        elif state not in [known.value for known in State.ordered()] or stage or reason:
            known = ", ".join(known.value for known in State.ordered())
            raise LedgerError(
                f"a sample ends in one of the states {known}, or is rejected with a reason; "
                f"this one has state {state!r}, stage {stage!r} and reason {reason!r}"
            )
        self.states[state] += number

    def spend(self, purpose: str, number: int) -> None:
        """Enter energy-and-force evaluations."""
        if number < 0:
            raise LedgerError(f"{purpose}: {number} evaluations cannot have been spent")
        self.evaluations[purpose] += number

    @property
    def funnel(self) -> dict[str, int]:
        """How many samples came as far as each state, those that then left or went on included."""
        order = State.ordered()
        ended = Counter({state.value: self.states[state.value] for state in order})
        for (stage, _), number in self.rejections.items():
            ended[Stage(stage).reached.value] += number
        return {state.value: sum(ended[later.value] for later in order[i:]) for i, state in enumerate(order)}

    def check(self, evaluations: Mapping[str, int] | None = None, total: int | None = None) -> None:
        """Hold the books against numbers that were counted on another path.

        Parameters
        ----------
        evaluations : evaluations that were spent for some purposes
        total : evaluations that were spent in all

        Raises
        ------
        LedgerError
            Where the final states do not add up to the samples drawn, or the evaluations to those spent; the message
            gives both numbers.
        """
        books = {"final states of samples": (self.states.total(), self.samples)}
        for purpose, spent in (evaluations or {}).items():
            books[f"evaluations for {purpose}"] = self.evaluations[purpose], spent
        if total is not None:
            books["evaluations in all"] = self.evaluations.total(), total
        faults = [
            f"{n:,} {what} were entered, {counted:,} counted" for what, (n, counted) in books.items() if n != counted
        ]
        if faults:
            raise LedgerError("the ledger does not add up: " + "; ".join(faults))

    def merge(self, other: Ledger) -> Ledger:
        """Add up two ledgers."""
        both = Ledger(self.samples + other.samples)
        for ledger in (self, other):
            both.states.update(ledger.states)
            both.rejections.update(ledger.rejections)
            both.evaluations.update(ledger.evaluations)
        return both

    def to_dict(self) -> dict[str, Any]:
        """Write plain values, as in `ledger.json`; the funnel and the total are there for readers."""
        return {
            "samples": self.samples,
            "states": dict(self.states),
            "funnel": self.funnel,
            "rejections": [
                {"stage": stage, "reason": reason, "count": number}
                for (stage, reason), number in self.rejections.most_common()
            ],
            "evaluations": dict(self.evaluations),
            "evaluations_total": self.evaluations.total(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Ledger:
        """Read what `to_dict` wrote."""
        ledger = cls(values["samples"])
        ledger.states.update(values["states"])
        ledger.rejections.update({(row["stage"], row["reason"]): row["count"] for row in values["rejections"]})
        ledger.evaluations.update(values["evaluations"])
        return ledger
