"""Registries: one list of each kind of thing, from which choices, help texts and error messages derive."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import Any, Generic, Self, TypeVar

from imatgen_flows.errors import InputError


def load_object(path: str) -> Any:
    """Import what ``module:name`` names: how an entry refers to code that is too heavy to import with its registry.

    Examples
    --------
    >>> load_object("math:tau") > 6
    True
    """
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


class DescribedEnum(str, Enum):
    """A value that is stored, with the words that people read: a closed list, where `Registry` is an open one.

    Attributes
    ----------
    label : a few words
    description : one sentence

    Examples
    --------
    >>> class Colour(DescribedEnum):
    ...     RED = "red", "Red", "Of long waves."
    >>> Colour("red").label
    'Red'
    """

    label: str
    description: str

    def __new__(cls, value: str, label: str = "", description: str = "") -> Self:
        """Make a member of its value, its label and its description."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.label, member.description = label, description
        return member


@dataclass(frozen=True)
class Entry:
    """Something that a user can choose by name.

    Parameters
    ----------
    name : what the user writes
    label : what people read
    description : one sentence for help texts
    """

    name: str
    label: str
    description: str


E = TypeVar("E", bound=Entry)


class Registry(Generic[E]):
    """An ordered list of entries, found by name.

    Parameters
    ----------
    kind : what one entry is called, for error messages
    entries : in the order in which they are shown

    Examples
    --------
    >>> colours = Registry("colour", Entry("red", "Red", "Of long waves."))
    >>> colours["red"].label
    'Red'
    >>> colours.names
    ('red',)
    """

    def __init__(self, kind: str, *entries: E) -> None:
        self.kind = kind
        self._entries = {entry.name: entry for entry in entries}

    def __iter__(self) -> Iterator[E]:
        return iter(self._entries.values())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, name: str) -> E:
        """Find an entry.

        Raises
        ------
        InputError
            Where there is none of this name; the message gives the nearest one, or all.
        """
        if name in self._entries:
            return self._entries[name]
        near = difflib.get_close_matches(str(name), self._entries, n=1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Known: {', '.join(self._entries)}."
        raise InputError(f"unknown {self.kind} `{name}`. {hint}")

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in order."""
        return tuple(self._entries)

    def add(self, entry: E) -> None:
        """Add an entry, or replace the one of its name."""
        self._entries[entry.name] = entry

    def remove(self, name: str) -> None:
        """Take an entry out."""
        del self._entries[name]

    def help(self) -> str:
        """Describe all entries in one line, for a help text."""
        return "; ".join(f"`{entry.name}`: {entry.description.rstrip('.')}" for entry in self) + "."
