"""The order of documents by the values at some paths."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from bson import Int64, ObjectId

from imatgen_flows.launchpad.errors import BAD_SORT, BAD_SORT_KEY, BAD_VALUE, NOT_IMPLEMENTED, CommandError
from imatgen_flows.launchpad.ordering import EMPTY_ARRAY, NULL, invert, key
from imatgen_flows.launchpad.query.documents import MISSING, Document, is_number
from imatgen_flows.launchpad.query.paths import leaves

# values whose types are all in one of these sets are compared as Python compares them
ORDERED = ({int, Int64}, {str}, {datetime}, {ObjectId})


def check_sort(sort: Any) -> None:
    """Raise CommandError where a sort is malformed."""
    for path, direction in sort.items():
        if isinstance(direction, dict):
            raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad cannot sort by {direction!r}")
        if not is_number(direction):
            raise CommandError(BAD_SORT, f"Illegal key in $sort specification: {path}: {direction!r}")
        if direction not in (1, -1):
            raise CommandError(
                BAD_SORT_KEY, f"$sort key ordering of `{path}` must be 1 (for ascending) or -1 (for descending)"
            )


def order(documents: list[Document], sort: Document) -> list[int]:
    """Return the positions of documents in the order of a sort by dotted paths, each ascending (1) or descending (-1).

    An array counts as its smallest element where the order is ascending, as its largest where it is descending.

    Raises
    ------
    CommandError
        Where the sort is malformed.
    """
    check_sort(sort)
    positions = list(range(len(documents)))
    for path, direction in reversed(sort.items()):
        if path == "$natural":
            positions = positions[:: int(direction)]
            continue
        keys = _sort_keys(documents, path, direction < 0)
        positions.sort(key=keys.__getitem__, reverse=direction < 0)
    return positions


def sorted_array(array: list, sort: Any) -> list:
    """Sort an array by its elements (1 or -1), or by fields of the documents in it.

    Raises
    ------
    CommandError
        Where the sort is malformed.
    """
    by_fields = isinstance(sort, dict)
    if not by_fields and sort not in (1, -1):
        raise CommandError(
            BAD_VALUE, "The $sort is invalid: use 1/-1 to sort the whole element, or {field:1/-1} for fields"
        )
    if not by_fields:
        return sorted(array, key=key, reverse=sort == -1)
    check_sort(sort)
    return [array[position] for position in order([item if isinstance(item, dict) else {} for item in array], sort)]


def sort_key(sort: Document) -> Callable[[Document], bytes]:
    """Return the function that gives a document's key: documents are sorted by the order of these bytes."""
    check_sort(sort)
    paths = [(path.split("."), direction < 0) for path, direction in sort.items()]

    def joined(document: Document) -> bytes:
        keys = (((max if descending else min)(values_keys(document, parts)), descending) for parts, descending in paths)
        return b"".join(invert(found) if descending else found for found, descending in keys)

    return joined


def _sort_keys(documents: list[Document], path: str, descending: bool) -> list[Any]:
    parts = path.split(".")
    if len(parts) == 1:  # several times as fast as the general comparison
        values = [document.get(path) for document in documents]
        types = set(map(type, values))
        if any(types <= kind for kind in ORDERED):
            return values
    return [(max if descending else min)(values_keys(document, parts)) for document in documents]


def values_keys(document: Document, path: list[str]) -> list[bytes]:
    """Return the keys of the values at a path: one for each element of an array, and that of null where it is missing."""
    if len(path) == 1:
        value = document.get(path[0])
        return [key(value)] if not isinstance(value, list) else list(map(key, value)) or [EMPTY_ARRAY]
    found: list[bytes] = []
    for value in leaves(document, path):
        if isinstance(value, list):
            found += map(key, value) if value else [EMPTY_ARRAY]
        else:
            found.append(NULL if value is MISSING else key(value))
    return found or [NULL]
