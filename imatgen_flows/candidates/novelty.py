"""Classification of crystals by novelty: duplicate, known, reached by substitution, or new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any, cast

from pymatgen.core import Structure

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import State
from imatgen_flows.matching.grouping import StructureIndex, group_duplicates, primitive_cells
from imatgen_flows.matching.structure_matcher import PrimitiveCell

# tolerances of the matcher by which two unrelaxed crystals resemble each other enough to relax to the same, more often than
# others do: measured on V-O candidates, notebook/2026-11-29-basins.md
RESEMBLANCE = {"ltol": 0.3, "stol": 0.5, "angle_tol": 10}


class NoveltyClassifier:
    """Classify structures by comparison with known phases, substituted structures and earlier finds.

    Structures that are classified together are not compared with each other: `group_duplicates` finds duplicates among
    them.

    Parameters
    ----------
    known : published phases, by id
    substituted : substituted structures, by id: as made and, where there are any, as relaxed
    found : structures that earlier rounds of the campaign relaxed, by id
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

    def add_found(self, name: str, structure: Structure) -> None:
        """Count a structure as found before from now on."""
        self._indices[Novelty.DUPLICATE].add(name, structure)

    def classify(self, structure: Structure | PrimitiveCell) -> tuple[Novelty, str, float]:
        """Classify one structure; one that matches both a known phase and a substituted structure is known.

        Returns
        -------
        class, id of the structure that it matches (empty if new), and the root mean square displacement of the atoms from
        that in units of (volume per atom)^(1/3) (NaN if new)
        """
        return self.classify_all([structure])[0]

    def classify_all(
        self, structures: Sequence[Structure | PrimitiveCell], workers: int = 1
    ) -> list[tuple[Novelty, str, float]]:
        """Classify many structures as `classify` does one, in several processes."""
        cells = primitive_cells(structures, workers)
        classes = [(Novelty.NEW, "", nan)] * len(cells)
        unknown = list(range(len(cells)))
        for novelty, index in self._indices.items():
            matches = index.find_matches([cells[number] for number in unknown], workers)
            for number, match in zip(unknown, matches, strict=True):
                if match is not None:
                    classes[number] = (novelty, *match)
            unknown = [number for number, match in zip(unknown, matches, strict=True) if match is None]
        return classes


def classify_relaxed(
    structures: Sequence[Structure],
    names: Sequence[str],
    classifier: NoveltyClassifier,
    tolerances: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Write the novelty of relaxed structures; of several equal ones, each after the first is a duplicate of that.

    Parameters
    ----------
    structures : lowest E_hull first
    names : that a duplicate of each is said to match
    classifier : of what is known besides
    tolerances : by which the structures are compared with each other; the classifier has its own
    """
    found: list[Row] = []
    for index, first in enumerate(group_duplicates(structures, **(tolerances or {}))):
        if first != index:
            found.append({"novelty": Novelty.DUPLICATE.value, "novelty_match": names[first]})
            continue
        novelty, match, _ = classifier.classify(structures[index])
        found.append({"novelty": novelty.value, "novelty_match": match})
    return found


def shortlist_relaxed(
    rows: Mapping[str, Row],
    structures: Mapping[str, Structure],
    names: Mapping[str, str],
    classifier: NoveltyClassifier,
    threshold: float,
) -> None:
    """Add the novelty of relaxed candidates to their rows, and shortlist the new ones near the hull.

    Parameters
    ----------
    rows : of all candidates by sample; those of the relaxed ones have an E_hull, and are changed
    structures : relaxed, by sample
    names : that a duplicate of a candidate is said to match, by sample
    classifier : of what is known besides
    threshold : largest E_hull of the shortlist, eV/atom
    """
    lowest_first = sorted(structures, key=lambda sample: cast("float", rows[sample]["e_above_hull"]))
    found = classify_relaxed(
        [structures[sample] for sample in lowest_first], [names[sample] for sample in lowest_first], classifier
    )
    for sample, novelty in zip(lowest_first, found, strict=True):
        row = rows[sample]
        row |= novelty
        if novelty["novelty"] == Novelty.NEW and cast("float", row["e_above_hull"]) <= threshold:
            row["state"] = State.SHORTLISTED.value
