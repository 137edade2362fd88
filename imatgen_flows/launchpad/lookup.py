"""Lookup: which documents a search reads, and in which order; by the index that leaves the fewest, or that is sorted."""

from __future__ import annotations

from collections.abc import Iterator

from imatgen_flows.launchpad.indexes import Index
from imatgen_flows.launchpad.plans import IndexPlan, plans
from imatgen_flows.launchpad.query import Document
from imatgen_flows.launchpad.snapshots import members, scan, walk
from imatgen_flows.launchpad.storage import Storage

FEW = 1_000  # documents that are sorted rather than found in the order of another index


def reading_order(
    storage: Storage, collection: int, last: int, indexes: list[Index], query: Document, sort: Document
) -> tuple[Iterator[int], bool]:
    """Return the numbers of the documents that may match, and whether they are in the order of a sort.

    Parameters
    ----------
    collection, last : the numbers of the collection, and of its last document
    """
    natural = sort.get("$natural") if next(iter(sort), "") == "$natural" else None
    if natural:
        numbers, _ = reading_order(storage, collection, last, indexes, query, {})
        return (iter(list(numbers)[::-1]) if natural < 0 else numbers), True
    found = plans(indexes, query)
    best, size = _smallest(storage, [plan for plan in found if plan.bound])
    if sort and (best is None or size >= FEW or best.sorts(sort)):
        sorting = [plan for plan in found if plan.sorts(sort)]
        if sorting:
            plan = next((plan for plan in sorting if plan is best), sorting[0])
            return walk(storage, plan, plan.sorts(sort), None if plan is best else best), True
    if best:
        return iter(sorted(members(storage, best))), not sort
    return scan(storage, collection, last), not sort


def _smallest(storage: Storage, found: list[IndexPlan]) -> tuple[IndexPlan | None, int]:
    """Return the plan with the fewest entries, and their number, counted up to `FEW`."""
    if len(found) == 1 and found[0].index.unique and found[0].equal == len(found[0].index.fields):
        return found[0], 1
    best, fewest = None, FEW + 1
    for plan in found:
        size = 0
        for limits in plan.ranges:
            size += storage.count_entries(plan.index.number, *limits, FEW - size)
            if size >= fewest or size >= FEW:
                break
        if size < fewest:
            best, fewest = plan, size
    return best, fewest
