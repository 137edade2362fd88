"""Novelty classes of a candidate: whether it is known, and whether substitution alone would give it."""

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
