"""The fields of commands: what each may have, and what is checked of those that many have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imatgen_flows.launchpad.collection import Collection
from imatgen_flows.launchpad.cursors import Cursors
from imatgen_flows.launchpad.engine import DatabaseEngine
from imatgen_flows.launchpad.errors import (
    BAD_VALUE,
    FAILED_TO_PARSE,
    ILLEGAL_OPERATION,
    INVALID_NAMESPACE,
    NAMESPACE_NOT_FOUND,
    NEGATIVE_NUMBER,
    NOT_IMPLEMENTED,
    TYPE_MISMATCH,
    UNKNOWN_FIELD,
    CommandError,
)
from imatgen_flows.launchpad.query import Document
from imatgen_flows.launchpad.query.documents import type_name
from imatgen_flows.launchpad.query.numbers import as_whole

Reply = dict[str, Any]
OK: Reply = {"ok": 1.0}

# fields that any command may have, and that change nothing on one server
COMMON = (
    "$clusterTime",
    "$db",
    "$readPreference",
    "apiDeprecationErrors",
    "apiStrict",
    "apiVersion",
    "comment",
    "lsid",
    "maxTimeMS",
    "readConcern",
    "writeConcern",
)
# fields that would change the meaning of a command, and are not supported
UNSUPPORTED_FIELDS = (
    "awaitData",
    "c",
    "collation",
    "explain",
    "let",
    "max",
    "min",
    "returnKey",
    "showRecordId",
    "tailable",
)
TRANSACTION = ("autocommit", "startTransaction", "txnNumber")
READ_LEVELS = ("local", "available", "majority")


@dataclass(frozen=True)
class Context:
    """What a command works with.

    Attributes
    ----------
    user : name of the only user
    """

    engine: DatabaseEngine
    cursors: Cursors
    user: str = ""

    def existing(self, database: str, name: Any) -> Collection:
        """Return a collection.

        Raises
        ------
        CommandError
            Where it does not exist.
        """
        found = self.engine.find_collection(database, collection_name(name))
        if found is None:
            raise CommandError(NAMESPACE_NOT_FOUND, f"ns not found: {database}.{name}")
        return found


# of the context, the command, and the database that it is sent to
Run = Callable[[Context, Document, str], Reply]


@dataclass(frozen=True)
class Handler:
    """A command that is supported.

    Attributes
    ----------
    fields : that it may have, beside its name and those that all may have
    changes : whether it may change something, and so runs while no other does
    """

    run: Run
    fields: tuple[str, ...] = ()
    changes: bool = False


def check_fields(command: Document, name: str, handler: Handler) -> None:
    """Raise CommandError where a command has a field that is not known, or asks for what is not supported."""
    for field, value in command.items():
        if field in TRANSACTION:
            raise CommandError(
                ILLEGAL_OPERATION,
                "Transaction numbers are only allowed on a replica set member or mongos: "
                "the embedded LaunchPad has no transactions",
            )
        if field == name or field in COMMON or field in handler.fields:
            continue
        if field not in UNSUPPORTED_FIELDS:
            raise CommandError(UNKNOWN_FIELD, f"BSON field '{name}.{field}' is an unknown field.")
        refuse(field, value)
    _check_concerns(command)


def check_part(part: Document, name: str, fields: tuple[str, ...]) -> None:
    """Raise CommandError where a part of a write command has a field as `check_fields` refuses it."""
    for field, value in part.items():
        if field in fields:
            continue
        if field not in UNSUPPORTED_FIELDS:
            raise CommandError(UNKNOWN_FIELD, f"BSON field '{name}.{field}' is an unknown field.")
        refuse(field, value)


def refuse(field: str, value: Any) -> None:
    """Raise CommandError where a field that is not supported has a value that asks for something."""
    if value not in (None, False, {}):
        raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no `{field}`")


def _check_concerns(command: Document) -> None:
    level = (command.get("readConcern") or {}).get("level", "local")
    if level not in READ_LEVELS:
        raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no read concern `{level}`")
    written = (command.get("writeConcern") or {}).get("w", 1)
    if written not in (0, 1, "majority"):
        raise CommandError(
            BAD_VALUE, f"cannot use 'w' > 1 when a host is not replicated, nor tags: here w is {written!r}"
        )


def collection_name(value: Any) -> str:
    """Return the name of a collection in a command.

    Raises
    ------
    CommandError
        Where it is no string.
    """
    if not isinstance(value, str):
        raise CommandError(INVALID_NAMESPACE, f"collection name has invalid type {type_name(value)}")
    return value


def name_in(command: Document) -> str:
    """Return the name of the collection that a command is about."""
    return collection_name(next(iter(command.values())))


def document(command: Document, field: str) -> Document:
    """Return a field that must be a document; empty where it is missing.

    Raises
    ------
    CommandError
        Where it is none.
    """
    value = command.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CommandError(
            TYPE_MISMATCH, f"BSON field '{field}' is the wrong type '{type_name(value)}', expected type 'object'"
        )
    return value


def number(command: Document, field: str, default: int = 0) -> int:
    """Return a field that must be a whole number, and not negative.

    Raises
    ------
    CommandError
        Where it is none.
    """
    value = command.get(field)
    if value is None:
        return default
    whole = as_whole(value)
    if whole is None:
        raise CommandError(
            TYPE_MISMATCH, f"BSON field '{field}' is the wrong type '{type_name(value)}', expected a number"
        )
    if whole < 0:
        raise CommandError(NEGATIVE_NUMBER, f"BSON field '{field}' value must be >= 0, actual value '{whole}'")
    return whole


def check_hint(collection: Collection | None, hint: Any) -> None:
    """Raise CommandError where a hint names no index of a collection."""
    if hint in (None, {}) or collection is None:
        return
    if not isinstance(hint, str | dict):
        raise CommandError(FAILED_TO_PARSE, "Hint must be a string or an object")
    if isinstance(hint, dict) and next(iter(hint)) == "$natural":
        return
    for index in collection.indexes.values():
        if hint == index["name"] or (isinstance(hint, dict) and list(hint.items()) == list(index["key"].items())):
            return
    raise CommandError(
        BAD_VALUE,
        "error processing query: planner returned error :: caused by :: hint provided does not correspond to an existing "
        f"index: {hint!r}",
    )
