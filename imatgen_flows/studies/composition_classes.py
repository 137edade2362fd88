"""Whether the compositions of samples are published, in the dataset, both or neither (paper, Table 2 and Figure S11)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from enum import Enum


class CompositionClass(str, Enum):
    """Where a composition was seen before."""

    BOTH = "known_and_dataset"
    KNOWN = "known"
    DATASET = "dataset"
    NEW = "new"


def count_classes(
    formulas: Iterable[str], known: Collection[str], dataset: Collection[str]
) -> dict[CompositionClass, Counter[str]]:
    """Count structures by where their composition was seen before, and by composition.

    It is the composition that is known or new here, whatever the structure.

    Parameters
    ----------
    formulas : reduced ones, of the structures that are counted
    known : reduced formulas of the published phases, whether or not the images can hold them
    dataset : reduced formulas of the training structures, known ones among them included

    Returns
    -------
    structures of each composition, by class; a class's structures are its ``total()``, its compositions its ``len()``
    """
    known, dataset = frozenset(known), frozenset(dataset)
    classes = {
        (True, True): CompositionClass.BOTH,
        (True, False): CompositionClass.KNOWN,
        (False, True): CompositionClass.DATASET,
        (False, False): CompositionClass.NEW,
    }
    counts: dict[CompositionClass, Counter[str]] = {each: Counter() for each in CompositionClass}
    for formula in formulas:
        counts[classes[formula in known, formula in dataset]][formula] += 1
    return counts
