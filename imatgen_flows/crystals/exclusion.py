"""The record of a crystal that was excluded, with the reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exclusion:
    """A crystal that did not become a template or a training structure.

    Attributes
    ----------
    id : of the crystal
    reason : machine-readable, to count by
    detail : for people: the number that decided, with its unit and its limit
    """

    id: str
    reason: str
    detail: str
