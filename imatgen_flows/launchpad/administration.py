"""Commands on collections, indexes and databases, and on the sessions of clients."""

from __future__ import annotations

import uuid
from typing import Any

from bson import Binary

from imatgen_flows.launchpad.collection import Collection
from imatgen_flows.launchpad.command_fields import (
    OK,
    Context,
    Handler,
    Reply,
    collection_name,
    document,
    name_in,
    refuse,
)
from imatgen_flows.launchpad.errors import (
    BAD_VALUE,
    CANNOT_CREATE_INDEX,
    ILLEGAL_OPERATION,
    INDEX_OPTIONS_CONFLICT,
    INVALID_NAMESPACE,
    INVALID_OPTIONS,
    NAMESPACE_EXISTS,
    NAMESPACE_NOT_FOUND,
    NOT_IMPLEMENTED,
    CommandError,
)
from imatgen_flows.launchpad.indexes import ID_INDEX
from imatgen_flows.launchpad.query import Document, compiled

SESSION_MINUTES = 30  # that a session lives without being used, as MongoDB
# options of a collection or an index that would change what it does; one that is not listed is not known
COLLECTION_OPTIONS = (
    "capped",
    "changeStreamPreAndPostImages",
    "clusteredIndex",
    "encryptedFields",
    "expireAfterSeconds",
    "max",
    "pipeline",
    "size",
    "timeseries",
    "validator",
    "viewOn",
)
IGNORED_COLLECTION_OPTIONS = ("autoIndexId", "flags", "idIndex", "indexOptionDefaults", "storageEngine")
KNOWN_COLLECTION_OPTIONS = ("validationAction", "validationLevel")  # of no effect without a validator
INDEX_OPTIONS = ("key", "name", "unique", "sparse", "partialFilterExpression")
IGNORED_INDEX_OPTIONS = ("background", "dropDups", "ns", "storageEngine", "v")
UNSUPPORTED_INDEX_OPTIONS = (
    "2dsphereIndexVersion",
    "bits",
    "collation",
    "default_language",
    "expireAfterSeconds",
    "hidden",
    "language_override",
    "max",
    "min",
    "textIndexVersion",
    "weights",
    "wildcardProjection",
)
SAME_INDEX = ("key", "unique", "sparse", "partialFilterExpression")  # what tells two indexes apart


def _create_indexes(context: Context, command: Document, database: str) -> Reply:
    wanted = command["indexes"]
    if not wanted:
        raise CommandError(BAD_VALUE, "Must specify at least one index to create")
    name = name_in(command)
    made = context.engine.find_collection(database, name) is None
    collection = context.engine.collection(database, name)
    before = len(collection.indexes)
    for index in wanted:
        _check_index(collection, index)
        collection.create_index(index)
    after = len(collection.indexes)
    note = {"note": "all indexes already exist"} if after == before else {}
    return {
        "numIndexesBefore": before,
        "numIndexesAfter": after,
        "createdCollectionAutomatically": made,
        **note,
        **OK,
    }


def _check_index(collection: Collection, index: Document) -> None:
    """Raise CommandError where an index is malformed, or exists by another name."""
    for option, value in index.items():
        if option in UNSUPPORTED_INDEX_OPTIONS and option != "expireAfterSeconds":
            refuse(option, value)
        elif option not in INDEX_OPTIONS + IGNORED_INDEX_OPTIONS + UNSUPPORTED_INDEX_OPTIONS:
            raise CommandError(
                INVALID_OPTIONS,
                f"The field '{option}' is not valid for an index specification. Specification: {index!r}",
            )
    pattern = index.get("key")
    if not isinstance(pattern, dict) or not pattern:
        raise CommandError(CANNOT_CREATE_INDEX, "Index keys cannot be empty.")
    for field, direction in pattern.items():
        if not field or direction == 0 or isinstance(direction, bool):
            raise CommandError(CANNOT_CREATE_INDEX, f"Values in the index key pattern cannot be 0, here `{field}`")
        if field.startswith("$") or "$**" in field:
            raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no wildcard indexes, here `{field}`")
    compiled(document(index, "partialFilterExpression"))
    for other in collection.indexes.values():
        same = all(_option(index, name) == _option(other, name) for name in SAME_INDEX)
        if same and other["name"] not in (index.get("name"), ID_INDEX["name"]):
            raise CommandError(INDEX_OPTIONS_CONFLICT, f"Index already exists with a different name: {other['name']}")


def _option(index: Document, name: str) -> Any:
    value = index.get(name)
    return list(value.items()) if name == "key" and isinstance(value, dict) else (value or None)


def _list_indexes(context: Context, command: Document, database: str) -> Reply:
    collection = context.existing(database, name_in(command))
    return context.cursors.first(collection.namespace, collection.indexes.values())


