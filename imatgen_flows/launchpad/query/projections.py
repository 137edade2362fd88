"""Projections: the fields of a document that a client wants, and those that it wants computed."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from imatgen_flows.launchpad.errors import (
    BAD_ROOT,
    BAD_SLICE,
    BAD_VALUE,
    EMPTY_PROJECTION,
    EMPTY_SUBPROJECTION,
    EXCLUSION_IN_INCLUSION,
    INCLUSION_IN_EXCLUSION,
    NOT_IMPLEMENTED,
    PATH_COLLISION,
    POSITIONAL_NOT_FOUND,
    CommandError,
)
from imatgen_flows.launchpad.query.documents import MISSING, Document, is_number, is_true, operator_of
from imatgen_flows.launchpad.query.expressions import Expression, Variables, compiled_expression
from imatgen_flows.launchpad.query.filters import array_positions, element_test
from imatgen_flows.launchpad.query.numbers import as_whole

Projection = Callable[[Document], Document]
Tree = dict[str, Any]  # by the name of a field: a tree, a `Choice`, an `Expression` or a `Cut`
FIND_OPERATORS = ("$slice", "$elemMatch", "$")  # of projections of `find`


class Choice(Enum):
    """Whether a field is wanted."""

    INCLUDED = True
    EXCLUDED = False


class Cut:
    """A field of which a part is wanted.

    Parameters
    ----------
    function : of the value and the whole document
    """

    def __init__(self, function: Callable[[Any, Document], Any], includes: bool) -> None:
        self.function = function
        self.includes = includes


def projected(document: Document, projection: Document | None, query: Document) -> Document:
    """Return the fields of a document that a projection of `find` selects."""
    return compiled_projection(projection, query)(document)


def compiled_projection(projection: Document | None, query: Document) -> Projection:
    """Compile a projection of `find`.

    Parameters
    ----------
    query : the filter, for the positional `field.$`

    Raises
    ------
    CommandError
        Where it is malformed, or mixes included and excluded fields.
    """
    if not projection:
        return lambda document: document
    tree: Tree = {}
    for path, value in projection.items():
        path_ = path.removesuffix(".$")
        wanted = _positional(path_, query) if path_ != path else _wanted(value, True)
        _plant(tree, path_.split("."), wanted, path_)
    return _compiled(tree)


def compiled_stage(specification: Any) -> Projection:
    """Compile the stage `$project`.

    Raises
    ------
    CommandError
        As `compiled_projection`.
    """
    if not isinstance(specification, dict) or not specification:
        raise CommandError(
            EMPTY_PROJECTION, "Invalid $project :: caused by :: projection specification must have at least one field"
        )
    tree: Tree = {}
    for path, value in specification.items():
        _plant(tree, path.split("."), _wanted(value, False), path)
    return _compiled(tree)


def compiled_fields(specification: Any, name: str) -> Projection:
    """Compile the stage `$addFields` or `$set`: fields that are added, or replaced, by computed ones.

    Raises
    ------
    CommandError
        Where it is malformed.
    """
    if not isinstance(specification, dict):
        raise CommandError(BAD_VALUE, f"{name} specification stage must be an object, not {specification!r}")
    tree: Tree = {}
    for path, value in specification.items():
        _plant(tree, path.split("."), _computed(value), path)
    return lambda document: _with_fields(document, tree, Variables.of(document))


def compiled_removal(paths: Any) -> Projection:
    """Compile the stage `$unset`.

    Raises
    ------
    CommandError
        Where the paths are no strings.
    """
    listed = paths if isinstance(paths, list) else [paths]
    if not listed or not all(isinstance(path, str) and path and not path.startswith("$") for path in listed):
        raise CommandError(BAD_VALUE, "$unset specification must be a string or an array of strings")
    tree: Tree = {}
    for path in listed:
        _plant(tree, path.split("."), Choice.EXCLUDED, path)
    return lambda document: _without(document, tree, document)


# from the specification to a tree


def _wanted(value: Any, of_find: bool) -> Any:
    name = operator_of(value)
    if of_find and name in ("$slice", "$elemMatch"):
        if name == "$elemMatch":
            return _element(value[name])
        if _is_cut(value[name]):
            return _slice(value[name])
    if isinstance(value, bool) or is_number(value):
        return Choice(is_true(value))
    if isinstance(value, dict) and name is None:
        if not value:
            raise CommandError(
                EMPTY_SUBPROJECTION, "An empty sub-projection is not a valid value. Found empty object at path"
            )
        tree: Tree = {}
        for path, inner in value.items():
            _plant(tree, path.split("."), _wanted(inner, of_find), path)
        return tree
    if name == "$meta":
        raise CommandError(NOT_IMPLEMENTED, "the embedded LaunchPad has no `$meta`")
    return compiled_expression(value)


def _computed(value: Any) -> Any:
    if isinstance(value, dict) and value and operator_of(value) is None:
        tree: Tree = {}
        for path, inner in value.items():
            _plant(tree, path.split("."), _computed(inner), path)
        return tree
    return compiled_expression(value)


def _plant(tree: Tree, parts: list[str], wanted: Any, path: str) -> None:
    """Put what is wanted of a field into a tree."""
    name, *rest = parts
    if not name or name.startswith("$"):
        raise CommandError(BAD_VALUE, f"FieldPath '{path}' may not be empty, nor have parts that begin with '$'")
    if not rest and name not in tree:
        tree[name] = wanted
        return
    below = tree.setdefault(name, {}) if rest else tree[name]
    if not isinstance(below, dict) or (not rest and not isinstance(wanted, dict)):
        raise CommandError(PATH_COLLISION, f"Path collision at {path}")
    if rest:
        _plant(below, rest, wanted, path)
    else:
        for inner, value in wanted.items():
            _plant(below, [inner], value, f"{path}.{inner}")


def _is_cut(value: Any) -> bool:
    """Whether `$slice` has the form that it has in `find`, and not that of an expression."""
    return as_whole(value) is not None or (
        isinstance(value, list) and all(as_whole(item) is not None for item in value)
    )


def _slice(value: Any) -> Cut:
    numbers = [as_whole(item) or 0 for item in (value if isinstance(value, list) else [value])]
    if len(numbers) > 2 or not numbers or (len(numbers) == 2 and numbers[1] <= 0):
        raise CommandError(BAD_SLICE, f"$slice takes a number, or a start and a positive number, not {value!r}")

    def cut(found: Any, _document: Document) -> Any:
        if not isinstance(found, list):
            return found
        if len(numbers) == 1:
            return found[: numbers[0]] if numbers[0] >= 0 else found[numbers[0] :]
        start = numbers[0] if numbers[0] >= 0 else max(0, len(found) + numbers[0])
        return found[start : start + numbers[1]]

    return Cut(cut, False)


def _element(value: Any) -> Cut:
    test = element_test(value)

    def cut(found: Any, _document: Document) -> Any:
        if not isinstance(found, list):
            return MISSING
        return next(([item] for item in found if test(item)), MISSING)

    return Cut(cut, True)


def _positional(path: str, query: Document) -> Cut:
    def cut(found: Any, document: Document) -> Any:
        if not isinstance(found, list):
            return found
        positions = array_positions(query, document)
        position = positions.get(path, next(reversed(positions.values()), None))
        if position is None or position >= len(found):
            raise CommandError(
                POSITIONAL_NOT_FOUND,
                "Executor error during find command :: caused by :: positional operator "
                f"'.$' couldn't find a matching element in the array '{path}'",
            )
        return [found[position]]

    return Cut(cut, True)


# from a tree to a function


def _compiled(tree: Tree) -> Projection:
    own_id = tree.pop("_id", None)
    includes, excludes = _modes(tree, "")
    if includes and excludes:
        if _first_mode(tree):
            raise CommandError(
                EXCLUSION_IN_INCLUSION, f"Cannot do exclusion on field {excludes} in inclusion projection"
            )
        raise CommandError(INCLUSION_IN_EXCLUSION, f"Cannot do inclusion on field {includes} in exclusion projection")
    inclusion = bool(includes) or (not excludes and own_id not in (None, Choice.EXCLUDED) and not _has_cut(tree))
    if inclusion:
        if own_id is not Choice.EXCLUDED:
            tree = {"_id": Choice.INCLUDED if own_id is None else own_id, **tree}
        return lambda document: _only(document, tree, document, Variables.of(document))
    if own_id is not None and own_id is not Choice.INCLUDED:
        tree = {"_id": own_id, **tree}
    return lambda document: _without(document, tree, document)


def _has_cut(tree: Tree) -> bool:
    return any(isinstance(node, Cut) or (isinstance(node, dict) and _has_cut(node)) for node in tree.values())


def _modes(tree: Tree, above: str) -> tuple[str, str]:
    """Return one of the paths that are included or computed, and one of those that are excluded; empty where none is."""
    included = excluded = ""
    for name, node in tree.items():
        path = f"{above}{name}"
        if isinstance(node, dict):
            inner = _modes(node, f"{path}.")
            included, excluded = included or inner[0], excluded or inner[1]
        elif node is Choice.EXCLUDED:
            excluded = excluded or path
        elif not isinstance(node, Cut) or node.includes:
            included = included or path
    return included, excluded


def _first_mode(tree: Tree) -> bool:
    """Whether the first field of a projection is included."""
    for node in tree.values():
        if isinstance(node, dict):
            return _first_mode(node)
        if not isinstance(node, Cut):
            return node is not Choice.EXCLUDED
    return True


def _is_computed(node: Any) -> bool:
    return any(map(_is_computed, node.values())) if isinstance(node, dict) else not isinstance(node, Choice | Cut)


def _only(document: Document, tree: Tree, whole: Document, variables: Variables) -> Document:
    """Return the included fields in the document's order, then the computed ones in that of the projection."""
    result: Document = {}
    for name, value in document.items():
        node = tree.get(name)
        if node is Choice.INCLUDED:
            result[name] = value
        elif isinstance(node, dict):
            found = _only_below(value, node, whole, variables)
            if found is not MISSING:
                result[name] = found
        elif isinstance(node, Cut):
            found = node.function(value, whole)
            if found is not MISSING:
                result[name] = found
    for name, node in tree.items():
        if isinstance(node, dict):
            if name not in document and _is_computed(node):
                result[name] = _only({}, node, whole, variables)
        elif not isinstance(node, Choice | Cut):
            value = node(variables)
            if value is not MISSING:
                result[name] = value
    if "_id" in result and next(iter(result)) != "_id":
        result = {"_id": result["_id"], **result}
    return result


