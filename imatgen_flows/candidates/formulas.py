"""What a formula says: amounts and atomic fractions of its elements."""

from __future__ import annotations

import re


def amounts(formula: str) -> dict[str, float]:
    """Read a formula.

    Examples
    --------
    >>> amounts("A3(BC4)2")
    {'A': 3.0, 'B': 2.0, 'C': 8.0}
    """
    found: dict[str, float] = {}
    while group := re.search(r"\(([^()]*)\)([\d.]*)", formula):
        each = {symbol: amount * float(group[2] or 1) for symbol, amount in amounts(group[1]).items()}
        formula = formula.replace(group[0], "".join(f"{symbol}{amount:g}" for symbol, amount in each.items()), 1)
    for symbol, amount in re.findall(r"([A-Z][a-z]?)([\d.]*)", formula):
        found[symbol] = found.get(symbol, 0.0) + float(amount or 1)
    return found


def atomic_fraction(formula: str, element: str) -> float:
    """Return the atomic fraction of an element in a formula.

    Examples
    --------
    >>> atomic_fraction("AB3", "B")
    0.75
    """
    found = amounts(formula)
    return found.get(element, 0.0) / sum(found.values())
