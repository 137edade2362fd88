"""Limits of a search: which compositions and cells lie in its space."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

from pymatgen.core import Composition, Structure

from imatgen_flows.sources.search import SearchSpace

LARGEST_LISTED = 30  # sites; the contents of five elements in so many are 24,000, and larger cells always have some
REACH = 2  # atoms of each element that may be added or removed until a composition is permitted


def fits_cell(space: SearchSpace, structure: Structure) -> bool:
    """Whether a primitive Niggli cell has no more sites and no longer an edge than the space; it may have fewer sites."""
    return len(structure) <= space.max_sites and max(structure.lattice.abc) <= space.max_edge


def permitted_sizes(space: SearchSpace) -> list[int]:
    """List the numbers of sites of which some contents of a cell are looked for, up to 30 sites.

    Examples
    --------
    >>> permitted_sizes(SearchSpace(("Na", "Cl"), max_sites=9, charge="reject"))
    [2, 4, 6, 8]
    """
    sizes = range(space.min_sites, min(space.max_sites, LARGEST_LISTED) + 1)
    return [size for size in sizes if any(space.permits(contents) for contents in _contents_of(space, size))]


def nearest_permitted(space: SearchSpace, counts: tuple[int, ...]) -> tuple[int, ...] | None:
    """Find the contents of a cell that are looked for, and that the fewest atoms have to be added or removed for.

    Parameters
    ----------
    space : whose elements give the order of the counts
    counts : atoms of each element; zeros are possible

    Returns
    -------
    Atoms of each element, at least one of each; None where none is near. Of equally near ones the most similar in size
    comes first.
    """

    def changes(target: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
        differences = [abs(a - b) for a, b in zip(target, counts, strict=True)]
        return sum(differences), abs(sum(target) - sum(counts)), target

    possible = (target for target in _contents(space, counts) if space.min_sites <= sum(target) <= space.max_sites)
    for target in sorted(possible, key=changes):
        if space.permits(Composition(dict(zip(space.elements, target, strict=True)))):
            return target
    return None


def _contents_of(space: SearchSpace, size: int) -> Iterator[Composition]:
    """Yield the contents of cells of some sites that hold each element."""
    for cuts in combinations(range(1, size), len(space.elements) - 1):
        counts = (end - begin for begin, end in zip((0, *cuts), (*cuts, size), strict=True))
        yield Composition(dict(zip(space.elements, counts, strict=True)))


def _contents(space: SearchSpace, counts: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield contents of cells near some; where formulas are looked for, all of their cells."""
    if targets := space.targets():
        yield from (tuple(round(target[symbol]) for symbol in space.elements) for target in targets)
    else:
        yield from product(*(range(max(1, n - REACH), n + REACH + 1) for n in counts))
