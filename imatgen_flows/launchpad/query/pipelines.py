"""Pipelines of aggregation stages."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from bson import Int64

from imatgen_flows.launchpad.errors import (
    BAD_LIMIT,
    BAD_PIPELINE,
    BAD_SKIP,
    BAD_STAGE,
    BAD_UNWIND,
    BAD_VALUE,
    CHANGE_STREAM,
    FAILED_TO_PARSE,
    NO_BUCKET,
    NOT_IMPLEMENTED,
    UNKNOWN_STAGE,
    UNWIND_NEEDS_PATH,
    ZERO_LIMIT,
    CommandError,
)
from imatgen_flows.launchpad.ordering import key
from imatgen_flows.launchpad.query import filters
from imatgen_flows.launchpad.query.documents import MISSING, Document, type_name
from imatgen_flows.launchpad.query.expressions import Variables, compiled_expression
from imatgen_flows.launchpad.query.groups import compiled_group, compiled_output, grouped
from imatgen_flows.launchpad.query.numbers import as_whole
from imatgen_flows.launchpad.query.paths import leaves
from imatgen_flows.launchpad.query.projections import (
    compiled_fields,
    compiled_removal,
    compiled_stage,
    root,
)
from imatgen_flows.launchpad.query.sorting import check_sort, order

Find = Callable[[str, Document], list[Document]]
Documents = Iterable[Document]
Stage = Callable[[Documents], Documents]

UNSUPPORTED_STAGES = {
    "$bucketAuto",
    "$collStats",
    "$currentOp",
    "$densify",
    "$fill",
    "$geoNear",
    "$graphLookup",
    "$indexStats",
    "$listLocalSessions",
    "$listSessions",
    "$merge",
    "$out",
    "$planCacheStats",
    "$redact",
    "$search",
    "$searchMeta",
    "$setWindowFields",
    "$shardedDataDistribution",
    "$vectorSearch",
}


def run_stages(documents: Documents, pipeline: list[Document], find: Find | None = None) -> list[Document]:
    """Run the stages of an aggregation.

    Parameters
    ----------
    documents : stored ones; they are not changed
    find : searches another collection of the database, for `$lookup` and `$unionWith`

    Raises
    ------
    CommandError
        Where a stage is malformed or not supported.
    """
    for stage in compiled_stages(pipeline, find or _nowhere):
        documents = stage(documents)
    return list(documents)


def compiled_stages(pipeline: Any, find: Find) -> list[Stage]:
    """Compile the stages of an aggregation.

    Raises
    ------
    CommandError
        As `run_stages`.
    """
    if not isinstance(pipeline, list):
        raise CommandError(BAD_PIPELINE, "A pipeline must be an array of objects")
    return [_compiled(stage, find) for stage in pipeline]


def _nowhere(_name: str, _query: Document) -> list[Document]:
    return []


def _compiled(stage: Any, find: Find) -> Stage:
    if not isinstance(stage, dict):
        raise CommandError(BAD_PIPELINE, "Each element of the 'pipeline' array must be an object")
    if len(stage) != 1:
        raise CommandError(BAD_STAGE, "A pipeline stage specification object must contain exactly one field.")
    [(name, operand)] = stage.items()
    if name in STAGES:
        return STAGES[name](operand)
    if name in JOINING:
        return JOINING[name](operand, find)
    if name == "$changeStream":
        raise CommandError(CHANGE_STREAM, "The $changeStream stage is only supported on replica sets")
    if name in UNSUPPORTED_STAGES:
        raise CommandError(NOT_IMPLEMENTED, f"the embedded LaunchPad has no `{name}`")
    raise CommandError(UNKNOWN_STAGE, f"Unrecognized pipeline stage name: '{name}'")


def _each(function: Callable[[Document], Document]) -> Stage:
    return lambda documents: map(function, documents)


def _match(operand: Any) -> Stage:
    if not isinstance(operand, dict):
        raise CommandError(BAD_VALUE, "the match filter must be an expression in an object")
    predicate = filters.compiled(operand)
    return lambda documents: filter(predicate, documents)


def _sort(operand: Any) -> Stage:
    if not isinstance(operand, dict) or not operand:
        raise CommandError(BAD_VALUE, "the $sort key specification must be a nonempty object")
    check_sort(operand)

    def run(documents: Documents) -> Documents:
        listed = list(documents)
        return [listed[position] for position in order(listed, operand)]

    return run


def _limit(operand: Any) -> Stage:
    number = as_whole(operand)
    if number is None or number < 0:
        raise CommandError(
            BAD_LIMIT, f"invalid argument to $limit stage: Expected a non-negative number in: $limit: {operand!r}"
        )
    if number == 0:
        raise CommandError(ZERO_LIMIT, "the limit must be positive")
    return lambda documents: islice(documents, number)


def _skip(operand: Any) -> Stage:
    number = as_whole(operand)
    if number is None or number < 0:
        raise CommandError(
            BAD_SKIP, f"invalid argument to $skip stage: Expected a non-negative number in: $skip: {operand!r}"
        )
    return lambda documents: islice(documents, number, None)


def _count(operand: Any) -> Stage:
    if not isinstance(operand, str) or not operand or operand.startswith("$") or "." in operand:
        raise CommandError(BAD_VALUE, f"the count field must be a non-empty string without '$' or '.', not {operand!r}")

    def run(documents: Documents) -> Documents:
        number = sum(1 for _ in documents)
        return [{operand: number}] if number else []

    return run


def _sort_by_count(operand: Any) -> Stage:
    group = compiled_group({"_id": operand, "count": {"$sum": 1}})
    return lambda documents: sorted(group(documents), key=lambda item: -item["count"])


def _unwind(operand: Any) -> Stage:
    options = operand if isinstance(operand, dict) else {"path": operand}
    unknown = [name for name in options if name not in ("path", "includeArrayIndex", "preserveNullAndEmptyArrays")]
    if unknown:
        raise CommandError(BAD_UNWIND, f"unrecognized option to $unwind stage: {unknown[0]}")
    path = options.get("path")
    if not isinstance(path, str) or not path.startswith("$"):
        raise CommandError(UNWIND_NEEDS_PATH, f"path option to $unwind stage should be prefixed with a '$': {path!r}")
    parts, keeps = path[1:].split("."), options.get("preserveNullAndEmptyArrays", False)
    index = options.get("includeArrayIndex")

    def unwound(document: Document) -> Documents:
        value = _nested(document, parts)
        if isinstance(value, list) and value:
            for position, item in enumerate(value):
                found = _with_value(document, parts, item)
                yield {**found, index: Int64(position)} if index else found
        elif (value is not MISSING and value is not None and value != []) or keeps:
            found = _with_value(document, parts, MISSING if value == [] else value)
            yield {**found, index: None} if index else found

    return lambda documents: (found for document in documents for found in unwound(document))


def _nested(document: Any, parts: list[str]) -> Any:
    for name in parts:
        document = document.get(name, MISSING) if isinstance(document, dict) else MISSING
    return document


def _with_value(document: Document, parts: list[str], value: Any) -> Document:
    """Return a copy of a document with another value at a path, or none there."""
    name, *rest = parts
    if rest:
        below = document.get(name)
        return {**document, name: _with_value(below, rest, value)} if isinstance(below, dict) else document
    if value is MISSING:
        return {key: item for key, item in document.items() if key != name}
    return {**document, name: value}


def _replace_root(operand: Any) -> Stage:
    if not isinstance(operand, dict) or set(operand) != {"newRoot"}:
        raise CommandError(FAILED_TO_PARSE, "$replaceRoot takes one argument, 'newRoot'")
    return _each(root(compiled_expression(operand["newRoot"]), "newRoot"))


def _sample(operand: Any) -> Stage:
    size = as_whole(operand.get("size")) if isinstance(operand, dict) else None
    if size is None or size <= 0:
        raise CommandError(BAD_VALUE, "$sample takes a positive number, 'size'")

    def run(documents: Documents) -> Documents:
        listed = list(documents)
        return random.sample(listed, min(size, len(listed)))

    return run


def _bucket(operand: Any) -> Stage:
    known = ("groupBy", "boundaries", "default", "output")
    if not isinstance(operand, dict) or not {"groupBy", "boundaries"} <= set(operand) <= set(known):
        raise CommandError(
            FAILED_TO_PARSE, f"$bucket takes the arguments {', '.join(known)}, of which the first two are needed"
        )
    value = compiled_expression(operand["groupBy"])
    bounds = [(key(bound), bound) for bound in compiled_expression(operand["boundaries"])(Variables.of({}))]
    if len(bounds) < 2 or sorted(bounds, key=lambda bound: bound[0]) != bounds:
        raise CommandError(BAD_VALUE, "the boundaries of $bucket must be at least two, in ascending order")
    fields = compiled_output(operand.get("output", {"count": {"$sum": 1}}))

    def identity(document: Document) -> Any:
        found = value(Variables.of(document))
        encoded = key(None if found is MISSING else found)
        if bounds[0][0] <= encoded < bounds[-1][0]:
            return [bound for code, bound in bounds if code <= encoded][-1]
        if "default" not in operand:
            raise CommandError(
                NO_BUCKET, "$switch could not find a matching branch for an input, and no default was specified."
            )
        return operand["default"]

    return lambda documents: sorted(grouped(documents, identity, fields), key=lambda item: key(item["_id"]))


# stages that read other collections, or have pipelines of their own


def _lookup(operand: Any, find: Find) -> Stage:
    known = ("from", "localField", "foreignField", "as", "let", "pipeline")
    if not isinstance(operand, dict) or not {"from", "as"} <= set(operand) <= set(known):
        raise CommandError(
            FAILED_TO_PARSE, f"$lookup takes the arguments {', '.join(known)}; 'from' and 'as' are needed"
        )
    if operand.get("let"):
        raise CommandError(NOT_IMPLEMENTED, "the embedded LaunchPad has no `let` in `$lookup`")
    equal = "localField" in operand or "foreignField" in operand
    if not ({"localField", "foreignField"} <= set(operand) if equal else "pipeline" in operand):
        raise CommandError(FAILED_TO_PARSE, "$lookup requires both or neither of 'localField' and 'foreignField'")
    stages = compiled_stages(operand.get("pipeline", []), find)
    name, target = operand["from"], operand["as"].split(".")

    def run(documents: Documents) -> Documents:
        foreign = find(name, {})
        join = _joined_by(operand, foreign) if equal else (lambda _: foreign)
        for document in documents:
            found: Documents = join(document)
            for stage in stages:
                found = stage(found)
            yield _with_joined(document, target, list(found))

    return run


def _joined_by(operand: Document, foreign: list[Document]) -> Callable[[Document], list[Document]]:
    """Return the function that finds the documents of another collection that have a value in common with a document."""
    local, other = operand["localField"].split("."), operand["foreignField"].split(".")
    holders: dict[bytes, list[int]] = {}
    for position, document in enumerate(foreign):
        for encoded in set(_keys_at(other, document, whole=True)):
            holders.setdefault(encoded, []).append(position)

    def join(document: Document) -> list[Document]:
        held = {position for encoded in _keys_at(local, document) for position in holders.get(encoded, ())}
        return [foreign[position] for position in sorted(held)]

    return join


def _keys_at(parts: list[str], document: Document, whole: bool = False) -> list[bytes]:
    """Return the keys of the values at a path: of each element where it is an array, and of the whole if that counts too."""
    found: list[bytes] = []
    for value in leaves(document, parts):
        if isinstance(value, list):
            found += map(key, value)
        if not isinstance(value, list) or whole:
            found.append(key(None if value is MISSING else value))
    return found


def _with_joined(document: Document, target: list[str], found: list[Document]) -> Document:
    name, *rest = target
    below = document.get(name)
    return {**document, name: _with_joined(below if isinstance(below, dict) else {}, rest, found) if rest else found}


def _union_with(operand: Any, find: Find) -> Stage:
    options = {"coll": operand} if isinstance(operand, str) else operand
    if not isinstance(options, dict) or "coll" not in options or not set(options) <= {"coll", "pipeline"}:
        raise CommandError(FAILED_TO_PARSE, "$unionWith takes a collection, 'coll', and a 'pipeline'")
    stages = compiled_stages(options.get("pipeline", []), find)

    def run(documents: Documents) -> Documents:
        found: Documents = find(options["coll"], {})
        for stage in stages:
            found = stage(found)
        return [*documents, *found]

    return run


def _facet(operand: Any, find: Find) -> Stage:
    if not isinstance(operand, dict) or not operand:
        raise CommandError(BAD_VALUE, f"the $facet specification must be a non-empty object, not {type_name(operand)}")
    pipelines = {name: compiled_stages(pipeline, find) for name, pipeline in operand.items()}

    def run(documents: Documents) -> Documents:
        listed, result = list(documents), {}
        for name, stages in pipelines.items():
            found: Documents = listed
            for stage in stages:
                found = stage(found)
            result[name] = list(found)
        return [result]

    return run


STAGES: dict[str, Callable[[Any], Stage]] = {
    "$match": _match,
    "$project": lambda operand: _each(compiled_stage(operand)),
    "$addFields": lambda operand: _each(compiled_fields(operand, "$addFields")),
    "$set": lambda operand: _each(compiled_fields(operand, "$set")),
    "$unset": lambda operand: _each(compiled_removal(operand)),
    "$group": compiled_group,
    "$sort": _sort,
    "$limit": _limit,
    "$skip": _skip,
    "$count": _count,
    "$sortByCount": _sort_by_count,
    "$unwind": _unwind,
    "$replaceRoot": _replace_root,
    "$replaceWith": lambda operand: _each(root(compiled_expression(operand), "$replaceWith")),
    "$sample": _sample,
    "$bucket": _bucket,
}
JOINING: dict[str, Callable[[Any, Find], Stage]] = {
    "$lookup": _lookup,
    "$unionWith": _union_with,
    "$facet": _facet,
}
