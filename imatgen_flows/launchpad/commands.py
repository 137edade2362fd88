"""The commands of MongoDB that pymongo, FireWorks and maggma send."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from imatgen_flows.launchpad.collection import MAX_DOCUMENT, Collection
from imatgen_flows.launchpad.cursors import Cursors
from imatgen_flows.launchpad.engine import DatabaseEngine
from imatgen_flows.launchpad.errors import (
    COMMAND_NOT_FOUND,
    FAILED_TO_PARSE,
    NAMESPACE_EXISTS,
    NAMESPACE_NOT_FOUND,
    NOT_IMPLEMENTED,
    UNKNOWN,
    CommandError,
    as_command_error,
)
from imatgen_flows.launchpad.indexes import ID_INDEX
from imatgen_flows.launchpad.query import (
    Document,
    matches,
    order,
    projected,
    refuse_code,
    run_pipeline,
    values_at,
)

log = logging.getLogger(__name__)

Reply = dict[str, Any]
OK: Reply = {"ok": 1.0}
VERSION = [6, 0, 0, 0]  # of MongoDB, whose commands these are
# fields of a command that would change its meaning, and are not supported
UNSUPPORTED = ("collation", "let", "startTransaction")
# how pymongo counts
COUNT: Document = {"$group": {"_id": 1, "n": {"$sum": 1}}}


class Commands:
    """Runs commands on the databases of an engine, one at a time."""

    def __init__(self, engine: DatabaseEngine) -> None:
        self._engine = engine
        self._cursors = Cursors()

    def run(self, command: Document) -> Reply:
        """Run a command and return its reply, also where it fails."""
        name = next(iter(command), "")
        handler = HANDLERS.get(name.lower())
        try:
            if handler is None:
                raise CommandError(COMMAND_NOT_FOUND, f"no such command: '{name}'")
            unsupported = [field for field in UNSUPPORTED if command.get(field)]
            if unsupported:
                raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no `{unsupported[0]}`")
            with self._engine.command():
                return handler(self, command, command.get("$db", "admin"))
        except Exception as error:
            known = as_command_error(error)
            if known is None:
                log.exception("command %s failed", name)
                known = CommandError(UNKNOWN, f"{type(error).__name__}: {error}")
            return known.reply()

    # reading

    def _find(self, command: Document, database: str) -> Reply:
        query = _query(command, "filter")
        skip, limit = int(command.get("skip", 0)), abs(int(command.get("limit", 0)))
        collection = self._engine.find_collection(database, command["find"])
        found: list[Document] = []
        if collection:
            found = collection.find(query, command.get("sort"), skip + limit if limit else 0)[skip:]
        wanted = (projected(document, command.get("projection"), query) for document in found)
        documents = [document for document in wanted if document is not None]
        single = command.get("singleBatch", False)
        return self._cursors.first(f"{database}.{command['find']}", documents, command.get("batchSize"), single)

    def _get_more(self, command: Document, _database: str) -> Reply:
        return self._cursors.more(command["getMore"], command.get("batchSize"))

    def _kill_cursors(self, command: Document, _database: str) -> Reply:
        return self._cursors.kill(command["cursors"])

    def _aggregate(self, command: Document, database: str) -> Reply:
        name, pipeline = command["aggregate"], list(command["pipeline"])
        if not isinstance(name, str):
            raise CommandError(NOT_IMPLEMENTED, "the embedded LaunchPad aggregates collections only")
        refuse_code(pipeline)
        query = pipeline.pop(0)["$match"] if pipeline and "$match" in pipeline[0] else {}
        documents = self._engine.find(database, name, query)
        while pipeline and {"$sort", "$skip", "$limit"} & set(pipeline[0]):
            documents = _cut(documents, pipeline.pop(0))
        if pipeline == [COUNT]:
            documents = [{"_id": 1, "n": len(documents)}] if documents else []
        elif pipeline:
            documents = run_pipeline(
                documents, pipeline, lambda other, q: self._engine.find(database, other, q), database
            )
        size = (command.get("cursor") or {}).get("batchSize")
        return self._cursors.first(f"{database}.{name}", documents, size)

    def _count(self, command: Document, database: str) -> Reply:
        query = _query(command, "query")
        collection = self._engine.find_collection(database, command["count"])
        number = len(collection.find(query)) if collection and query else len(collection or ())
        number = max(0, number - int(command.get("skip", 0)))
        limit = abs(int(command.get("limit", 0)))
        return {"n": min(number, limit) if limit else number, **OK}

    def _distinct(self, command: Document, database: str) -> Reply:
        path = command["key"]
        values: list[Any] = []
        seen = set()
        for document in self._engine.find(database, command["distinct"], _query(command, "query")):
            for value in values_at(path, document):
                known = repr(value) if isinstance(value, dict | list) else (isinstance(value, bool), value)
                if known not in seen and (value is not None or matches({path: {"$exists": True}}, document)):
                    seen.add(known)
                    values.append(value)
        return {"values": values, **OK}

    # writing

    def _insert(self, command: Document, database: str) -> Reply:
        collection = self._engine.collection(database, command["insert"])
        return _each(command, command["documents"], lambda _, document: bool(collection.insert(document)))

    def _update(self, command: Document, database: str) -> Reply:
        collection = self._engine.collection(database, command["update"])
        upserted, modified = [], 0

        def change(index: int, item: Document) -> int:
            nonlocal modified
            done = collection.update(
                _query(item, "q"),
                item["u"],
                many=item.get("multi", False),
                upsert=item.get("upsert", False),
                sort=item.get("sort"),
                array_filters=item.get("arrayFilters"),
            )
            modified += done.modified
            if done.upserted and done.after:
                upserted.append({"index": index, "_id": done.after["_id"]})
            return done.matched + done.upserted

        reply = _each(command, command["updates"], change)
        return {**reply, "nModified": modified, **({"upserted": upserted} if upserted else {})}

    def _delete(self, command: Document, database: str) -> Reply:
        collection = self._engine.find_collection(database, command["delete"])

        def remove(_index: int, item: Document) -> int:
            return len(collection.delete(_query(item, "q"), item["limit"])) if collection else 0

        return _each(command, command["deletes"], remove)

    def _find_and_modify(self, command: Document, database: str) -> Reply:
        collection = self._engine.collection(database, next(iter(command.values())))
        query, sort = _query(command, "query"), command.get("sort")
        details: Document
        if command.get("remove"):
            deleted = collection.delete(query, 1, sort)
            value, details = (deleted[0] if deleted else None), {"n": len(deleted)}
        else:
            upsert, filters = command.get("upsert", False), command.get("arrayFilters")
            done = collection.update(query, command["update"], upsert=upsert, sort=sort, array_filters=filters)
            value = done.after if command.get("new") else done.before
            details = {"n": done.matched + done.upserted, "updatedExisting": bool(done.matched)}
            if done.upserted and done.after:
                details["upserted"] = done.after["_id"]
        value = projected(value, command.get("fields"), query) if value is not None else None
        return {"value": value, "lastErrorObject": details, **OK}

    # administration

    def _create_indexes(self, command: Document, database: str) -> Reply:
        collection = self._engine.collection(database, command["createIndexes"])
        before = len(collection.indexes)
        for index in command["indexes"]:
            collection.create_index(index)
        return {"numIndexesBefore": before, "numIndexesAfter": len(collection.indexes), **OK}

    def _list_indexes(self, command: Document, database: str) -> Reply:
        collection = self._existing(database, command["listIndexes"])
        return self._cursors.first(collection.namespace, collection.indexes.values())

    def _drop_indexes(self, command: Document, database: str) -> Reply:
        collection = self._existing(database, command["dropIndexes"])
        before, wanted = len(collection.indexes), command["index"]
        if isinstance(wanted, dict):
            wanted = [name for name, index in collection.indexes.items() if index["key"] == wanted] or [str(wanted)]
        elif wanted == "*":
            wanted = [name for name in collection.indexes if name != ID_INDEX["name"]]
        for name in [wanted] if isinstance(wanted, str) else wanted:
            collection.drop_index(name)
        return {"nIndexesWas": before, **OK}

    def _list_collections(self, command: Document, database: str) -> Reply:
        listed = [
            {"name": item.name, "type": "collection", "options": {}, "info": {"readOnly": False}}
            for item in self._engine.collections(database)
        ]
        chosen = [item for item in listed if matches(_query(command, "filter"), item)]
        return self._cursors.first(f"{database}.$cmd.listCollections", chosen)

    def _list_databases(self, command: Document, _database: str) -> Reply:
        names = sorted({item.database for item in self._engine.collections()})
        listed = [{"name": name, "sizeOnDisk": 0, "empty": False} for name in names]
        return {
            "databases": [item for item in listed if matches(_query(command, "filter"), item)],
            "totalSize": 0,
            **OK,
        }

    def _create(self, command: Document, database: str) -> Reply:
        if self._engine.find_collection(database, command["create"]):
            raise CommandError(NAMESPACE_EXISTS, f"collection {database}.{command['create']} exists already")
        self._engine.collection(database, command["create"])
        return OK

    def _drop(self, command: Document, database: str) -> Reply:
        self._engine.drop(self._existing(database, command["drop"]))
        return OK

    def _drop_database(self, _command: Document, database: str) -> Reply:
        for collection in self._engine.collections(database):
            self._engine.drop(collection)
        return {"dropped": database, **OK}

    def _nothing(self, _command: Document, _database: str) -> Reply:
        return OK

    def _existing(self, database: str, name: str) -> Collection:
        found = self._engine.find_collection(database, name)
        if found is None:
            raise CommandError(NAMESPACE_NOT_FOUND, f"ns not found: {database}.{name}")
        return found


HANDLERS: dict[str, Callable[[Commands, Document, str], Reply]] = {
    "find": Commands._find,
    "getmore": Commands._get_more,
    "killcursors": Commands._kill_cursors,
    "aggregate": Commands._aggregate,
    "count": Commands._count,
    "distinct": Commands._distinct,
    "insert": Commands._insert,
    "update": Commands._update,
    "delete": Commands._delete,
    "findandmodify": Commands._find_and_modify,
    "createindexes": Commands._create_indexes,
    "listindexes": Commands._list_indexes,
    "dropindexes": Commands._drop_indexes,
    "listcollections": Commands._list_collections,
    "listdatabases": Commands._list_databases,
    "create": Commands._create,
    "drop": Commands._drop,
    "dropdatabase": Commands._drop_database,
    "endsessions": Commands._nothing,
    "compact": Commands._nothing,  # `lpad admin tuneup --full`
}


def build_info() -> Reply:
    """Return the version of MongoDB that the server reports."""
    version = ".".join(map(str, VERSION[:3]))
    return {
        "version": version,
        "versionArray": VERSION,
        "gitVersion": "imatgen-flows",
        "maxBsonObjectSize": MAX_DOCUMENT,
        **OK,
    }


def _query(command: Document, field: str) -> Document:
    query = command.get(field) or {}
    if not isinstance(query, dict):
        raise CommandError(FAILED_TO_PARSE, f"`{field}` must be a document, not {type(query).__name__}")
    refuse_code(query)
    return query


def _cut(documents: list[Document], stage: Document) -> list[Document]:
    """Apply a stage that sorts, skips or limits documents."""
    [(name, value)] = stage.items()
    if name == "$sort":
        return [documents[position] for position in order(documents, value)]
    return documents[int(value) :] if name == "$skip" else documents[: int(value)]


def _each(command: Document, items: list[Document], work: Callable[[int, Document], int]) -> Reply:
    """Carry out the parts of a write command, and list those that fail; an ordered command ends at the first failure."""
    number, failed = 0, []
    for index, item in enumerate(items):
        try:
            if item.get("collation"):
                raise CommandError(NOT_IMPLEMENTED, "the embedded LaunchPad has no `collation`")
            number += work(index, item)
        except Exception as error:
            known = as_command_error(error)
            if known is None:
                raise
            failed.append({"index": index, **known.fields()})
            if command.get("ordered", True):
                break
    return {"n": number, **({"writeErrors": failed} if failed else {}), **OK}
