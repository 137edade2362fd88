"""Structures of another program as a source."""

from __future__ import annotations

from imatgen_flows.sources.search import Candidate, SearchContext


def propose_given(context: SearchContext, number: int, seed: int) -> list[Candidate]:
    """Propose structures that were read from files, in their order; none twice.

    Parameters
    ----------
    context : with the structures
    number : that are wanted
    seed : decides nothing here
    """
    waiting = [(name, structure) for name, structure in context.given.items() if name not in context.taken]
    return [Candidate(structure, parents=(name,)) for name, structure in waiting[:number]]
