"""What may be called new."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import nan

from pymatgen.core import Structure

from imatgen_flows.discovery.similarity import StructureIndex


class Novelty(str, Enum):
    """Class of a candidate. Claims are made for `new` only."""

    DUPLICATE = "duplicate"  # equals another candidate of the campaign
    KNOWN = "known"  # equals a published phase
    CLOSURE = "closure"  # equals a substituted structure: no generator was needed to find it
    NEW = "new"


class NoveltyJudge:
    """Tell new structures from what is known and from what plain substitution gives.

    Duplicates within a round are for `group_duplicates` to find; the judge sees one structure at a time.

    Parameters
    ----------
    known : published phases, by id
    closure : substituted structures, by id: as made and, where there are any, as relaxed
    found : what earlier rounds of the campaign relaxed, by id
    ltol, stol, angle_tol : as in `StructureIndex`
    """

    def __init__(
        self,
        known: Mapping[str, Structure],
        closure: Mapping[str, Structure],
        ltol: float = 0.2,
        stol: float = 0.3,
        angle_tol: float = 5,
        found: Mapping[str, Structure] | None = None,
    ) -> None:
        self._indices = {
            novelty: StructureIndex[str](structures.items(), ltol, stol, angle_tol)
            for novelty, structures in (
                (Novelty.KNOWN, known),
                (Novelty.CLOSURE, closure),
                (Novelty.DUPLICATE, found or {}),
            )
        }

    def classify(self, structure: Structure) -> tuple[Novelty, str, float]:
        """Say what a structure is; what is both known and a substituted structure is known.

        Returns
        -------
        class, id of what it matches (empty if new), and the root mean square displacement from that in units of
        (volume per atom)^(1/3) (NaN if new)
        """
        for novelty, index in self._indices.items():
            match = index.find_match(structure)
            if match is not None:
                return novelty, *match
        return Novelty.NEW, "", nan
