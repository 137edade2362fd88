"""What several sections check: the names of a registry, and paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from imatgen_flows.errors import InputError
from imatgen_flows.registry import Registry


def choice(registry: Registry, name: str) -> str:
    """Return a name that a registry has; what it says of another becomes pydantic's error."""
    try:
        registry[name]
    except InputError as error:
        raise ValueError(str(error).removesuffix(".")) from error
    return name


def choice_of(registry: Registry) -> Callable[[str], str]:
    """Build a validator of a key whose values are the names of a registry."""

    def check(name: str) -> str:
        return choice(registry, name)

    return check


def one_or_more(value: Any) -> Any:
    """Take one name for a list of one."""
    return [value] if isinstance(value, str) else value


def refuse_no_path(path: Any) -> Any:
    """Refuse a path that is empty, which would mean the folder of the campaign file, or that no system can hold."""
    if isinstance(path, str) and not path.strip():
        raise ValueError("it is empty: name a file or a folder, or leave the key out")
    if "\0" in str(path):
        raise ValueError("it holds a null character, which no path may: take `\\0` out, or quote the path with '...'")
    return path
