"""Classes of a candidate: its novelty, the verdict of a committee of potentials on it, and selections by these."""

from __future__ import annotations

from collections.abc import Mapping

from imatgen_flows.candidates.states import State
from imatgen_flows.registry import DescribedEnum


class Novelty(DescribedEnum):
    """Class of a candidate. Claims are made for `new` only."""

    DUPLICATE = "duplicate", "Duplicate", "It matches another candidate of the campaign."
    KNOWN = "known", "Known", "It matches a published phase."
    SUBSTITUTED = (
        "substituted",
        "Reached by substitution",
        "It matches a substituted structure; no generator was needed.",
    )
    NEW = "new", "New", "It matches none of these."


class CommitteeVerdict(DescribedEnum):
    """CommitteeVerdict of a committee of potentials on a candidate, most trusted first; see `candidates.committee`."""

    AGREED = "agreed", "Agreed", "Each potential places it within the threshold of its own hull."
    DISPUTED = "disputed", "Disputed", "Some place it above the threshold, but not the mean of all."
    UNDECIDED = "undecided", "Undecided", "Fewer than two potentials could vote."
    REFUSED = "refused", "Refused", "The mean of their distances lies above the threshold."


class Selection(DescribedEnum):
    """Which relaxed candidates are shown or exported."""

    NEW = "new", "New", "New ones."
    SHORTLIST = "shortlist", "Shortlist", "New ones within the threshold of the hull."
    AGREED = "agreed", "Agreed", "New ones that the committee agrees on."
    STABLE = "stable", "Dynamically stable", "New ones without imaginary phonons."
    AGREED_STABLE = "agreed-stable", "Agreed and dynamically stable", "New ones with both."
    ALL = "all", "All", "Every relaxed candidate."

    def takes(self, row: Mapping[str, object]) -> bool:
        """Test whether a row of the candidate table is among them.

        Examples
        --------
        >>> Selection.AGREED.takes({"novelty": "new", "committee": "disputed"})
        False
        """
        if self is Selection.ALL:
            return True
        accepted = {
            Selection.NEW: True,
            Selection.SHORTLIST: row.get("state") in (State.SHORTLISTED.value, State.VALIDATED.value),
            Selection.AGREED: row.get("committee") == CommitteeVerdict.AGREED.value,
            Selection.STABLE: row.get("dynamically_stable") is True,
        }
        accepted[Selection.AGREED_STABLE] = accepted[Selection.AGREED] and accepted[Selection.STABLE]
        return row["novelty"] == Novelty.NEW.value and accepted[self]
