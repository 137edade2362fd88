"""Chemical systems: which symbols make one, and in which order its elements stand."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable

from pymatgen.core import Element

from imatgen_flows.crystals.elements import electronegativity
from imatgen_flows.errors import InputError


def chemical_system(symbols: Iterable[str]) -> list[str]:
    """Check the symbols of a system, and put them in the order of a formula: the less electronegative first.

    Elements of one electronegativity, and the noble gases that have none, which come last, follow the alphabet. The order
    is that of pymatgen, so that V-O is written as VO2 is.

    Raises
    ------
    InputError
        Where a symbol is of no element or of an isotope, or is given twice.

    Examples
    --------
    >>> chemical_system(["O", "V", "Li"])
    ['Li', 'V', 'O']
    """
    given = list(symbols)
    for symbol in given:
        if not Element.is_valid_symbol(symbol):
            near = difflib.get_close_matches(symbol.capitalize(), [e.symbol for e in Element], n=1, cutoff=0.3)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise InputError(f"`{symbol}` is not a chemical element.{hint}")
        if is_isotope(element := Element(symbol)):
            raise InputError(
                f"`{symbol}` is an isotope, and has the crystals and energies of its element: write {element.symbol}."
            )
        if given.count(symbol) > 1:
            raise InputError(f"`{symbol}` is named twice; a system has different elements.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the noble gases, which have no electronegativity
        return [element.symbol for element in sorted(map(Element, given))]


def system_name(symbols: Iterable[str]) -> str:
    """Write a system for people, in the order of a formula: V-O.

    Raises
    ------
    InputError
        As `chemical_system`.
    """
    return "-".join(chemical_system(symbols))


def most_electronegative(symbols: Iterable[str]) -> str:
    """Find the anion of a compound; of several elements with one electronegativity, the last of the alphabet.

    Noble gases without an electronegativity come last. The order in which the symbols are given changes nothing.

    Examples
    --------
    >>> most_electronegative(["Se", "C"]), most_electronegative(["C", "Se"]), most_electronegative(["He", "Ti"])
    ('Se', 'Se', 'Ti')
    """
    return max(symbols, key=lambda symbol: (electronegativity(symbol), symbol))


def is_isotope(element: Element) -> bool:
    """Test whether pymatgen knows an isotope of an element by this symbol: deuterium, D, or tritium, T."""
    return bool(element.name != element.symbol)
