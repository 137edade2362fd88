"""Commands that read: `find`, `aggregate`, `count`, `distinct`, and the batches of their cursors."""

from __future__ import annotations

from typing import Any

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
from imatgen_flows.launchpad.errors import FAILED_TO_PARSE, NOT_IMPLEMENTED, TYPE_MISMATCH, CommandError
from imatgen_flows.launchpad.ordering import key
from imatgen_flows.launchpad.query import Document, compiled, compiled_projection, run_stages
from imatgen_flows.launchpad.query.documents import MISSING, type_name
from imatgen_flows.launchpad.query.numbers import as_whole
from imatgen_flows.launchpad.query.paths import leaves
from imatgen_flows.launchpad.query.sorting import check_sort

# how pymongo counts
COUNT: Document = {"$group": {"_id": 1, "n": {"$sum": 1}}}


def _find(context: Context, command: Document, database: str) -> Reply:
    name, query, sort = name_in(command), document(command, "filter"), document(command, "sort")
    skip, limit = number(command, "skip"), number(command, "limit")
    size = number(command, "batchSize") if "batchSize" in command else None
    project = compiled_projection(document(command, "projection"), query)
    collection = context.engine.find_collection(database, name)
    check_hint(collection, command.get("hint"))
    found: list[Document] = []
    if collection:
        found = collection.find(query, sort, skip + limit if limit else 0)[skip:]
    else:
        compiled(query)  # a malformed filter is an error there too
        check_sort(sort)
    single = command.get("singleBatch", False)
    return context.cursors.first(f"{database}.{name}", [project(item) for item in found], size, single)


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
        return context.engine.find(database, collection_name(other), query)

    check_hint(context.engine.find_collection(database, name), command.get("hint"))
    query, rest = {}, pipeline
    if pipeline and isinstance(pipeline[0], dict) and list(pipeline[0]) == ["$match"]:
        query, rest = pipeline[0]["$match"], pipeline[1:]
        if not isinstance(query, dict):
            raise CommandError(FAILED_TO_PARSE, "the match filter must be an expression in an object")
        compiled(query)
    documents = find(name, query)
    if rest == [COUNT]:
        documents = [{"_id": 1, "n": len(documents)}] if documents else []
    else:
        documents = run_stages(documents, rest, find)
    cursor = command["cursor"]
    size = number(cursor, "batchSize") if "batchSize" in cursor else None
    return context.cursors.first(f"{database}.{name}", documents, size)


def _count(context: Context, command: Document, database: str) -> Reply:
    query, collection = document(command, "query"), context.engine.find_collection(database, name_in(command))
    check_hint(collection, command.get("hint"))
    compiled(query)
    counted = len(collection.find(query)) if collection and query else len(collection or ())
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
