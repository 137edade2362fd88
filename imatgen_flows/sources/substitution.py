"""Plain substitution as a source: structures that a dataset of substituted templates already holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from imatgen_flows.sources.proposal import Proposal, SourceContext
from imatgen_flows.sources.search import Candidate, SearchContext
from imatgen_flows.sources.target_cell import TargetCell


def propose_lowest(context: SearchContext, number: int, seed: int) -> list[Candidate]:
    """Propose structures of the dataset as they are, lowest unrelaxed energy above the hull first; none twice.

    Parameters
    ----------
    context : with the dataset and its energies
    number : that are wanted
    seed : decides nothing here
    """
    found: list[Candidate] = []
    for name in lowest_first(context):
        if len(found) == number:
            break
        if name not in context.taken:
            found.append(Candidate(context.dataset[name], parents=(name,)))
    return found


def lowest_first(context: SearchContext) -> list[str]:
    """List the structures of the dataset that are looked for and have an energy, the lowest first."""
    names = sorted(context.energies.keys() & context.dataset.keys(), key=lambda name: (context.energies[name], name))
    return [name for name in names if context.space.is_wanted(context.dataset[name])]


def propose_substituted(targets: Sequence[TargetCell], context: SourceContext, seed: int) -> list[Proposal | None]:
    """Fill each target with a substituted structure of the same cell formula, chosen at random; none is taken twice.

    Where those run out, a structure of the same stratum (composition class and size class) is proposed, which is not
    `as_asked`.

    Parameters
    ----------
    targets : cells to be filled
    context : with the substituted structures
    seed : of the choice

    Returns
    -------
    one proposal a target; None where the stratum has run out too
    """
    crystals = context.substituted
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

    fill(lambda cell: cell.atoms, as_asked=True)  # for all targets, before any structure stands in for another formula
    fill(lambda cell: (cell.ratio_class, cell.size_class), as_asked=False)
    return found
