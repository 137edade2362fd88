"""MongoDB's query language: filters, updates, projections, sorting and aggregation pipelines.

mongomock implements the language. Stored documents are never changed here: an update changes a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Any

import mongomock_ng
from bson import ObjectId, decode, encode
from bson.codec_options import DEFAULT_CODEC_OPTIONS, CodecOptions
from bson.datetime_ms import DatetimeConversion
from bson.int64 import Int64
from mongomock_ng import aggregate, filtering

from imatgen_flows.launchpad.errors import BAD_VALUE, FAILED_TO_PARSE, NOT_IMPLEMENTED, CommandError

Document = dict[str, Any]
Find = Callable[[str, Document], list[Document]]

# dates outside the range of Python, and UUIDs of any kind, are passed through unchanged
CODEC: CodecOptions = DEFAULT_CODEC_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
RUNS_CODE = {"$where", "$function", "$accumulator"}
WRITES = {"$out", "$merge"}
READS_ONLY = {"$group", "$count", "$sortByCount"}  # first stages that leave their input as it is
UPDATE_STAGES = {"$addFields", "$set", "$project", "$unset", "$replaceRoot", "$replaceWith"}
# values whose types are all in one of these sets are compared as Python compares them
ORDERED = ({int, float, Int64}, {str}, {datetime}, {ObjectId}, {NoneType})

matches = filtering.filter_applies


def copy(document: Document) -> Document:
    """Return a deep copy of a document."""
    return decode(encode(document, codec_options=CODEC), CODEC)


def refuse_code(query: Any) -> None:
    """Raise CommandError where a filter or a pipeline contains code to run, or a stage that writes."""
    if isinstance(query, dict):
        for name, value in query.items():
            if name in RUNS_CODE | WRITES:
                raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no `{name}`")
            refuse_code(value)
    elif isinstance(query, list):
        for value in query:
            refuse_code(value)


def values_at(path: str, document: Document) -> Iterator[Any]:
    """Yield the values at a dotted path, also within lists; None where there is none, as in MongoDB's indexes."""
    for found in filtering.iter_key_candidates(path, document):
        if isinstance(found, list):
            yield from found
        else:
            yield None if found is filtering.NOTHING else found


def is_replacement(change: Any) -> bool:
    """Whether a change is a whole document rather than a set of operators or a pipeline."""
    return isinstance(change, dict) and not next(iter(change), "").startswith("$")


def updated(
    old: Document, query: Document, change: Any, array_filters: list | None = None, inserting: bool = False
) -> Document:
    """Apply a change to a copy of a document, and return the copy.

    Parameters
    ----------
    old : the document; it is not changed
    query : the filter that found it, for positional operators
    change : operators, a pipeline, or a replacement
    array_filters : conditions on the elements that `$[name]` in the operators denotes
    inserting : whether `$setOnInsert` applies

    Raises
    ------
    CommandError
        Where a pipeline has a stage that an update must not have.
    """
    if is_replacement(change):
        return {"_id": old["_id"], **change} if "_id" in old else dict(change)
    new = copy(old)
    if isinstance(change, list):
        unknown = {name for stage in change for name in stage} - UPDATE_STAGES
        if unknown:
            raise CommandError(FAILED_TO_PARSE, f"an update cannot have the stage `{unknown.pop()}`")
        return next(aggregate.process_pipeline([new], None, change, None))
    mongomock = _mongomock()
    mongomock._current_array_filters = array_filters or []
    mongomock._apply_update_document(new, query, change, inserting)
    return new


def seed(query: Document) -> Document:
    """Return the document that an upsert starts from, made of the equality conditions of its filter."""
    wanted = dict(_equalities(query))
    return updated({}, {}, {"$set": wanted}) if wanted else {}


def _equalities(query: Document) -> Iterator[tuple[str, Any]]:
    for name, value in query.items():
        if name == "$and":
            for part in value:
                yield from _equalities(part)
        elif name.startswith("$"):
            continue
        elif isinstance(value, dict) and next(iter(value), "").startswith("$"):
            if "$eq" in value:
                yield name, value["$eq"]
        else:
            yield name, value


def projected(document: Document, projection: Document | None, query: Document) -> Document | None:
    """Return the fields of a document that a projection selects, or None where it excludes the document."""
    if not projection:
        return document
    return _mongomock()._copy_only_fields(document, dict(projection), dict, filter=query)


def order(documents: list[Document], sort: Document) -> list[int]:
    """Return the positions of documents in the order of a sort by dotted paths, each ascending (1) or descending (-1).

    Values of different types are ordered as MongoDB orders them.
    """
    positions = list(range(len(documents)))
    for path, direction in reversed(sort.items()):
        if direction not in (1, -1):
            raise CommandError(BAD_VALUE, f"cannot sort `{path}` by {direction!r}: only 1 and -1 are known")
        if path == "$natural":
            positions = positions[:: int(direction)]
            continue
        keys: list[Any] = [filtering.resolve_sort_key(path, document) for document in documents]
        types = {type(key.obj) for _, key in keys}
        if any(types <= kind for kind in ORDERED):  # ten times as fast as the general comparison
            keys = [(present, key.obj) for present, key in keys]
        positions.sort(key=keys.__getitem__, reverse=direction < 0)
    return positions


def run_pipeline(documents: list[Document], pipeline: list[Document], find: Find, database: str) -> list[Document]:
    """Run the stages of an aggregation.

    Parameters
    ----------
    documents : stored ones; they are not changed
    find : searches another collection of the database, for `$lookup`
    database : its name
    """
    if pipeline and not READS_ONLY & set(pipeline[0]):
        documents = [copy(document) for document in documents]
    return list(aggregate.process_pipeline(documents, _Readable(database, find), pipeline, None))


class _Readable:
    """The interface of a database that a pipeline needs."""

    def __init__(self, name: str, find: Find) -> None:
        self.name = name
        self._find = find

    def get_collection(self, name: str) -> _ReadableCollection:
        return _ReadableCollection(name, self._find)


class _ReadableCollection:
    def __init__(self, name: str, find: Find) -> None:
        self._name = name
        self._find = find

    def find(self, query: Document) -> Iterable[Document]:
        return [copy(document) for document in self._find(self._name, query)]


@cache
def _mongomock() -> Any:
    """Return an empty collection of mongomock: its update operators and projections are methods of one."""
    return mongomock_ng.MongoClient()["none"]["none"]
