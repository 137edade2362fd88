"""Campaign files of version 1: what their keys are called now, and how they become files of version 2."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imatgen_flows.errors import InputError

# key of version 1 -> key of version 2; keys that are not here did not change
RENAMED_KEYS = {
    "generator": "model",
    "sampling.random": "sampling.prior",
    "sampling.around_known": "sampling.perturb",
    "rounds.caution": "rounds.kappa",
}


def refuse_version_1(path: Path, content: Mapping[str, Any]) -> None:
    """Say how a file of version 1 becomes one of version 2.

    Raises
    ------
    InputError
        Where the file says that it is of version 1; the message gives the new name of each of its old keys.
    """
    if content.get("version") != 1:
        return
    old = renamings_in(content)
    raise InputError(
        f"{path}: a campaign of version 1; this program reads version 2. "
        + (f"{'; '.join(old)}. " if old else "")
        + f"`imatgen init DIR --from {shlex.quote(str(path))}` writes it anew. The run directory of such a campaign "
        "keeps its report, and cannot be continued: run the new file in another directory."
    )


def renamings_in(content: Mapping[str, Any]) -> list[str]:
    """Say of each key that has a new name what it is called now."""
    return [f"`{key}` is now `{new}`" for key, new in RENAMED_KEYS.items() if _has(content, key)]


def convert_version_1(content: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the keys of a campaign of version 1; values stay as they are.

    Raises
    ------
    InputError
        Where a key stands under its old and under its new name, so that one of the two values would be lost.

    Examples
    --------
    >>> convert_version_1({"version": 1, "system": ["V", "O"], "generator": {"seed": 7}, "sampling": {"random": 3}})
    {'version': 2, 'system': ['V', 'O'], 'model': {'seed': 7}, 'sampling': {'prior': 3}}
    """
    for old, new in RENAMED_KEYS.items():
        if _has(content, old) and _has(content, new):
            raise InputError(
                f"`{old}` and `{new}` are the same key by its old and its new name: leave out one of them."
            )
    top = {old: new for old, new in RENAMED_KEYS.items() if "." not in old}
    converted: dict[str, Any] = {"version": 2}
    for key, value in content.items():
        if key == "version":
            continue
        inner = {
            old.removeprefix(f"{key}."): new.rpartition(".")[2]
            for old, new in RENAMED_KEYS.items()
            if old.startswith(f"{key}.")
        }
        if isinstance(value, Mapping):
            value = {inner.get(name, name): item for name, item in value.items()}  # noqa: PLW2901
        converted[top.get(key, key)] = value
    return converted


def _has(content: Mapping[str, Any], key: str) -> bool:
    section, _, inner = key.partition(".")
    return section in content and (not inner or (isinstance(content[section], Mapping) and inner in content[section]))
