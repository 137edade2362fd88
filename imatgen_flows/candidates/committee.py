"""The verdict of a committee of potentials on a candidate, each of which places it on a hull of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from imatgen_flows.candidates.classes import CommitteeVerdict
from imatgen_flows.candidates.schema import Row

# rank of a verdict where candidates are chosen; one that was not asked for is as good as an undecided one
RANK = {
    CommitteeVerdict.AGREED.value: 0,
    CommitteeVerdict.DISPUTED.value: 1,
    CommitteeVerdict.UNDECIDED.value: 2,
    "": 2,
    CommitteeVerdict.REFUSED.value: 3,
}


OTHER_STRUCTURE = "relaxed to another structure"  # detail of a vote, which then is on that one


@dataclass(frozen=True)
class Vote:
    """What one potential says of one candidate.

    Parameters
    ----------
    potential : its name
    e_above_hull : on the hull of this potential, eV/atom; None where it has lost its vote
    detail : why it has, or what must be known of the number; empty where there is nothing to say
    """

    potential: str
    e_above_hull: float | None
    detail: str = ""

    def __str__(self) -> str:
        value = "no vote" if self.e_above_hull is None else f"{self.e_above_hull:.3f}"
        return f"{self.potential}: {value}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class CommitteeDecision:
    """The verdict on one candidate.

    Parameters
    ----------
    verdict : of those that voted
    votes : of all members, the first of them the potential that the campaign relaxes with
    """

    verdict: CommitteeVerdict
    votes: tuple[Vote, ...]

    @property
    def values(self) -> list[float]:
        """E_hull of those that voted, eV/atom."""
        return [vote.e_above_hull for vote in self.votes if vote.e_above_hull is not None]

    @property
    def mean(self) -> float | None:
        """Mean E_hull, eV/atom; None where fewer than two voted."""
        return sum(self.values) / len(self.values) if len(self.values) > 1 else None

    @property
    def spread(self) -> float | None:
        """Largest less smallest E_hull, eV/atom; None where fewer than two voted."""
        return max(self.values) - min(self.values) if len(self.values) > 1 else None

    def to_row(self) -> Row:
        """Write it as columns of the candidate table."""
        return {
            "committee": self.verdict.value,
            "committee_mean": self.mean,
            "committee_spread": self.spread,
            "committee_votes": [str(vote) for vote in self.votes],
        }


def decide(votes: Sequence[Vote], threshold: float) -> CommitteeDecision:
    """Take the votes on one candidate.

    The committee agrees where every potential places the candidate within the threshold of its own hull. It refuses where
    the mean of their distances lies above the threshold. Between these it is disputed. One vote alone decides nothing.

    Parameters
    ----------
    votes : of all members
    threshold : largest E_hull of a candidate that is worth a calculation, eV/atom

    Examples
    --------
    >>> decide([Vote("chgnet", 0.02), Vote("sevennet", 0.06)], 0.1).verdict.value
    'agreed'
    >>> decide([Vote("chgnet", 0.02), Vote("sevennet", 0.14)], 0.1).verdict.value
    'disputed'
    >>> decide([Vote("chgnet", 0.02), Vote("sevennet", 0.4)], 0.1).verdict.value
    'refused'
    >>> decide([Vote("chgnet", 0.02), Vote("sevennet", None, "crashed")], 0.1).verdict.value
    'undecided'
    """
    cast_votes = [vote.e_above_hull for vote in votes if vote.e_above_hull is not None]
    if len(cast_votes) < 2:
        verdict = CommitteeVerdict.UNDECIDED
    elif max(cast_votes) <= threshold:
        verdict = CommitteeVerdict.AGREED
    elif sum(cast_votes) / len(cast_votes) > threshold:
        verdict = CommitteeVerdict.REFUSED
    else:
        verdict = CommitteeVerdict.DISPUTED
    return CommitteeDecision(verdict, tuple(votes))


def most_trusted_first(row: Row) -> tuple[int, float, str]:
    """Sort key of shortlisted candidates: those on which the committee agrees first, each group lowest E_hull first.

    Parameters
    ----------
    row : with `sample`, `e_above_hull` and `committee`, which is empty where no committee was asked
    """
    return RANK[str(row.get("committee") or "")], cast("float", row["e_above_hull"]), str(row["sample"])
