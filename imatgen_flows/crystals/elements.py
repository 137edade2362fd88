"""Properties of elements by which crystals are judged, on top of pymatgen's."""

from __future__ import annotations

import math
import warnings
from functools import cache

from pymatgen.core import Element


@cache
def electronegativity(symbol: str) -> float:
    """Return the electronegativity in Pauling units; 0 for He, Ne and Ar, which have none.

    Examples
    --------
    >>> electronegativity("O"), electronegativity("He")
    (3.44, 0.0)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen's, of elements without a value
        value = Element(symbol).X
    return 0.0 if math.isnan(value) else float(value)


@cache
def is_metallic(symbol: str) -> bool:
    """Test whether an element is a metal or a metalloid."""
    element = Element(symbol)
    return bool(element.is_metal or element.is_metalloid)
