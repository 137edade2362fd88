"""Classes of a candidate: its novelty, the verdict of a committee of potentials on it, and selections by these."""

from __future__ import annotations

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
    """Which relaxed candidates are exported."""

    NEW = "new", "New", "New ones."
    AGREED = "agreed", "Agreed", "New ones that the committee agrees on."
    STABLE = "stable", "Dynamically stable", "New ones without imaginary phonons."
    AGREED_STABLE = "agreed-stable", "Agreed and dynamically stable", "New ones with both."
    ALL = "all", "All", "Every relaxed candidate."

    @property
    def conditions(self) -> dict[str, object]:
        """What the columns of a candidate must hold."""
        conditions: dict[str, object] = {} if self is Selection.ALL else {"novelty": Novelty.NEW.value}
        if self in (Selection.AGREED, Selection.AGREED_STABLE):
            conditions["committee"] = CommitteeVerdict.AGREED.value
        if self in (Selection.STABLE, Selection.AGREED_STABLE):
            conditions["dynamically_stable"] = True
        return conditions
