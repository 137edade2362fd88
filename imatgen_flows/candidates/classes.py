"""Classes of a candidate: its novelty, and the verdict of a committee of potentials on it."""

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
