"""Plans: which ranges of an index hold what a filter may match, and which index gives the order of a sort."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

from bson import ObjectId

from imatgen_flows.launchpad.indexes import Index
from imatgen_flows.launchpad.ordering import Kind, invert, key
from imatgen_flows.launchpad.query import Document

LOOKED_UP = (str, int, float, bool, ObjectId, datetime, bytes)
COMPARED = (str, int, float, ObjectId, datetime)
COMPARISONS = ("$gt", "$gte", "$lt", "$lte")
MOST_RANGES = 1_000  # of a filter with several lists of values

Range = tuple[bytes, bytes]  # from a key on, and before another

EVERYTHING: Range = (bytes([Kind.MIN_KEY - 1]), bytes([Kind.MAX_KEY + 1]))
EVERYTHING_INVERTED: Range = (invert(EVERYTHING[1]), invert(EVERYTHING[0]))


@dataclass(frozen=True)
class IndexPlan:
    """A way through an index.

    Attributes
    ----------
    ranges : of keys; all documents that match have an entry in one of them
    bound : whether the ranges leave entries out
    equal : of how many first fields each range holds one value only
    """

    index: Index
    ranges: list[Range]
    bound: bool
    equal: int = 0

    def sorts(self, sort: Document) -> int:
        """Return 1 where the entries are in the order of a sort, -1 where they are in the opposite one, else 0."""
        index = self.index
        if index.sparse or index.condition is not None or len(self.ranges) != 1 or (index.multikey and self.bound):
            return 0
        wanted = list(sort.items())
        fields = [(path, -1 if descending else 1) for path, descending in index.fields]
        for first in range(self.equal + 1):
            covered = fields[first : first + len(wanted)]
            if [path for path, _ in covered] == [path for path, _ in wanted]:
                ways = {direction * other for (_, direction), (_, other) in zip(covered, wanted, strict=True)}
                return ways.pop() if len(ways) == 1 else 0
        return 0


def plans(indexes: list[Index], query: Document) -> list[IndexPlan]:
    """Return a plan for each index that can be used for a filter; those that hold every document are there without one."""
    wanted: dict[str, list[Any]] = {}
    for path, condition in _conditions(query):
        wanted.setdefault(path, []).append(condition)
    return [plan for index in indexes if index.condition is None for plan in [_plan(index, wanted)] if plan]


def _plan(index: Index, wanted: dict[str, list[Any]]) -> IndexPlan | None:
    parts: list[list[Range]] = []
    equal = 0
    for path, descending in index.fields:
        found = _ranges(wanted.get(path, []), index.multikey)
        if found is None:
            break
        ranges, equals = found
        if math.prod(map(len, [*parts, ranges])) > MOST_RANGES:
            break
        parts.append([_inverted(one) for one in ranges] if descending else ranges)
        if not equals:  # what follows is in no order of its own
            break
        equal += len(ranges) == 1 and equal == len(parts) - 1
    if not parts:
        everything = EVERYTHING_INVERTED if index.fields[0][1] else EVERYTHING
        return None if index.sparse else IndexPlan(index, [everything], bound=False)
    # each value but the last is one key: all keys that begin with it
    ranges = [
        (b"".join(low for low, _ in way), b"".join([*(low for low, _ in way[:-1]), way[-1][1]]))
        for way in product(*parts)
    ]
    return IndexPlan(index, sorted(set(ranges)), bound=True, equal=equal)


def _ranges(conditions: list[Any], multikey: bool) -> tuple[list[Range], bool] | None:
    """Return the ranges of keys that conditions on a field admit, and whether each is one value; None for all keys."""
    for condition in conditions:
        values = _equal_values(condition)
        if values is not None:
            return [(one, after(one)) for one in sorted(set(map(key, values)))], True
    lows, highs = [], []
    for condition in conditions:
        for name in COMPARISONS:
            value = condition.get(name) if isinstance(condition, dict) else None
            if not isinstance(value, COMPARED) or isinstance(value, bool) or value != value:  # noqa: PLR0124 (NaN)
                continue
            bound = key(value)
            low, high = bound[:1], bytes([bound[0] + 1])  # values of one kind only are compared
            if name in ("$gt", "$gte"):
                low = after(bound) if name == "$gt" else bound
            else:
                high = bound if name == "$lt" else after(bound)
            if multikey:  # another element of an array may be below the high bound
                return [(low, high)], False
            lows.append(low)
            highs.append(high)
    return ([(max(lows), min(highs))], False) if lows else None


def _conditions(query: Document) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a filter with their conditions, all of which must hold."""
    for name, value in query.items():
        if name == "$and":
            for part in value:
                yield from _conditions(part)
        elif not name.startswith("$"):
            yield name, value


def _equal_values(condition: Any) -> list[Any] | None:
    """Return the values one of which a field must equal; None where one is null, which a missing field equals too."""
    values: list = [condition]
    if isinstance(condition, dict):
        values = [condition["$eq"]] if "$eq" in condition else condition.get("$in", [None])
    return values if isinstance(values, list) and all(_can_look_up(value) for value in values) else None


def _can_look_up(value: Any) -> bool:
    return isinstance(value, LOOKED_UP) and value == value  # noqa: PLR0124 (not NaN)


def after(prefix: bytes) -> bytes:
    """Return the lowest bytes above all that begin with a prefix."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1])


def _inverted(limits: Range) -> Range:
    """Return the range of the inverted keys of a range."""
    low, high = limits
    return after(invert(high)), after(invert(low))
