"""Plain substitution: what a dataset of substituted templates already holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.sources.target_cell import Proposal, TargetCell


def propose_substituted(
    targets: Sequence[TargetCell], crystals: Mapping[str, Structure], seed: int
) -> list[Proposal | None]:
    """Fill each target with a structure of the same cell formula, chosen at random; none is taken twice.

    Where those have run out, one of the same stratum (composition class and class of size) stands in, and the proposal
    is not `as_asked`.

    Parameters
    ----------
    targets : what is asked for
    crystals : substituted structures, by name
    seed : of the choice

    Returns
    -------
    one proposal a target; None where the stratum has run out too
    """
    names = list(crystals)
    order = [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
    cells = {name: TargetCell.of(crystals[name]) for name in order}
    found: list[Proposal | None] = [None] * len(targets)
    used: set[str] = set()

    def fill(key: Callable[[TargetCell], Hashable], as_asked: bool) -> None:
        waiting = defaultdict(list)
        for name in reversed(order):
            if name not in used:
                waiting[key(cells[name])].append(name)
        for index, target in enumerate(targets):
            if found[index] is None and waiting[key(target)]:
                name = waiting[key(target)].pop()
                used.add(name)
                found[index] = Proposal(name, crystals[name], as_asked)

    fill(lambda target: target.atoms, as_asked=True)
    fill(
        lambda target: (target.ratio_class, target.size_class), as_asked=False
    )  # after all targets that have their like
    return found
