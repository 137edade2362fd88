"""What may be called new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan

from pymatgen.core import Structure

from imatgen_flows.matching.grouping import StructureIndex, primitive_cells
from imatgen_flows.matching.structure_matcher import PrimitiveCell
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


class NoveltyClassifier:
    """Tell new structures from what is known and from what plain substitution gives.

    Duplicates within a round are for `group_duplicates` to find; the judge compares nothing with what it judges beside it.

    Parameters
    ----------
    known : published phases, by id
    substituted : substituted structures, by id: as made and, where there are any, as relaxed
    found : what earlier rounds of the campaign relaxed, by id
    ltol, stol, angle_tol : as in `StructureIndex`
    """

    def __init__(
        self,
        known: Mapping[str, Structure],
        substituted: Mapping[str, Structure],
        ltol: float = 0.2,
        stol: float = 0.3,
        angle_tol: float = 5,
        found: Mapping[str, Structure] | None = None,
    ) -> None:
        self._indices = {
            novelty: StructureIndex[str](structures.items(), ltol, stol, angle_tol)
            for novelty, structures in (
                (Novelty.KNOWN, known),
                (Novelty.SUBSTITUTED, substituted),
                (Novelty.DUPLICATE, found or {}),
            )
        }

    def classify(self, structure: Structure | PrimitiveCell) -> tuple[Novelty, str, float]:
        """Say what a structure is; what is both known and a substituted structure is known.

        Returns
        -------
        class, id of what it matches (empty if new), and the root mean square displacement from that in units of
        (volume per atom)^(1/3) (NaN if new)
        """
        return self.classify_all([structure])[0]

    def classify_all(
        self, structures: Sequence[Structure | PrimitiveCell], workers: int = 1
    ) -> list[tuple[Novelty, str, float]]:
        """Say of many structures what `classify` says of one, in several processes."""
        cells = primitive_cells(structures, workers)
        verdicts = [(Novelty.NEW, "", nan)] * len(cells)
        unknown = list(range(len(cells)))
        for novelty, index in self._indices.items():
            matches = index.find_matches([cells[number] for number in unknown], workers)
            for number, match in zip(unknown, matches, strict=True):
                if match is not None:
                    verdicts[number] = (novelty, *match)
            unknown = [number for number, match in zip(unknown, matches, strict=True) if match is None]
        return verdicts
