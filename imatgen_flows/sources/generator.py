"""Candidates of the generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.matching.grouping import group_duplicates
from imatgen_flows.sources.target_cell import Limits


@dataclass(frozen=True)
class Generated:
    """A decoded, valid candidate: name of the sample, how it was drawn, its cell, and whether it decoded cleanly."""

    sample: str
    method: str
    structure: Structure
    clean: bool = False


def choose_generated(
    candidates: Sequence[Generated], limits: Limits, at_most: int, seed: int, clean_first: bool = False
) -> list[Generated]:
    """Choose at random among those within the limits, of duplicates the first only.

    All have the same chance, however often the generator repeats one; but with `clean_first` those that decoded cleanly
    come before all others. With the same seed, more of them begin with the same ones.
    """
    within = [candidate for candidate in candidates if limits.admit(candidate.structure)]
    first_of = group_duplicates([candidate.structure for candidate in within])
    unique = [candidate for index, candidate in enumerate(within) if first_of[index] == index]
    order = np.random.default_rng(seed).permutation(len(unique)).tolist()
    if clean_first:
        order.sort(key=lambda index: not unique[index].clean)
    return [unique[index] for index in order[:at_most]]
