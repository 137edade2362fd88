"""YAML files that a person writes: read strictly, and explained where they are wrong."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    import yaml

NOT_UTF8 = "cannot be read: it is not text in UTF-8. Save it as UTF-8 with your editor."
_FAULTS_OF_PATHS = {
    errno.ELOOP: "its links lead in a circle. Correct the links, or the path",
    errno.ENAMETOOLONG: "the name is longer than that of any file. Correct it",
}
MERGING = ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")  # the keys `<<` and `=`, which are no values


class Section(BaseModel):
    """A part of a file. What it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `yes` and `true` where a number is meant, which pydantic would read as 1."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        kinds = {annotation, *get_args(annotation)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError(f"it is {str(value).lower()}, and no number")
        return value


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
    renamed : keys of before, and what they are called now; one may be `section.key: value`, where a value has another name
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
        Where the file is missing, is not YAML, names a key twice, or holds something else.
    """
    try:
        content = load_yaml(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such {kind}. {cure}") from error
    if not isinstance(content, dict):
        held = "is empty" if content is None else f"holds {str(content)[:40]!r}"
        raise InputError(f"{path}: a {kind} is a list of `key: value` lines; this one {held}.")
    return content


def load_yaml(path: Path) -> Any:
    """Load whatever a YAML file holds, each of its keys once.

    PyYAML keeps the last of two equal keys, and with it the last of two sections, without a word.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    InputError
        Where it cannot be read, is not YAML, or names a key twice; the message has the key and the lines of both.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        if "\0" in text:  # every other byte of UTF-16 without a mark
            raise InputError(f"{path}: {NOT_UTF8}")
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if repeated := list(_repeated_keys(loader, node, (), set())):
                raise InputError("\n".join(f"{path}: {sentence}" for sentence in repeated))
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except FileNotFoundError:
        raise
    except IsADirectoryError as error:
        raise InputError(f"{path}: a directory, where a YAML file is expected.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {NOT_UTF8}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:  # a date such as 2026-13-01 is a ValueError
        raise InputError(f"{path}: cannot be read as YAML: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: cannot be read: it is nested too deeply.") from error


def _repeated_keys(
    loader: yaml.SafeLoader, node: yaml.Node | None, where: tuple[str, ...], seen: set[int]
) -> Iterator[str]:
    """Find the keys that stand twice in one mapping; what `<<` merges into it may be overridden, and is not counted."""
    import yaml

    if node is None or id(node) in seen:  # an alias leads to the node of its anchor
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated_keys(loader, item, (*where, str(index)), seen)
    elif isinstance(node, yaml.MappingNode):
        first: dict[Any, int] = {}
        for key, value in node.value:
            name = (*where, str(key.value) if isinstance(key, yaml.ScalarNode) else "?")
            line = key.start_mark.line + 1
            # as constructed, since `yes` and `true` are one key; what is no scalar is refused when it is constructed
            plain = isinstance(key, yaml.ScalarNode) and key.tag not in MERGING
            known = loader.construct_object(key) if plain else key.tag if key.tag in MERGING else id(key)
            if known in first:
                yield f"`{'.'.join(name)}` stands in line {first[known]} and again in line {line}: leave one of them."
            first.setdefault(known, line)
            yield from _repeated_keys(loader, value, name, seen)


def resolve_path(path: Path, file: Path, key: str) -> Path:
    """Make a path that a file of the user names absolute; whether there is something is asked where it is read.

    Parameters
    ----------
    path : as the file names it, relative to the file
    file : that names it
    key : of the path, to name it in errors

    Raises
    ------
    InputError
        Where the path can lead nowhere: to a home that does not exist, round in links, or by too long a name.
    """
    try:
        expanded = path.expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{file.name}: `{key}`: {path}: `{path.parts[0]}` is no home folder here. Write the path in full."
        ) from error
    resolved = file.parent / expanded
    try:
        resolved = resolved.resolve()
        resolved.stat()
    except (RuntimeError, OSError) as error:  # pathlib raises the first until Python 3.12
        number = error.errno if isinstance(error, OSError) else errno.ELOOP
        if number in _FAULTS_OF_PATHS:
            raise InputError(f"{file.name}: `{key}`: {path}: {_FAULTS_OF_PATHS[number]}.") from error
    return resolved


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
        if key in renamed and fault["type"] == "value_error":
            sentences.append(f"`{key}` is now called `{renamed[key]}`.")
        elif fault["type"] == "extra_forbidden" and (old := _old_names(key, fault["input"], renamed)):
            sentences += [f"`{name}` is now called `{renamed[name]}`." for name in old]
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


def _old_names(key: str, value: Any, renamed: Mapping[str, str]) -> list[str]:
    """List the old names of `renamed` under which a key stands, or the keys of a section that is no more."""
    inner = value if isinstance(value, Mapping) else {}
    names = [key, *(f"{key}.{name}" for name in inner), *(f"{key}.{name}: {item}" for name, item in inner.items())]
    return [name for name in names if name in renamed]


def _known_keys(model: type[BaseModel], where: list[str]) -> list[str]:
    fields: dict[str, Any] = {field.alias or name: field for name, field in model.model_fields.items()}
    if not where:
        return list(fields)
    inner = fields[where[0]].annotation
    return _known_keys(inner, where[1:])
