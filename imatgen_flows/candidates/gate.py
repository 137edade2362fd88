"""The gate that candidates of all sources pass before they are relaxed: one of each structure, and none that is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pymatgen.core import Structure

from imatgen_flows.candidates.candidate import rejection
from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.novelty import NoveltyClassifier
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.matching.grouping import group_duplicates, primitive_cells


def keep_unique(
    candidates: Sequence[tuple[str, str]],
    structures: Mapping[str, Structure],
    classifier: NoveltyClassifier,
    workers: int = 1,
    kept: Collection[Novelty] = (Novelty.NEW,),
) -> list[Row]:
    """Keep the first of equal candidates, and of these the ones that match nothing known.

    Parameters
    ----------
    candidates : sample and id of valid ones, in the order of their right to stay
    structures : of these, by sample
    classifier : of what is known, and of what was found before
    workers : processes
    kept : classes that pass

    Returns
    -------
    for each candidate its novelty, and its state: unique, or rejected with what it matches
    """
    cells = primitive_cells([structures[sample] for sample, _ in candidates], workers)
    first_of = group_duplicates(cells, workers=workers)
    firsts = [index for index, first in enumerate(first_of) if first == index]
    classes = dict(zip(firsts, classifier.classify_all([cells[index] for index in firsts], workers), strict=True))
    rows: list[Row] = []
    for index, (sample, _) in enumerate(candidates):
        if index not in classes:
            first, first_id = candidates[first_of[index]]
            found: Row = {"novelty": Novelty.DUPLICATE.value, "novelty_match": first_id}
            found |= rejection(Stage.UNIQUENESS, Novelty.DUPLICATE.value, f"same as {first}")
        else:
            novelty, match, rms = classes[index]
            found = {"novelty": novelty.value, "novelty_match": match, "state": State.UNIQUE.value}
            if novelty not in kept:
                found |= rejection(Stage.UNIQUENESS, novelty.value, f"matches {match} (rms {rms:.3f})")
        found["sample"] = sample
        rows.append(found)
    return rows
