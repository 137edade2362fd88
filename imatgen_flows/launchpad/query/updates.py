"""Updates: a change applied to a copy of a document, and the document that an upsert starts from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from imatgen_flows.launchpad.errors import (
    BAD_VALUE,
    CONFLICTING_UPDATE,
    DOLLAR_FIELD,
    EMPTY_FIELD_NAME,
    FAILED_TO_PARSE,
    IMMUTABLE_FIELD,
    INVALID_ID,
    INVALID_OPTIONS,
    NOT_SINGLE_VALUE,
    CommandError,
)
from imatgen_flows.launchpad.ordering import key
from imatgen_flows.launchpad.query import patterns
from imatgen_flows.launchpad.query.documents import MISSING, Document, copy, operator_of, type_name
from imatgen_flows.launchpad.query.filters import array_positions, compiled
from imatgen_flows.launchpad.query.paths import is_index
from imatgen_flows.launchpad.query.pipelines import run_stages
from imatgen_flows.launchpad.query.update_operators import CHANGES, NEEDS_FIELD, UNCHANGED
from imatgen_flows.launchpad.query.update_targets import Positions, find

OPERATORS = (*CHANGES, "$rename")
UPDATE_STAGES = ("$addFields", "$set", "$project", "$unset", "$replaceRoot", "$replaceWith")


class FieldChange(NamedTuple):
    """One field to change, by one operator."""

    parts: list[str]
    name: str
    operand: Any


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
        Where the change is malformed or not supported, does not suit the document, or would change its `_id`.
    """
    if array_filters and not (isinstance(change, dict) and not is_replacement(change)):
        raise CommandError(FAILED_TO_PARSE, "arrayFilters are for updates with operators only")
    if is_replacement(change):
        new = _replaced(old, change)
    elif isinstance(change, list):
        new = _piped(old, change)
    elif isinstance(change, dict):
        new = copy(old)
        filters = _array_filters(array_filters or [])
        _apply(new, query, _steps(change, inserting), filters)
    else:
        raise CommandError(FAILED_TO_PARSE, f"an update must be a document or a pipeline, not {type_name(change)}")
    _check_id(old, new)
    return new


def check_id(document: Document) -> None:
    """Raise CommandError where a document has an `_id` that none may have."""
    value = document.get("_id")
    if isinstance(value, list) or patterns.is_pattern(value):
        raise CommandError(INVALID_ID, f"The '_id' value cannot be of type {type_name(value)}")
    if isinstance(value, dict) and operator_of(value):
        raise CommandError(DOLLAR_FIELD, f"_id fields may not contain '$'-prefixed fields: {operator_of(value)}")


def _check_id(old: Document, new: Document) -> None:
    if "_id" in old and ("_id" not in new or key(new["_id"]) != key(old["_id"])):
        raise CommandError(
            IMMUTABLE_FIELD, "Performing an update on the path '_id' would modify the immutable field '_id'"
        )
    check_id(new)


def _replaced(old: Document, change: Document) -> Document:
    wrong = next((name for name in change if name.startswith("$")), None)
    if wrong:
        raise CommandError(
            DOLLAR_FIELD, f"The dollar ($) prefixed field '{wrong}' in '{wrong}' is not allowed in a replacement."
        )
    return {"_id": old["_id"], **change} if "_id" in old else dict(change)


def _piped(old: Document, pipeline: list) -> Document:
    for stage in pipeline:
        name = next(iter(stage), "") if isinstance(stage, dict) else ""
        if name not in UPDATE_STAGES:
            raise CommandError(INVALID_OPTIONS, f"{name} is not allowed to be used within an update")
    [new] = run_stages([copy(old)], pipeline)
    return {"_id": old["_id"], **new} if "_id" in old and "_id" not in new else new


# operators


def _steps(change: Document, inserting: bool) -> list[FieldChange]:
    """Return the fields to change in MongoDB's order: by their names, positions in arrays by number."""
    steps, paths = [], []
    for name, operands in change.items():
        if name not in OPERATORS:
            raise CommandError(
                FAILED_TO_PARSE,
                f"Unknown modifier: {name}. Expected a valid update modifier or pipeline-style update specified as an array",
            )
        if not isinstance(operands, dict):
            raise CommandError(
                FAILED_TO_PARSE,
                f"Modifiers operate on fields but we found type {type_name(operands)} instead, for {name}",
            )
        for path, operand in operands.items():
            parts = _parts(path)
            paths.append(parts)
            if name == "$rename":
                paths.append(_renamed(path, operand))
            if name != "$setOnInsert" or inserting:
                steps.append(FieldChange(parts, name, operand))
    _refuse_conflicts(paths)
    return sorted(steps, key=lambda step: _order(step.parts))


def _parts(path: str) -> list[str]:
    parts = path.split(".")
    if not path:
        raise CommandError(EMPTY_FIELD_NAME, "An empty update path is not valid.")
    if not all(parts):
        raise CommandError(
            EMPTY_FIELD_NAME, f"The update path '{path}' contains an empty field name, which is not allowed."
        )
    for name in parts:
        if name.startswith("$") and name != "$" and not (name.startswith("$[") and name.endswith("]")):
            raise CommandError(
                DOLLAR_FIELD, f"The dollar ($) prefixed field '{name}' in '{path}' is not valid for storage."
            )
    if parts[0].startswith("$"):
        raise CommandError(
            BAD_VALUE, f"Cannot have positional (i.e. '$') element in the first position in path '{path}'"
        )
    return parts


