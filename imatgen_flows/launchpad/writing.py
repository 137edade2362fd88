"""Commands that write documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from imatgen_flows.launchpad.command_fields import (
    OK,
    Context,
    Handler,
    Reply,
    check_hint,
    check_part,
    document,
    name_in,
)
from imatgen_flows.launchpad.errors import FAILED_TO_PARSE, CommandError, as_command_error
from imatgen_flows.launchpad.query import Document, check_id, compiled, compiled_projection

UPDATE_FIELDS = ("q", "u", "upsert", "multi", "hint", "arrayFilters", "sort")
DELETE_FIELDS = ("q", "limit", "hint")


def _insert(context: Context, command: Document, database: str) -> Reply:
    collection = context.engine.collection(database, name_in(command))

    def add(_index: int, item: Document) -> int:
        check_id(item)
        return bool(collection.insert(item))

    return _each(command, command["documents"], add)


def _update(context: Context, command: Document, database: str) -> Reply:
    collection = context.engine.collection(database, name_in(command))
    upserted: list[Document] = []
    modified = 0

    def change(index: int, item: Document) -> int:
        nonlocal modified
        check_part(item, "update.updates", UPDATE_FIELDS)
        check_hint(collection, item.get("hint"))
        done = collection.update(
            document(item, "q"),
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


def _delete(context: Context, command: Document, database: str) -> Reply:
    collection = context.engine.find_collection(database, name_in(command))

    def remove(_index: int, item: Document) -> int:
        check_part(item, "delete.deletes", DELETE_FIELDS)
        query, limit = document(item, "q"), item.get("limit")
        if limit not in (0, 1) or isinstance(limit, bool):
            raise CommandError(FAILED_TO_PARSE, f"The limit field in delete objects must be 0 or 1. Got {limit!r}")
        check_hint(collection, item.get("hint"))
        compiled(query)
        return collection.delete(query, int(limit))[0] if collection else 0

    return _each(command, command["deletes"], remove)


def _find_and_modify(context: Context, command: Document, database: str) -> Reply:
    collection = context.engine.collection(database, name_in(command))
    query, sort, removes = document(command, "query"), document(command, "sort"), command.get("remove", False)
    _check_purpose(command)
    check_hint(collection, command.get("hint"))
    details: Document
    if removes:
        deleted, value = collection.delete(query, 1, sort)
        details = {"n": deleted}
    else:
        upsert, filters = command.get("upsert", False), command.get("arrayFilters")
        done = collection.update(query, command["update"], upsert=upsert, sort=sort, array_filters=filters)
        value = done.after if command.get("new") else done.before
        details = {"n": done.matched + done.upserted, "updatedExisting": bool(done.matched)}
        if done.upserted and done.after:
            details["upserted"] = done.after["_id"]
    project = compiled_projection(document(command, "fields"), query)
    return {"value": None if value is None else project(value), "lastErrorObject": details, **OK}


def _check_purpose(command: Document) -> None:
    if not command.get("remove"):
        if "update" not in command:
            raise CommandError(FAILED_TO_PARSE, "Either an update or remove=true must be specified")
        return
    for other in ("update", "new", "upsert"):
        if command.get(other):
            raise CommandError(FAILED_TO_PARSE, f"Cannot specify both {other} and remove=true")


def _each(command: Document, items: Any, work: Callable[[int, Document], int]) -> Reply:
    """Carry out the parts of a write command, and list those that fail; an ordered command ends at the first failure."""
    number, failed = 0, []
    for index, item in enumerate(items):
        try:
            number += work(index, item)
        except Exception as error:
            known = as_command_error(error)
            if known is None:
                raise
            failed.append({"index": index, **known.fields()})
            if command.get("ordered", True):
                break
    return {"n": number, **({"writeErrors": failed} if failed else {}), **OK}


WRITING = {
    "insert": Handler(_insert, ("documents", "ordered", "bypassDocumentValidation"), changes=True),
    "update": Handler(_update, ("updates", "ordered", "bypassDocumentValidation"), changes=True),
    "delete": Handler(_delete, ("deletes", "ordered"), changes=True),
    "findAndModify": Handler(
        _find_and_modify,
        (
            "query",
            "sort",
            "remove",
            "update",
            "new",
            "fields",
            "upsert",
            "arrayFilters",
            "hint",
            "bypassDocumentValidation",
        ),
        changes=True,
    ),
}