def _drop_indexes(context: Context, command: Document, database: str) -> Reply:
    collection = context.existing(database, name_in(command))
    before, wanted = len(collection.indexes), command["index"]
    if isinstance(wanted, dict):
        pattern = list(wanted.items())
        wanted = [name for name, index in collection.indexes.items() if list(index["key"].items()) == pattern] or [
            str(wanted)
        ]
    elif wanted == "*":
        wanted = [name for name in collection.indexes if name != ID_INDEX["name"]]
    names = [wanted] if isinstance(wanted, str) else wanted
    if ID_INDEX["name"] in names:
        raise CommandError(INVALID_OPTIONS, "cannot drop _id index")
    for name in names:
        collection.drop_index(name)
    return {"nIndexesWas": before, **OK}


def _list_collections(context: Context, command: Document, database: str) -> Reply:
    listed = [
        {
            "name": item.name,
            "type": "collection",
            "options": {},
            "info": {"readOnly": False},
            "idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"},
        }
        for item in context.engine.collections(database)
    ]
    wanted = compiled(document(command, "filter"))
    return context.cursors.first(f"{database}.$cmd.listCollections", [item for item in listed if wanted(item)])


def _list_databases(context: Context, command: Document, _database: str) -> Reply:
    wanted = compiled(document(command, "filter"))
    names = sorted({item.database for item in context.engine.collections()})
    listed: list[Document] = [{"name": name, "sizeOnDisk": 0, "empty": False} for name in names]
    if command.get("nameOnly"):
        listed = [{"name": item["name"]} for item in listed]
    return {"databases": [item for item in listed if wanted(item)], "totalSize": 0, **OK}


def _create(context: Context, command: Document, database: str) -> Reply:
    name = name_in(command)
    for option in COLLECTION_OPTIONS:
        if option in command:
            refuse(option, command[option])
    if context.engine.find_collection(database, name):
        raise CommandError(NAMESPACE_EXISTS, f"Collection {database}.{name} already exists.")
    context.engine.collection(database, name)
    return OK


def _drop(context: Context, command: Document, database: str) -> Reply:
    collection = context.existing(database, name_in(command))
    context.engine.drop(collection)
    return {"nIndexesWas": len(collection.indexes), "ns": collection.namespace, **OK}


def _drop_database(context: Context, _command: Document, database: str) -> Reply:
    for collection in context.engine.collections(database):
        context.engine.drop(collection)
    return {"dropped": database, **OK}


def _rename(context: Context, command: Document, database: str) -> Reply:
    if database != "admin":
        raise CommandError(INVALID_NAMESPACE, "renameCollection may only be run against the admin database.")
    source, target = name_in(command), collection_name(command.get("to"))
    if source == target:
        raise CommandError(ILLEGAL_OPERATION, "Can't rename a collection to itself")
    (old_database, _, old), (new_database, _, new) = source.partition("."), target.partition(".")
    collection = context.engine.find_collection(old_database, old)
    if collection is None:
        raise CommandError(NAMESPACE_NOT_FOUND, f"Source collection {source} does not exist")
    taken = context.engine.find_collection(new_database, new)
    if taken:
        if not command.get("dropTarget"):
            raise CommandError(NAMESPACE_EXISTS, "target namespace exists")
        context.engine.drop(taken)
    context.engine.rename(collection, new_database, new)
    return OK


def _start_session(_context: Context, _command: Document, _database: str) -> Reply:
    return {"id": {"id": Binary.from_uuid(uuid.uuid4())}, "timeoutMinutes": SESSION_MINUTES, **OK}


def _nothing(_context: Context, _command: Document, _database: str) -> Reply:
    return OK


ADMINISTRATION = {
    "createIndexes": Handler(_create_indexes, ("indexes", "commitQuorum", "ignoreUnknownIndexOptions"), changes=True),
    "listIndexes": Handler(_list_indexes, ("cursor",)),
    "dropIndexes": Handler(_drop_indexes, ("index",), changes=True),
    "listCollections": Handler(_list_collections, ("filter", "nameOnly", "authorizedCollections", "cursor")),
    "listDatabases": Handler(_list_databases, ("filter", "nameOnly", "authorizedDatabases")),
    "create": Handler(
        _create, (*COLLECTION_OPTIONS, *IGNORED_COLLECTION_OPTIONS, *KNOWN_COLLECTION_OPTIONS), changes=True
    ),
    "drop": Handler(_drop, changes=True),
    "dropDatabase": Handler(_drop_database, changes=True),
    "renameCollection": Handler(_rename, ("to", "dropTarget"), changes=True),
    "startSession": Handler(_start_session),
    "refreshSessions": Handler(_nothing),
    "endSessions": Handler(_nothing),
    "killSessions": Handler(_nothing),
    "killAllSessions": Handler(_nothing),
    "compact": Handler(_nothing, ("force",)),  # `lpad admin tuneup --full`
}
