"""YAML files that a person writes: read strictly, and explained where they are wrong."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from imatgen_flows.errors import InputError


class Section(BaseModel):
    """A part of a file. What it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)


def read_user_file(
    path: Path,
    model: type[Model],
    kind: str,
    cure: str,
    *,
    renamed: Mapping[str, str] | None = None,
    check: Callable[[Path, dict], None] | None = None,
) -> Model:
    """Read a YAML file into its model.

    Parameters
    ----------
    path : the file
    model : what it holds
    kind : what people call such a file, for example "campaign file"
    cure : what to do where there is none
    renamed : keys of before, and what they are called now
    check : refuses the content as a whole, before any key is looked at

    Raises
    ------
    InputError
        Where the file is missing, is not YAML, or says something the program does not know. The message names the
        key, and the nearest known key for a misspelt one.
    """
    content = read_yaml(path, kind, cure)
    if check:
        check(path, content)
    return validate_content(path, content, model, renamed)


def validate_content(
    path: Path, content: Mapping[str, Any], model: type[Model], renamed: Mapping[str, str] | None = None
) -> Model:
    """Validate the content of a YAML file against its model.

    Parameters
    ----------
    path : the file, for messages
    content : as read
    model, renamed : as for `read_user_file`

    Raises
    ------
    InputError
        Where the content says something the program does not know.
    """
    try:
        return model.model_validate(content, context={"file": path.name})
    except ValidationError as error:
        raise InputError("\n".join(f"{path.name}: {line}" for line in explain(error, model, renamed or {}))) from error


def read_yaml(path: Path, kind: str, cure: str) -> dict[str, Any]:
    """Read a YAML file that holds `key: value` lines.

    Raises
    ------
    InputError
        Where the file is missing, is not YAML, or holds something else.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such {kind}. {cure}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        held = "is empty" if content is None else f"holds {str(content)[:40]!r}"
        raise InputError(f"{path}: a {kind} is a list of `key: value` lines; this one {held}.")
    return content


def write_user_file(path: Path, content: BaseModel) -> None:
    """Write a model with every key spelled out."""
    import yaml

    from imatgen_flows.io.files import write_atomic

    write_atomic(path, yaml.safe_dump(content.model_dump(mode="json", by_alias=True), sort_keys=False))


def explain(error: ValidationError, root: type[BaseModel], renamed: Mapping[str, str]) -> list[str]:
    """Say in one sentence each what pydantic found."""
    sentences = []
    for fault in error.errors():
        where = [str(part) for part in fault["loc"]]
        key = ".".join(where)
        if key in renamed and fault["type"] in ("extra_forbidden", "value_error"):
            sentences.append(f"`{key}` is now called `{renamed[key]}`.")
        elif fault["type"] == "extra_forbidden":
            known = _known_keys(root, where[:-1])
            near = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.5)
            prefix = "".join(f"{part}." for part in where[:-1])
            hint = f"Did you mean `{prefix}{near[0]}`?" if near else f"Known here: {', '.join(sorted(known))}."
            sentences.append(f"unknown key `{key}`. {hint}")
        elif fault["type"] == "missing":
            sentences.append(f"`{key}` is missing.")
        elif fault["type"] in ("model_type", "dict_type"):
            sentences.append(f"`{key}` is {fault['input']!r}: a section holds `key: value` lines of its own.")
        elif fault["type"] == "value_error":
            sentences.append(f"{f'`{key}`: ' if key else ''}{fault['ctx']['error']}.".replace("?.", "?"))
        elif fault["type"] == "string_type" and isinstance(fault["input"], bool):
            value, words = ("true", ("Yes", "On", "True")) if fault["input"] else ("false", ("No", "Off", "False"))
            sentences.append(
                f"`{key}` is {value}: YAML reads the words {', '.join(words)} as {value}. Write the word in quotes, for "
                f'example "{words[0]}".'
            )
        else:
            sentences.append(f"`{key}` is {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}.")
    return sentences


def _known_keys(model: type[BaseModel], where: list[str]) -> list[str]:
    fields: dict[str, Any] = {field.alias or name: field for name, field in model.model_fields.items()}
    if not where:
        return list(fields)
    inner = fields[where[0]].annotation
    return _known_keys(inner, where[1:])
