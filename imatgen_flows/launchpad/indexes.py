"""Hash maps behind the indexes, so that a search for equal values need not scan every document."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from itertools import product
from types import NoneType
from typing import Any

from bson import ObjectId, encode

from imatgen_flows.launchpad.errors import BAD_VALUE, NOT_IMPLEMENTED, CommandError
from imatgen_flows.launchpad.query import CODEC, Document, values_at

ID_INDEX: Document = {"v": 2, "key": {"_id": 1}, "name": "_id_", "unique": True}
STORED_FIELDS = ("key", "name", "unique", "sparse", "partialFilterExpression")  # of the definition that a client sends
SIMPLE = (str, int, float, ObjectId, datetime, bytes, NoneType)
LOOKED_UP = (str, int, float, ObjectId, datetime, bytes)  # equality of these is the same here and in a filter


class HashMap:
    """Maps each value, or combination of values, of some fields to the documents with it.

    Parameters
    ----------
    fields : dotted paths
    """

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = fields
        self._holders: dict[tuple, set[int]] = {}

    def keys(self, document: Document) -> set[tuple]:
        """Return the combinations of values in a document; more than one where a field is a list."""
        return set(product(*([_key(value) for value in values_at(field, document)] for field in self.fields)))

    def candidates(self, value: Any) -> set[int]:
        """Return the numbers of the documents that may match a value in a filter, where True equals 1."""
        found = self._holders.get((_key(value),), set())
        return found | self._holders.get((_key(bool(value)),), set()) if value in (0, 1) else found

    def sharing(self, document: Document) -> Iterator[int]:
        """Yield the numbers of the documents that have a combination of values in common with a document."""
        for key in self.keys(document):
            yield from self._holders.get(key, ())

    def add(self, number: int, document: Document) -> None:
        """Add a document."""
        for key in self.keys(document):
            self._holders.setdefault(key, set()).add(number)

    def remove(self, number: int, document: Document) -> None:
        """Remove a document."""
        for key in self.keys(document):
            left = self._holders[key]
            left.discard(number)
            if not left:
                del self._holders[key]


def _key(value: Any) -> Any:
    """Return a hashable key for a value; unlike in Python, the keys of True and 1 differ."""
    if isinstance(value, SIMPLE) and not isinstance(value, bool):
        return value
    return type(value), encode({"": value}, codec_options=CODEC)


def definition(wanted: Document) -> Document:
    """Return the definition of an index, as it is stored and listed.

    Raises
    ------
    CommandError
        Where the index is of a kind that is not supported.
    """
    if not wanted.get("key") or not wanted.get("name"):
        raise CommandError(BAD_VALUE, "an index needs a key and a name")
    special = [direction for direction in wanted["key"].values() if not isinstance(direction, int | float)]
    if set(special) - {"hashed"} or "expireAfterSeconds" in wanted:
        kind = special[0] if special else "expiring"
        raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no {kind} indexes")
    return {"v": 2, **{name: wanted[name] for name in STORED_FIELDS if wanted.get(name)}}


def needed_maps(indexes: list[Document]) -> set[tuple[str, ...]]:
    """Return the fields of the hash maps that indexes need: the first field of each, and all fields of unique ones."""
    first = {(next(iter(index["key"])),) for index in indexes}
    return first | {tuple(index["key"]) for index in indexes if index.get("unique")}


def lookups(query: Document) -> Iterator[tuple[str, list]]:
    """Yield each field of a filter that must equal one of a list of values, with the list.

    None and truth values are left out: a missing field equals the former, and 1 the latter, in some comparisons.
    """
    for name, value in query.items():
        if name == "$and":
            for part in value:
                yield from lookups(part)
            continue
        if name.startswith("$"):
            continue
        values: list = [value]
        if isinstance(value, dict):
            values = [value["$eq"]] if "$eq" in value else value.get("$in", [None])
        if isinstance(values, list) and all(_can_look_up(item) for item in values):
            yield name, values


def _can_look_up(value: Any) -> bool:
    if isinstance(value, float) and math.isnan(value):
        return False
    return isinstance(value, LOOKED_UP) and not isinstance(value, bool)
