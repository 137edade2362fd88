"""Indexes: the keys under which a document is found, in the order of its values."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from bson import DBRef, decode, encode

from imatgen_flows.launchpad.errors import BAD_VALUE, NOT_IMPLEMENTED, CommandError
from imatgen_flows.launchpad.ordering import NULL, invert
from imatgen_flows.launchpad.query import CODEC, Document, matches
from imatgen_flows.launchpad.query.sorting import values_keys

ID_INDEX: Document = {"v": 2, "key": {"_id": 1}, "name": "_id_", "unique": True}
STORED_FIELDS = ("key", "name", "unique", "sparse", "partialFilterExpression")  # of the definition that a client sends


@dataclass
class Index:
    """An index of a collection.

    Attributes
    ----------
    number : of its entries in the storage
    definition : as a client sees it
    multikey : whether some document has, or had, an array in a field of the index: it may have several entries
    """

    number: int
    definition: Document
    multikey: bool = False

    def __post_init__(self) -> None:
        self.name: str = self.definition["name"]
        self.unique: bool = bool(self.definition.get("unique"))
        self.fields = [
            (path, isinstance(direction, int | float) and direction < 0)
            for path, direction in self.definition["key"].items()
        ]
        self.sparse: bool = bool(self.definition.get("sparse"))
        self.condition: Document | None = self.definition.get("partialFilterExpression")
        self._paths = [path.split(".") for path, _ in self.fields]

    def keys(self, document: Document) -> set[bytes]:
        """Return the keys of a document: none where the index leaves it out, several where a field is an array.

        The key of several fields is the keys of their values, one after the other; those of descending fields are inverted.
        """
        found = [values_keys(document, path) for path in self._paths]
        if self.sparse and all(keys == [NULL] for keys in found):
            return set()
        if self.condition is not None and not matches(self.condition, document):
            return set()
        if len(found) == 1 and not self.fields[0][1]:
            return set(found[0])
        ways = [
            [invert(one) for one in keys] if inverted else keys
            for keys, (_, inverted) in zip(found, self.fields, strict=True)
        ]
        return {b"".join(way) for way in product(*ways)}

    def has_array(self, document: Document) -> bool:
        """Whether a document has an array in a field of the index."""
        return any(_meets_array(document, path) for path in self._paths)


def _meets_array(value: Any, path: list[str]) -> bool:
    for name in path:
        if isinstance(value, DBRef):
            value = value.as_doc()
        if not isinstance(value, dict):
            break
        value = value.get(name)
    return isinstance(value, list)


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


def to_bytes(indexes: list[Index]) -> bytes:
    """Encode indexes for the storage."""
    rows = [{"number": one.number, "definition": one.definition, "multikey": one.multikey} for one in indexes]
    return encode({"indexes": rows}, codec_options=CODEC)


def from_bytes(stored: bytes) -> list[Index]:
    """Decode indexes that were stored."""
    return [Index(**row) for row in decode(stored, CODEC)["indexes"]]
