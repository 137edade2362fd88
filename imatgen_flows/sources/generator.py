"""The generator as a source: decoded samples of the trained networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imatgen_flows.matching.grouping import group_duplicates
from imatgen_flows.sources.proposal import Generated, Proposal, SourceContext
from imatgen_flows.sources.target_cell import CellRange, TargetCell


def propose_generated(targets: Sequence[TargetCell], context: SourceContext, seed: int) -> list[Proposal | None]:
    """Propose the generated candidates themselves; the targets are their cells, in the same order."""
    return [
        Proposal(candidate.sample, candidate.structure, TargetCell.of(candidate.structure) == target)
        for target, candidate in zip(targets, context.generated, strict=True)
    ]


def choose_generated(
    candidates: Sequence[Generated], cell_range: CellRange, at_most: int, seed: int, clean_first: bool = False
) -> list[Generated]:
    """Choose candidates at random among those within the range, of duplicates the first only.

    All have the same chance, however often the generator repeats one; but with `clean_first` those that decoded cleanly
    come before all others. With the same seed, a larger choice begins with the smaller one.
    """
    within = [candidate for candidate in candidates if cell_range.admit(candidate.structure)]
    first_of = group_duplicates([candidate.structure for candidate in within])
    unique = [candidate for index, candidate in enumerate(within) if first_of[index] == index]
    order = np.random.default_rng(seed).permutation(len(unique)).tolist()
    if clean_first:
        order.sort(key=lambda index: not unique[index].clean)
    return [unique[index] for index in order[:at_most]]
