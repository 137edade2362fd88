"""Arguments that a person gives in Python: what cannot be meant is refused in a sentence, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from numbers import Integral, Real
from typing import Any

from pymatgen.core import IStructure, Structure

from imatgen_flows.errors import InputError


def structure_list(given: Iterable[Structure]) -> list[Structure]:
    """Return structures as a list.

    Raises
    ------
    InputError
        Where one structure is given instead of a list, or an item is no structure; it names the place of the item.

    Examples
    --------
    >>> structure_list([])
    []
    """
    if isinstance(given, IStructure | str) or not isinstance(given, Iterable):
        raise InputError(
            f"give a list of pymatgen structures, [structure] where there is one; this is {describe_value(given)}."
        )
    structures = list(given)
    for place, item in enumerate(structures):
        if item is None:
            raise InputError(
                f"structure {place} of the list is None (as `decode` gives for a vector that holds no valid crystal): "
                "leave it out."
            )
        if not isinstance(item, IStructure):
            raise InputError(f"structure {place} of the list is {describe_value(item)}: give pymatgen structures.")
    return structures


def whole_number(value: Any, name: str, least: int, most: int | None = None) -> int:
    """Return a whole number within limits, both included.

    Raises
    ------
    InputError
        Where it is none.

    Examples
    --------
    >>> whole_number(3, "n", 1)
    3
    """
    limits = f"from {least} on" if most is None else f"from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{name} is {describe_value(value)}; give a whole number {limits}.")
    number = int(value)
    if number < least or (most is not None and number > most):
        raise InputError(f"{name} is {number}; give a whole number {limits}.")
    return number


def positive_number(value: Any, name: str, unit: str) -> float:
    """Return a finite number above zero.

    Raises
    ------
    InputError
        Where it is none.

    Examples
    --------
    >>> positive_number(0.05, "fmax", "eV/A")
    0.05
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{name} is {describe_value(value)}; give a number above zero, in {unit}.")
    number = float(value)
    if not (number > 0 and isfinite(number)):
        raise InputError(f"{name} is {number:g}; give a number above zero, in {unit}.")
    return number


def describe_value(value: Any) -> str:
    """Name a value for a sentence: as it is written where that is short, else by its type."""
    return repr(value) if value is None or isinstance(value, str | int | float) else f"of type {type(value).__name__}"
