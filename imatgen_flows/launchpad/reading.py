"""Commands that read: `find`, `aggregate`, `count`, `distinct`, and the batches of their cursors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from imatgen_flows.launchpad.collection import Collection, Found
from imatgen_flows.launchpad.command_fields import (
    OK,
    Context,
    Handler,
    Reply,
    check_hint,
    collection_name,
    document,
    name_in,
    number,
)
from imatgen_flows.launchpad.errors import (
    FAILED_TO_PARSE,
    NOT_IMPLEMENTED,
    TOO_MUCH_MEMORY,
    TYPE_MISMATCH,
    CommandError,
)
from imatgen_flows.launchpad.ordering import key
from imatgen_flows.launchpad.query import Document, compiled, compiled_projection, run_stages
from imatgen_flows.launchpad.query.documents import MISSING, type_name
from imatgen_flows.launchpad.query.field_groups import can_group
from imatgen_flows.launchpad.query.numbers import as_whole
from imatgen_flows.launchpad.query.paths import leaves
from imatgen_flows.launchpad.query.pipelines import compiled_stages
from imatgen_flows.launchpad.query.sorting import check_sort

PIPELINE_BYTES = 100 * 1024**2  # of BSON, as MongoDB
# how pymongo counts
COUNT: Document = {"$group": {"_id": 1, "n": {"$sum": 1}}}


def _find(context: Context, command: Document, database: str) -> Reply:
    name, query, sort = name_in(command), document(command, "filter"), document(command, "sort")
    skip, limit = number(command, "skip"), number(command, "limit")
    size = number(command, "batchSize") if "batchSize" in command else None
    project = compiled_projection(document(command, "projection"), query)
    collection = context.engine.find_collection(database, name)
    check_hint(collection, command.get("hint"))
    found: Iterator[Document] | Iterator[bytes] = iter(())
    if collection and command.get("projection"):
        found = map(project, collection.find(query, sort, limit, skip))
    elif collection:
        found = collection.find_bson(query, sort, limit, skip)
    else:
        compiled(query)  # a malformed filter is an error there too
        check_sort(sort)
    single = command.get("singleBatch", False)
    return context.cursors.first(f"{database}.{name}", found, size, single)


def _get_more(context: Context, command: Document, _database: str) -> Reply:
    return context.cursors.more(command["getMore"], number(command, "batchSize") or None)


def _kill_cursors(context: Context, command: Document, _database: str) -> Reply:
    return context.cursors.kill(command["cursors"])


def _aggregate(context: Context, command: Document, database: str) -> Reply:
    if not isinstance(command["aggregate"], str):
        raise CommandError(NOT_IMPLEMENTED, "the embedded LaunchPad aggregates collections only")
    name, pipeline = command["aggregate"], command.get("pipeline")
    if not isinstance(pipeline, list):
        raise CommandError(TYPE_MISMATCH, "'pipeline' option must be specified as an array")
    if not isinstance(command.get("cursor"), dict):
        raise CommandError(
            FAILED_TO_PARSE, "The 'cursor' option is required, except for aggregate with the explain argument"
        )

    def find(other: str, query: Document) -> list[Document]:
        return list(context.engine.find(database, collection_name(other), query))

    collection = context.engine.find_collection(database, name)
    check_hint(collection, command.get("hint"))
    query, rest = {}, pipeline
    if pipeline and isinstance(pipeline[0], dict) and list(pipeline[0]) == ["$match"]:
        query, rest = pipeline[0]["$match"], pipeline[1:]
        if not isinstance(query, dict):
            raise CommandError(FAILED_TO_PARSE, "the match filter must be an expression in an object")
        compiled(query)
    documents: Iterable[Document | bytes]
    if rest == [COUNT]:
        found = sum(1 for _ in collection.find_bson(query)) if collection else 0
        documents = [{"_id": 1, "n": found}] if found else []
    else:
        searched, rest = _searched(collection, query, rest)
        documents = run_stages(_held(searched, rest), rest, find) if rest else (one.body for one in searched)
    cursor = command["cursor"]
    size = number(cursor, "batchSize") if "batchSize" in cursor else None
    return context.cursors.first(f"{database}.{name}", documents, size)


def _searched(
    collection: Collection | None, query: Document, pipeline: list[Document]
) -> tuple[Iterator[Found], list[Document]]:
    """Let the search do the first stages of a pipeline that sort and limit; return what it finds, and the other stages."""
    compiled_stages(pipeline, lambda _name, _query: [])  # malformed ones are refused first
    sort, limit, rest = None, 0, pipeline
    if rest and "$sort" in rest[0]:
        sort, rest = rest[0]["$sort"], rest[1:]
    if rest and "$limit" in rest[0]:
        limit, rest = as_whole(rest[0]["$limit"]) or 0, rest[1:]
    return (collection.search(query, sort, limit, decoded=bool(rest)) if collection else iter(())), rest


def _held(found: Iterator[Found], pipeline: list[Document]) -> Iterator[Document]:
    """Yield the documents for a pipeline.

    Raises
    ------
    CommandError
        Where they are more than it may hold in memory.
    """
    [(name, operand)] = pipeline[0].items()
    keeps_none = name == "$count" or (name == "$group" and can_group(operand))
    nbytes = 0
    for one in found:
        nbytes += len(one.body)
        if nbytes > PIPELINE_BYTES and not keeps_none:
            raise CommandError(
                TOO_MUCH_MEMORY,
                f"the pipeline needs more than {PIPELINE_BYTES // 1024**2} MB of documents: begin it with a `$match`",
            )
        yield one.document


def _count(context: Context, command: Document, database: str) -> Reply:
    query, collection = document(command, "query"), context.engine.find_collection(database, name_in(command))
    check_hint(collection, command.get("hint"))
    compiled(query)
    counted = sum(1 for _ in collection.find_bson(query)) if collection and query else len(collection or ())
    counted = max(0, counted - number(command, "skip"))
    limit = abs(as_whole(command.get("limit", 0)) or 0)
    return {"n": min(counted, limit) if limit else counted, **OK}


def _distinct(context: Context, command: Document, database: str) -> Reply:
    path, query = command.get("key"), document(command, "query")
    if not isinstance(path, str):
        raise CommandError(TYPE_MISMATCH, f"BSON field 'distinct.key' is the wrong type '{type_name(path)}'")
    compiled(query)
    parts = path.split(".")
    found: dict[bytes, Any] = {}
    for item in context.engine.find(database, name_in(command), query):
        for value in leaves(item, parts):
            for single in value if isinstance(value, list) else [value]:
                if single is not MISSING:
                    found.setdefault(key(single), single)
    return {"values": list(found.values()), **OK}


READING = {
    "find": Handler(
        _find,
        (
            "filter",
            "sort",
            "projection",
            "hint",
            "skip",
            "limit",
            "batchSize",
            "singleBatch",
            "noCursorTimeout",
            "allowPartialResults",
            "allowDiskUse",
            "oplogReplay",
        ),
    ),
    "getMore": Handler(_get_more, ("collection", "batchSize")),
    "killCursors": Handler(_kill_cursors, ("cursors",)),
    "aggregate": Handler(_aggregate, ("pipeline", "cursor", "hint", "allowDiskUse", "bypassDocumentValidation")),
    "count": Handler(_count, ("query", "limit", "skip", "hint", "fields")),
    "distinct": Handler(_distinct, ("key", "query", "hint")),
}
