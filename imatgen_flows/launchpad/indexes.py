"""Which documents hold a value: hash maps behind the indexes, so that equality needs no look at every document."""

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
KEPT = ("key", "name", "unique", "sparse", "partialFilterExpression")  # of what a client says of an index
SIMPLE = (str, int, float, ObjectId, datetime, bytes, NoneType)
LOOKED_UP = (str, int, float, ObjectId, datetime, bytes)  # equality of these is the same here and in a filter


class HashMap:
    """The documents that hold each value, or combination of values, of some fields.

    Parameters
    ----------
    fields : dotted paths
    """

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = fields
        self._holders: dict[tuple, set[int]] = {}

    def keys(self, document: Document) -> set[tuple]:
        """Return the combinations that a document holds; more than one where a field is a list."""
        return set(product(*([_key(value) for value in values_at(field, document)] for field in self.fields)))

    def candidates(self, value: Any) -> set[int]:
        """Return the numbers of the documents that may equal a value in a filter: there, True is 1."""
        found = self._holders.get((_key(value),), set())
        return found | self._holders.get((_key(bool(value)),), set()) if value in (0, 1) else found

    def sharing(self, document: Document) -> Iterator[int]:
        """Yield the numbers of the documents that hold one of a document's combinations."""
        for key in self.keys(document):
            yield from self._holders.get(key, ())

    def add(self, number: int, document: Document) -> None:
        """Enter a document."""
        for key in self.keys(document):
            self._holders.setdefault(key, set()).add(number)

    def remove(self, number: int, document: Document) -> None:
        """Take a document out."""
        for key in self.keys(document):
            left = self._holders[key]
            left.discard(number)
            if not left:
                del self._holders[key]


def _key(value: Any) -> Any:
    """Return what stands for a value in a dictionary: True is not 1 there, and documents have a hash."""
    if isinstance(value, SIMPLE) and not isinstance(value, bool):
        return value
    return type(value), encode({"": value}, codec_options=CODEC)


def definition(wanted: Document) -> Document:
    """Return an index as it is stored and listed.

    Raises
    ------
    CommandError
        Where the index is of a kind that is not known here.
    """
    if not wanted.get("key") or not wanted.get("name"):
        raise CommandError(BAD_VALUE, "an index needs a key and a name")
    special = [direction for direction in wanted["key"].values() if not isinstance(direction, int | float)]
    if set(special) - {"hashed"} or "expireAfterSeconds" in wanted:
        kind = special[0] if special else "expiring"
        raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no {kind} indexes")
    return {"v": 2, **{name: wanted[name] for name in KEPT if wanted.get(name)}}


def needed_maps(indexes: list[Document]) -> set[tuple[str, ...]]:
    """Return the fields of the hash maps that indexes need: each first field alone, unique ones whole."""
    first = {(next(iter(index["key"])),) for index in indexes}
    return first | {tuple(index["key"]) for index in indexes if index.get("unique")}


def lookups(query: Document) -> Iterator[tuple[str, list]]:
    """Yield the fields of a filter that must equal one of some values, with the values.

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
