"""Collection: documents and indexes in memory, and the operations that MongoDB's commands consist of.

A stored document is never changed, only replaced, so that one that was returned earlier stays as it was. Each change is
written to the storage before it is made in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bson import ObjectId, encode

from imatgen_flows.launchpad.errors import (
    FAILED_TO_PARSE,
    IMMUTABLE_FIELD,
    INDEX_CONFLICT,
    INDEX_NOT_FOUND,
    TOO_LARGE,
    CommandError,
    duplicate_key,
)
from imatgen_flows.launchpad.indexes import ID_INDEX, HashMap, definition, lookups, needed_maps
from imatgen_flows.launchpad.query import (
    CODEC,
    Document,
    compiled,
    is_replacement,
    matches,
    order,
    seed,
    updated,
    values_at,
)
from imatgen_flows.launchpad.storage import Storage, StoredCollection

MAX_DOCUMENT = 16 * 1024**2  # bytes, as MongoDB


@dataclass
class Updated:
    """The result of an update.

    Attributes
    ----------
    before, after : the last document that was found, before and after the update; None where there was none
    upserted : whether `after` is new
    """

    matched: int = 0
    modified: int = 0
    before: Document | None = None
    after: Document | None = None
    upserted: bool = False


class Collection:
    """The documents of one collection, by their numbers in the storage.

    Parameters
    ----------
    number : of the collection in the storage
    """

    def __init__(self, number: int, database: str, name: str, storage: Storage) -> None:
        self.number, self.database, self.name = number, database, name
        self.indexes = {"_id_": ID_INDEX}
        self._storage = storage
        self._documents: dict[int, Document] = {}
        self._maps: dict[tuple[str, ...], HashMap] = {("_id",): HashMap(("_id",))}

    def __len__(self) -> int:
        return len(self._documents)

    @property
    def namespace(self) -> str:
        """The full name, `database.collection`."""
        return f"{self.database}.{self.name}"

    def save(self) -> None:
        """Write the name and the indexes to the storage."""
        indexes = encode({"indexes": list(self.indexes.values())}, codec_options=CODEC)
        self._storage.put_collection(StoredCollection(self.number, self.database, self.name, indexes))

    def restore(self, number: int, document: Document) -> None:
        """Add a document that was read from the storage."""
        self._documents[number] = document
        for hash_map in self._maps.values():
            hash_map.add(number, document)

    def restore_indexes(self, indexes: list[Document]) -> None:
        """Set the indexes that were read from the storage; before the documents are added."""
        self.indexes = {index["name"]: index for index in indexes}
        self._adapt_maps()

    def find(self, query: Document, sort: Document | None = None, limit: int = 0) -> list[Document]:
        """Find documents, by default in the order of their insertion. The caller must not change them.

        Parameters
        ----------
        limit : 0 for all
        """
        return [self._documents[number] for number in self._find_numbers(query, sort, limit)]

    def insert(self, document: Document) -> Document:
        """Insert a document, with an `_id` if it has none.

        Raises
        ------
        CommandError
            Where a unique value is taken, or the document is too large.
        """
        document = {"_id": document["_id"] if "_id" in document else ObjectId(), **document}
        self._refuse_duplicates(document)
        number = self._storage.insert(self.number, _body(document))
        self.restore(number, document)
        return document

    def update(
        self,
        query: Document,
        change: Any,
        *,
        many: bool = False,
        upsert: bool = False,
        sort: Document | None = None,
        array_filters: list | None = None,
    ) -> Updated:
        """Change the matching documents, or insert the one that filter and change define.

        Raises
        ------
        CommandError
            Where a document would get another `_id`, a value that is taken, or become too large.
        """
        if many and is_replacement(change):
            raise CommandError(FAILED_TO_PARSE, "many documents cannot be replaced by one")
        done = Updated()
        for number in self._find_numbers(query, sort, 0 if many else 1):
            done.before = self._documents[number]
            done.after = updated(done.before, query, change, array_filters)
            done.matched += 1
            done.modified += self._replace(number, done.before, done.after)
        if upsert and not done.matched:
            done.after = self.insert(updated(seed(query), query, change, array_filters, inserting=True))
            done.upserted = True
        return done

    def delete(self, query: Document, limit: int = 0, sort: Document | None = None) -> list[Document]:
        """Delete the matching documents and return them."""
        deleted = []
        for number in self._find_numbers(query, sort, limit):
            self._storage.delete(number)
            document = self._documents.pop(number)
            for hash_map in self._maps.values():
                hash_map.remove(number, document)
            deleted.append(document)
        return deleted

    def create_index(self, wanted: Document) -> None:
        """Add an index; nothing happens where it exists.

        Raises
        ------
        CommandError
            Where its name is taken by another, its kind is unknown, or documents break its uniqueness.
        """
        index = definition(wanted)
        existing = self.indexes.get(index["name"])
        if index["key"] == ID_INDEX["key"] or existing == index:
            return
        if existing:
            raise CommandError(INDEX_CONFLICT, f"index `{index['name']}` exists already, and is another one")
        self.indexes[index["name"]] = index
        self._adapt_maps()
        try:
            if index.get("unique"):
                for number, document in self._documents.items():
                    self._refuse_duplicate(index, document, number)
        except CommandError:
            self._remove_index(index["name"])
            raise
        self.save()

    def drop_index(self, name: str) -> None:
        """Remove an index by its name.

        Raises
        ------
        CommandError
            Where there is none.
        """
        if name not in self.indexes or name == "_id_":
            raise CommandError(INDEX_NOT_FOUND, f"no index `{name}` to drop in {self.namespace}")
        self._remove_index(name)
        self.save()

    def _remove_index(self, name: str) -> None:
        del self.indexes[name]
        self._adapt_maps()

    def _adapt_maps(self) -> None:
        """Build the hash maps that the indexes need, and remove others."""
        maps = {}
        for fields in needed_maps(list(self.indexes.values())):
            maps[fields] = self._maps.get(fields) or self._filled(HashMap(fields))
        self._maps = maps

    def _filled(self, hash_map: HashMap) -> HashMap:
        for number, document in self._documents.items():
            hash_map.add(number, document)
        return hash_map

    def _find_numbers(self, query: Document, sort: Document | None, limit: int) -> list[int]:
        matching = compiled(query)
        found = (number for number in self._candidates(query) if matching(self._documents[number]))
        if not sort:
            return [number for number, _ in zip(found, range(limit), strict=False)] if limit else list(found)
        numbers = list(found)
        positions = order([self._documents[number] for number in numbers], sort)
        return [numbers[position] for position in positions[: limit or None]]

    def _candidates(self, query: Document) -> Iterable[int]:
        """Return the numbers of the documents that may match, from the hash map that gives the fewest."""
        fewest: set[int] | None = None
        for field, values in lookups(query):
            hash_map = self._maps.get((field,))
            if hash_map:
                held = set().union(*(hash_map.candidates(value) for value in values))
                fewest = held if fewest is None or len(held) < len(fewest) else fewest
        return list(self._documents) if fewest is None else sorted(fewest)

    def _replace(self, number: int, old: Document, new: Document) -> bool:
        body = _body(new)
        if body == _body(old):  # 1, 1.0 and True differ
            return False
        if new.get("_id") != old["_id"]:
            raise CommandError(IMMUTABLE_FIELD, f"the `_id` of a document cannot change, here {old['_id']!r}")
        self._refuse_duplicates(new, number)
        self._storage.replace(number, body)
        for hash_map in self._maps.values():
            hash_map.remove(number, old)
        self.restore(number, new)
        return True

    def _refuse_duplicates(self, document: Document, number: int = 0) -> None:
        for index in self.indexes.values():
            if index.get("unique"):
                self._refuse_duplicate(index, document, number)

    def _refuse_duplicate(self, index: Document, document: Document, number: int) -> None:
        """Raise CommandError where another document has the same values in a unique index."""
        if not _is_indexed(document, index):
            return
        for other in self._maps[tuple(index["key"])].sharing(document):
            if other != number and _is_indexed(self._documents[other], index):
                values = {field: next(iter(values_at(field, document)), None) for field in index["key"]}
                raise duplicate_key(self.namespace, index["name"], index["key"], values)


def _is_indexed(document: Document, index: Document) -> bool:
    """Whether an index contains a document; only sparse and partial ones leave documents out."""
    if index.get("sparse") and all(value is None for value in _first_values(document, index)):
        return False
    return matches(index.get("partialFilterExpression", {}), document)


def _first_values(document: Document, index: Document) -> Iterator[Any]:
    for field in index["key"]:
        yield from values_at(field, document)


def _body(document: Document) -> bytes:
    body = encode(document, codec_options=CODEC)
    if len(body) > MAX_DOCUMENT:
        raise CommandError(
            TOO_LARGE, f"a document of {len(body):,} bytes is too large: {MAX_DOCUMENT:,} bytes are the limit"
        )
    return body