def _only_below(value: Any, tree: Tree, whole: Document, variables: Variables) -> Any:
    if isinstance(value, dict):
        return _only(value, tree, whole, variables)
    if isinstance(value, list):
        found = (_only_below(item, tree, whole, variables) for item in value)
        return [item for item in found if item is not MISSING]
    return _only({}, tree, whole, variables) if _is_computed(tree) else MISSING


def _without(document: Document, tree: Tree, whole: Document) -> Document:
    result: Document = {}
    for name, value in document.items():
        node = tree.get(name)
        if node is None or node is Choice.INCLUDED:
            result[name] = value
        elif isinstance(node, dict):
            result[name] = _without_below(value, node, whole)
        elif isinstance(node, Cut):
            result[name] = node.function(value, whole)
    return result


def _without_below(value: Any, tree: Tree, whole: Document) -> Any:
    if isinstance(value, dict):
        return _without(value, tree, whole)
    return [_without_below(item, tree, whole) for item in value] if isinstance(value, list) else value


def _with_fields(document: Document, tree: Tree, variables: Variables) -> Document:
    result = dict(document)
    for name, node in tree.items():
        value = _with_below(result.get(name), node, variables) if isinstance(node, dict) else node(variables)
        if value is MISSING:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def _with_below(value: Any, tree: Tree, variables: Variables) -> Any:
    if isinstance(value, list):
        return [_with_below(item, tree, variables) for item in value]
    return _with_fields(value if isinstance(value, dict) else {}, tree, variables)


def root(expression: Expression, name: str) -> Projection:
    """Compile the stage `$replaceRoot` or `$replaceWith`.

    Raises
    ------
    CommandError
        When the new root of a document is no document.
    """

    def replaced(document: Document) -> Document:
        value = expression(Variables.of(document))
        if not isinstance(value, dict):
            raise CommandError(BAD_ROOT, f"'{name}' must evaluate to an object, but resulting value was: {value!r}")
        return value

    return replaced
