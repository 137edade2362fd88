"""Earlier campaign files: what their keys are called now, and how a file gets the keys of today."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imatgen_flows.errors import InputError

# old key -> key of today, with a value where one value alone has another name; keys that are not here did not change
RENAMED_KEYS = {
    "generator": "model",
    "sampling.random": "sampling.prior",
    "sampling.around_known": "sampling.perturb",
    "rounds.caution": "rounds.kappa",
    "start.model": "model.start",
    "start.use: fine_tune": "model.fine_tune",
    "start.use: sample_only": "model.fine_tune: 0",
    "start.share": "model.fine_tune",
    "rounds.fine_tune": "model.fine_tune",
}
USES = ("fine_tune", "sample_only")  # values of `start.use`
SHARE = 0.3  # default of `start.share`, `rounds.fine_tune` and `model.fine_tune`


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


def rename_old_keys(content: Mapping[str, Any]) -> dict[str, Any]:
    """Give a campaign of version 1, or an earlier one of version 2, the keys of today; values stay as they are.

    Raises
    ------
    InputError
        Where a key stands under its old and under its new name, so that one of the two values would be lost.

    Examples
    --------
    >>> rename_old_keys({"version": 1, "system": ["V", "O"], "generator": {"seed": 7}, "sampling": {"random": 3}})
    {'version': 2, 'system': ['V', 'O'], 'model': {'seed': 7}, 'sampling': {'prior': 3}}
    """
    for old, new in RENAMED_KEYS.items():
        if _has(content, old) and _has(content, new.partition(": ")[0]):
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
            if old.startswith(f"{key}.") and new.startswith(f"{key}.")
        }
        if isinstance(value, Mapping):
            value = {inner.get(name, name): item for name, item in value.items()}  # noqa: PLW2901
        converted[top.get(key, key)] = value
    return _training_in_model(converted)


def _training_in_model(content: dict[str, Any]) -> dict[str, Any]:
    """Move what `start` and `rounds` say of the networks into `model`; what nobody knows stays, to be refused.

    Raises
    ------
    InputError
        Where the first round and further ones train by different shares, which one key cannot say.
    """
    sections = {name: content.get(name, {}) for name in ("start", "rounds", "model")}
    if not all(isinstance(section, Mapping) for section in sections.values()):
        return content
    start, rounds, model = ({**section} for section in sections.values())
    file, first = start.pop("model", None), start.pop("share", SHARE)
    further, use = rounds.pop("fine_tune", SHARE), start.get("use", USES[0])
    if use in USES:
        start.pop("use", None)
    if file is not None:
        model["start"] = file
        if use == "sample_only":
            first = further = 0
        elif first != further and rounds.get("at_most", 1) != 1:
            raise InputError(
                f"`start.share: {first}` and `rounds.fine_tune: {further}` are one key now, `model.fine_tune`: give both "
                "the same value."
            )
    share = further if file is None else first
    if share != SHARE:
        model["fine_tune"] = share
    left = {"start": start, "rounds": rounds, "model": model}
    return {name: section for name, section in (content | left).items() if section or name not in left}


def _has(content: Mapping[str, Any], key: str) -> bool:
    key, _, value = key.partition(": ")
    section, _, inner = key.partition(".")
    if not inner:
        return section in content
    inside = content.get(section)
    return isinstance(inside, Mapping) and inner in inside and (not value or str(inside[inner]) == value)
