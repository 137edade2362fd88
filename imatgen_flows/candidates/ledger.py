"""The ledger of a campaign: two conservation laws, so that no sample and no energy evaluation goes missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NotRequired, TypedDict

from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.errors import ImatgenError

# columns of the candidate table that hold what a candidate has cost, with their purpose in the ledger
SPENT = {
    "evaluations": "screen",
    "moment_evaluations": "moments",
    "committee_evaluations": "committee",
    "phonon_evaluations": "phonons",
    "soft_mode_evaluations": "soft modes",
    "validation_evaluations": "validate",
}


class LedgerError(ImatgenError):
    """A ledger does not add up: something was lost, or counted twice."""


class RejectionCount(TypedDict):
    """Number of samples that were rejected at one stage for one reason."""

    stage: str
    reason: str
    count: int


class LedgerTable(TypedDict):
    """Content of ledger.json."""

    samples: int
    states: dict[str, int]
    funnel: dict[str, int]
    rejections: list[RejectionCount]
    evaluations: dict[str, int]
    evaluations_total: int
    sources: NotRequired[dict[str, LedgerTable]]


class Ledger:
    """Final states of all samples, and energy evaluations by purpose.

    Every sample ends in exactly one state, and every energy-and-force evaluation (labels, references, relaxations of
    candidates, baselines too) is counted where it was spent. The ledgers of rounds add up: `merge`.

    Parameters
    ----------
    samples : how many were drawn, as the sampler counts them

    Attributes
    ----------
    states : samples by the value of the state that they ended in, `rejected` included
    rejections : rejected samples by (stage, reason)
    evaluations : energy-and-force evaluations by purpose
    sources : the same of each source of candidates, where there are several
    """

    def __init__(self, samples: int = 0) -> None:
        self.samples = samples
        self.states: Counter[str] = Counter()
        self.rejections: Counter[tuple[str, str]] = Counter()
        self.evaluations: Counter[str] = Counter()
        self.sources: dict[str, Ledger] = {}

    def count(self, state: State | str, stage: Stage | str = "", reason: str = "", number: int = 1) -> None:
        """Count samples under the state that they ended in; rejected ones under their stage and reason as well.

        Parameters
        ----------
        state, stage : members or their values
        reason : of a rejection
        number : of samples

        Raises
        ------
        LedgerError
            Where the state or the stage is unknown, or a rejection has no reason.
        """
        ended, left = _value(state), _value(stage)
        if ended == State.REJECTED.value:
            stages = [known.value for known in Stage]
            if left not in stages or not reason:
                raise LedgerError(
                    f"a rejection needs a reason and one of the stages {', '.join(stages)}; "
                    f"this one has stage {left!r} and reason {reason!r}"
                )
            self.rejections[left, reason] += number
        else:
            states = [known.value for known in State.ordered()]
            if ended not in states or left or reason:
                raise LedgerError(
                    f"a sample ends in one of the states {', '.join(states)}, or is rejected with a reason; "
                    f"this one has state {ended!r}, stage {left!r} and reason {reason!r}"
                )
        self.states[ended] += number

    def spend(self, purpose: str, number: int) -> None:
        """Count energy-and-force evaluations under their purpose."""
        if number < 0:
            raise LedgerError(f"{purpose}: {number} evaluations cannot have been spent")
        self.evaluations[purpose] += number

    @property
    def funnel(self) -> dict[str, int]:
        """Number of samples that came as far as each state, those that ended or were rejected after it included."""
        order = State.ordered()
        ended = Counter({state.value: self.states[state.value] for state in order})
        for (stage, _), number in self.rejections.items():
            ended[Stage(stage).reached.value] += number
        return {state.value: sum(ended[later.value] for later in order[i:]) for i, state in enumerate(order)}

    def check(self, evaluations: Mapping[str, int] | None = None, total: int | None = None) -> None:
        """Compare the ledger with numbers that were counted independently of it.

        Parameters
        ----------
        evaluations : evaluations that were spent for some purposes
        total : evaluations that were spent in all

        Raises
        ------
        LedgerError
            Where the final states do not add up to the samples drawn, or the evaluations to those spent, of all sources
            or of one; the message gives both numbers.
        """
        pairs = {"final states of samples": (self.states.total(), self.samples)}
        for name, source in self.sources.items():
            pairs[f"final states of samples of {name}"] = source.states.total(), source.samples
        if self.sources:
            together = sum(source.samples for source in self.sources.values())
            pairs["samples of all sources"] = together, self.samples
        for purpose, spent in (evaluations or {}).items():
            pairs[f"evaluations for {purpose}"] = self.evaluations[purpose], spent
        if total is not None:
            pairs["evaluations in all"] = self.evaluations.total(), total
        faults = [
            f"{n:,} {what} were entered, {counted:,} counted" for what, (n, counted) in pairs.items() if n != counted
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
            for name, source in ledger.sources.items():
                both.sources[name] = both.sources.get(name, Ledger()).merge(source)
        return both

    def to_dict(self) -> LedgerTable:
        """Convert to plain values, with the funnel and the total of the evaluations for readers."""
        table: LedgerTable = {
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
        if self.sources:
            table["sources"] = {name: source.to_dict() for name, source in self.sources.items()}
        return table

    @classmethod
    def from_dict(cls, values: LedgerTable) -> Ledger:
        """Read what `to_dict` wrote."""
        ledger = cls(values["samples"])
        ledger.states.update(values["states"])
        ledger.rejections.update({(row["stage"], row["reason"]): row["count"] for row in values["rejections"]})
        ledger.evaluations.update(values["evaluations"])
        ledger.sources = {name: cls.from_dict(table) for name, table in values.get("sources", {}).items()}
        return ledger


def _value(member: State | Stage | str) -> str:
    return member.value if isinstance(member, State | Stage) else member