def _renamed(path: str, operand: Any) -> list[str]:
    if not isinstance(operand, str):
        raise CommandError(BAD_VALUE, f"The 'to' field for $rename must be a string: {path}: {operand!r}")
    parts = _parts(operand)
    if any(name.startswith("$") for name in [*path.split("."), *parts]):
        raise CommandError(BAD_VALUE, f"The fields of $rename may not be dynamic: {path}: {operand}")
    if operand == path:
        raise CommandError(BAD_VALUE, f"The source and target field for $rename must differ: {path}: {operand}")
    return parts


def _order(parts: list[str]) -> list[tuple[int, int, str]]:
    return [(0, int(name), "") if is_index(name) else (1, 0, name) for name in parts]


def _refuse_conflicts(paths: list[list[str]]) -> None:
    ordered = sorted(paths)
    for above, below in zip(ordered, ordered[1:], strict=False):
        if below[: len(above)] == above:
            raise CommandError(
                CONFLICTING_UPDATE,
                f"Updating the path '{'.'.join(below)}' would create a conflict at '{'.'.join(above)}'",
            )


def _array_filters(filters: list[Document]) -> dict[str, Callable[[Any], bool]]:
    """Return the test of an element for each name in the filters."""
    tests: dict[str, Callable[[Any], bool]] = {}
    for item in filters:
        names = set(_first_names(item))
        if len(names) != 1:
            raise CommandError(
                FAILED_TO_PARSE, f"Expected a single top-level field name in an array filter, found {names}"
            )
        [name] = names
        if name in tests:
            raise CommandError(
                FAILED_TO_PARSE, f"Found multiple array filters with the same top-level field name {name}"
            )
        tests[name] = _element_test(name, compiled(item))
    return tests


def _first_names(query: Document) -> Iterator[str]:
    for name, value in query.items():
        if name.startswith("$") and isinstance(value, list):
            for part in value:
                yield from _first_names(part)
        else:
            yield name.split(".")[0]


def _element_test(name: str, predicate: Callable[[Document], bool]) -> Callable[[Any], bool]:
    return lambda item: predicate({name: item})


def _apply(
    document: Document, query: Document, steps: list[FieldChange], filters: dict[str, Callable[[Any], bool]]
) -> None:
    named = {name[2:-1] for step in steps for name in step.parts if name.startswith("$[")} - {""}
    if unknown := sorted(named - set(filters)):
        raise CommandError(BAD_VALUE, f"No array filter found for identifier '{unknown[0]}'")
    if unused := sorted(set(filters) - named):
        raise CommandError(FAILED_TO_PARSE, f"The array filter for identifier '{unused[0]}' was not used in the update")
    by_position = any("$" in step.parts for step in steps)
    positions = Positions(array_positions(query, document) if by_position else {}, filters)
    for step in steps:
        if step.name == "$rename":
            _rename(document, step)
            continue
        for parts in list(positions.paths(document, step.parts)):
            _change(document, parts, step)


def _change(document: Document, parts: list[str], step: FieldChange) -> None:
    change, path = CHANGES[step.name], ".".join(parts)
    target = find(document, parts)
    new = change(target.value() if target else MISSING, step.operand, path)
    if new is UNCHANGED:
        return
    if target is None and step.name in NEEDS_FIELD:
        return
    target = target or find(document, parts, create=True)
    if target is None:
        return
    if new is MISSING:
        target.remove()
    else:
        target.put(new)


def _rename(document: Document, step: FieldChange) -> None:
    for parts, which in ((step.parts, "source"), (step.operand.split("."), "destination")):
        for end in range(1, len(parts)):
            above = find(document, parts[:end])
            if above and isinstance(above.value(), list):
                raise CommandError(
                    BAD_VALUE,
                    f"The {which} field cannot be an array element, '{'.'.join(parts)}' in a document with an array",
                )
    source = find(document, step.parts)
    if source is None or source.value() is MISSING:
        return
    value = source.value()
    target = find(document, step.operand.split("."), create=True)
    source.remove()
    if target:
        target.put(value)


# upserts


def seed(query: Document) -> Document:
    """Return the document that an upsert starts from, made of the equality conditions of its filter.

    Raises
    ------
    CommandError
        Where two conditions set the same field.
    """
    document: Document = {}
    paths: list[list[str]] = []
    for path, value in _equalities(query):
        parts = path.split(".")
        for other in paths:
            if parts[: len(other)] == other[: len(parts)]:
                raise CommandError(
                    NOT_SINGLE_VALUE, f"cannot infer query fields to set, path '{path}' is matched twice"
                )
        paths.append(parts)
        target = find(document, parts, create=True)
        if target:
            target.put(value)
    return document


def _equalities(query: Document) -> Iterator[tuple[str, Any]]:
    for name, value in query.items():
        if name == "$and" or (name == "$or" and len(value) == 1):
            for part in value:
                yield from _equalities(part)
        elif name.startswith("$") or patterns.is_pattern(value):
            continue
        elif operator_of(value) is None:
            yield name, value
        elif "$eq" in value:
            yield name, value["$eq"]
        elif isinstance(value.get("$all"), list) and len(value["$all"]) == 1 and operator_of(value["$all"][0]) is None:
            yield name, value["$all"][0]
