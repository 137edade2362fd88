"""Dotted paths: what stands at them, in documents and within arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bson import DBRef

from imatgen_flows.launchpad.query.documents import MISSING, Document


def is_index(name: str) -> bool:
    """Whether a part of a path is a position in an array."""
    return name.isascii() and name.isdigit() and (name == "0" or name[0] != "0")


def leaves(document: Document, parts: Sequence[str]) -> Iterator[Any]:
    """Yield the values at a path as filters see them: those of each document in an array on the way.

    A missing value is yielded as `MISSING`; arrays at the end of the path are yielded whole.
    """
    value: Any = document
    for position, name in enumerate(parts):
        if isinstance(value, DBRef):
            value = value.as_doc()
        if isinstance(value, list):
            yield from _leaves_in_array(value, parts[position:])
            return
        value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
    yield value


def _leaves_in_array(array: list, parts: Sequence[str]) -> Iterator[Any]:
    for item in array:
        if isinstance(item, dict):
            yield from leaves(item, parts)
    if not is_index(parts[0]) or int(parts[0]) >= len(array):
        return
    item, rest = array[int(parts[0])], parts[1:]
    if not rest:
        yield item
    elif isinstance(item, list):
        yield from _leaves_in_array(item, rest)
    elif isinstance(item, dict):
        yield from leaves(item, rest)


def values_at(path: str, document: Document) -> Iterator[Any]:
    """Yield the values at a dotted path, each element of an array; None where there is none, as in MongoDB's indexes."""
    nothing = True
    for found in leaves(document, path.split(".")):
        nothing = False
        if isinstance(found, list):
            yield from found
        else:
            yield None if found is MISSING else found
    if nothing:
        yield None


def field_at(value: Any, parts: Sequence[str]) -> Any:
    """Return what an expression such as `$a.b` stands for: an array where there is an array on the way."""
    for position, name in enumerate(parts):
        if isinstance(value, DBRef):
            value = value.as_doc()
        if isinstance(value, list):
            rest = parts[position:]
            found = (field_at(item, rest) for item in value if isinstance(item, dict))
            return [item for item in found if item is not MISSING]
        if not isinstance(value, dict):
            return MISSING
        value = value.get(name, MISSING)
    return value
