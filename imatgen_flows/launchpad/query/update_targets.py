"""The fields that an update changes: paths with positions in arrays, and what holds the value at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imatgen_flows.launchpad.errors import BAD_VALUE, PATH_NOT_VIABLE, CommandError
from imatgen_flows.launchpad.query.documents import MISSING, Document
from imatgen_flows.launchpad.query.paths import is_index

LONGEST_PADDING = 1_500_000  # elements, as MongoDB


@dataclass(frozen=True)
class Target:
    """A place in a document: a field of a document, or a position in an array.

    Attributes
    ----------
    holder : the document or array
    name : of the field, or the position
    """

    holder: Any
    name: Any

    def value(self) -> Any:
        """Return what is there, or `MISSING`."""
        if isinstance(self.holder, list):
            return self.holder[self.name] if self.name < len(self.holder) else MISSING
        return self.holder.get(self.name, MISSING)

    def put(self, value: Any) -> None:
        """Set it; an array is filled with nulls up to it.

        Raises
        ------
        CommandError
            Where the array would become too long.
        """
        if isinstance(self.holder, list):
            missing = self.name + 1 - len(self.holder)
            if missing > LONGEST_PADDING:
                raise CommandError(BAD_VALUE, f"can't backfill array to larger than {LONGEST_PADDING} elements")
            self.holder.extend([None] * missing)
        self.holder[self.name] = value

    def remove(self) -> None:
        """Remove a field; an element of an array becomes null."""
        if isinstance(self.holder, list):
            if self.name < len(self.holder):
                self.holder[self.name] = None
        else:
            self.holder.pop(self.name, None)


def find(document: Document, parts: Sequence[str], create: bool = False) -> Target | None:
    """Return the target at a path, or None where what should hold it is missing.

    Parameters
    ----------
    create : make the documents on the way that are missing

    Raises
    ------
    CommandError
        Where `create` meets a value on the way that is neither a document nor an array, or a name for a position.
    """
    holder: Any = document
    for position, name in enumerate(parts):
        target = _target(holder, name)
        if target is None:
            if create:
                raise _not_viable(name, parts[:position], holder)
            return None
        if position == len(parts) - 1:
            return target
        holder = target.value()
        if holder is MISSING:
            if not create:
                return None
            holder = {}
            target.put(holder)
    return None


def _target(holder: Any, name: str) -> Target | None:
    if isinstance(holder, dict):
        return Target(holder, name)
    if isinstance(holder, list) and is_index(name):
        return Target(holder, int(name))
    return None


def _not_viable(name: str, above: Sequence[str], holder: Any) -> CommandError:
    where = {above[-1] if above else "": holder}
    return CommandError(PATH_NOT_VIABLE, f"Cannot create field '{name}' in element {where!r}")


class Positions:
    """Replaces `$`, `$[]` and `$[name]` in paths by positions.

    Parameters
    ----------
    found : the element of each array that the filter found, by the path of the array
    filters : the test of an element for each name
    """

    def __init__(self, found: dict[str, int], filters: dict[str, Callable[[Any], bool]]) -> None:
        self._found = found
        self._filters = filters

    def paths(self, document: Document, parts: Sequence[str]) -> Iterator[list[str]]:
        """Yield the paths, without placeholders, that a path stands for in a document.

        Raises
        ------
        CommandError
            Where the filter found no element, or there is no array to be changed.
        """
        at = next((position for position, name in enumerate(parts) if name.startswith("$")), None)
        if at is None:
            yield list(parts)
            return
        for position in self._positions(document, parts[:at], parts[at]):
            yield from self.paths(document, [*parts[:at], str(position), *parts[at + 1 :]])

    def _positions(self, document: Document, above: Sequence[str], name: str) -> list[int]:
        if name == "$":
            return [self._found_position(".".join(above))]
        target = find(document, above)
        array = MISSING if target is None else target.value()
        path = ".".join([*above, name])
        if array is MISSING:
            raise CommandError(
                BAD_VALUE,
                f"The path '{'.'.join(above)}' must exist in the document in order to apply array updates to {path}.",
            )
        if not isinstance(array, list):
            raise CommandError(BAD_VALUE, f"Cannot apply array updates to non-array element {above[-1]}: {array!r}")
        test = self._filters.get(name[2:-1])
        return [position for position, item in enumerate(array) if test is None or test(item)]

    def _found_position(self, path: str) -> int:
        plain = ".".join(name for name in path.split(".") if not is_index(name))
        chosen = self._found.get(path, self._found.get(plain, next(reversed(self._found.values()), None)))
        if chosen is None:
            raise CommandError(BAD_VALUE, "The positional operator did not find the match needed from the query.")
        return chosen
