"""Shortest distances of two atoms, from the radii of their elements, for any system."""

from __future__ import annotations

from functools import cache

from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
from pymatgen.core import Element

from imatgen_flows.errors import InputError

# Fractions of the sum of covalent radii that give back the limits of Noh et al., Matter 1, 1370 (2019):
# V-V 1.6, O-O 1.3, V-O 1.2 A. Metalloids count as metals here, which is the milder limit.
METAL_METAL, NONMETAL_NONMETAL, METAL_NONMETAL = 0.52, 0.98, 0.55


@cache
def minimum_distance(a: str, b: str) -> float:
    """Compute the distance in A below which two atoms overlap and one of them is removed.

    A fraction of the sum of the covalent radii that depends on the class of the pair: 0.52 between metals, 0.98 between
    nonmetals, 0.55 across. The fractions give the published limits for V-O; radii are those of Cordero et al., Dalton
    Trans. 2832 (2008).

    Raises
    ------
    InputError
        Where an element does not exist, or has no covalent radius (beyond Cm).
    """
    metallic = [is_metallic(_element(symbol)) for symbol in (a, b)]
    fraction = METAL_METAL if all(metallic) else METAL_NONMETAL if any(metallic) else NONMETAL_NONMETAL
    return fraction * (covalent_radius(a) + covalent_radius(b))


def covalent_radius(element: str) -> float:
    """Return the covalent radius in A (Cordero et al., Dalton Trans. 2832 (2008)); InputError where there is none."""
    radius = CovalentRadius.radius.get(_element(element).symbol)
    if radius is None:
        raise InputError(f"{element} has no covalent radius (they are known up to Cm): choose another element.")
    return float(radius)


def is_metallic(element: Element) -> bool:
    """Test whether an element is a metal or a metalloid, and so not an anion."""
    return bool(element.is_metal or element.is_metalloid)


def _element(symbol: str) -> Element:
    try:
        return Element(symbol)
    except ValueError:
        raise InputError(f"{symbol!r} is not the symbol of an element.") from None
