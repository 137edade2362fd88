"""Formulas and sizes that a search is restricted to, as a person writes them: `V3O4`, `V6O8`, `10-20`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from pymatgen.core import Composition, Element

from imatgen_flows.crystals.elements import electronegativity
from imatgen_flows.crystals.system import is_isotope
from imatgen_flows.errors import InputError

_FORMULA = re.compile(r"[A-Za-z0-9()]+")
_SITES = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


@dataclass(frozen=True)
class SearchFormula:
    """A formula that is searched for.

    A reduced formula means the composition, in cells of any number of formula units. One that is not reduced means the
    contents of the primitive cell, to the atom. Peroxides and the like are written as chemists do: `Li2O2` is a reduced
    formula, though `LiO` is shorter, and means the same.

    Attributes
    ----------
    composition : as it was written
    is_exact : whether it gives the contents of the cell

    Examples
    --------
    >>> SearchFormula.read("V3O4").is_exact, SearchFormula.read("V6O8").is_exact, SearchFormula.read("Li2O2").is_exact
    (False, True, False)
    >>> SearchFormula.read("(V2O3)2").cells(5, 20), SearchFormula.read("O3V2").cells(5, 20)
    ([10], [5, 10, 15, 20])
    """

    composition: Composition
    is_exact: bool

    @classmethod
    def read(cls, formula: str) -> SearchFormula:
        """Read a formula.

        Raises
        ------
        InputError
            Where it is none, or not of whole numbers of atoms.
        """
        refusal = InputError(f"`{formula}` is no formula of elements and whole numbers, as V3O4 is.")
        symbols = re.findall("[A-Z][a-z]?", formula)
        if not _FORMULA.fullmatch(formula) or any(
            Element.is_valid_symbol(e) and is_isotope(Element(e)) for e in symbols
        ):
            raise refusal
        try:
            composition = Composition(formula)
            elements = [Element(str(symbol)) for symbol in composition]
        except ValueError as error:
            raise refusal from error
        amounts = [composition[element] for element in elements]
        if {element.symbol for element in elements} != set(symbols) or any(n % 1 for n in amounts):
            raise refusal
        written = Composition({element.symbol: int(n) for element, n in zip(elements, amounts, strict=True)})
        conventional = Composition(written.reduced_formula)
        return cls(written, gcd(*map(int, amounts)) > 1 and written != conventional)

    @property
    def unit(self) -> Composition:
        """Smallest contents of a cell: all of the formula where it is exact, else its smallest whole numbers."""
        amounts = {symbol: int(n) for symbol, n in self.composition.get_el_amt_dict().items()}
        factor = 1 if self.is_exact else gcd(*amounts.values())
        return Composition({symbol: n // factor for symbol, n in amounts.items()})

    def check_elements(self, elements: Sequence[str]) -> None:
        """Refuse a formula that has not exactly the elements of a system.

        Raises
        ------
        InputError
            It names the foreign or the missing elements.
        """
        own = [element.symbol for element in self.composition]
        foreign, missing = [e for e in own if e not in elements], [e for e in elements if e not in own]
        system = "-".join(elements)
        if foreign:
            raise InputError(f"`{self}` has {' and '.join(foreign)}, which the system {system} has not.")
        if missing:
            raise InputError(f"`{self}` has no {' and no '.join(missing)}: candidates hold each element of {system}.")

    def cells(self, low: int, high: int) -> list[int]:
        """List the numbers of sites, from `low` to `high`, that a primitive cell of this formula may have."""
        size = int(self.unit.num_atoms)
        if self.is_exact:
            return [size] if low <= size <= high else []
        return list(range(-(-low // size) * size, high + 1, size))

    def __str__(self) -> str:
        return write_formula(self.composition)


def write_formula(composition: Composition) -> str:
    """Write contents of a cell as a formula, which is not reduced.

    Examples
    --------
    >>> write_formula(Composition("V6O8")), write_formula(Composition("VO"))
    ('V6O8', 'VO')
    """
    amounts = composition.get_el_amt_dict()
    symbols = sorted(amounts, key=lambda symbol: (electronegativity(symbol), symbol))
    return "".join(symbol + ("" if amounts[symbol] == 1 else f"{amounts[symbol]:g}") for symbol in symbols)


def read_sites(sites: str | int) -> tuple[int, int]:
    """Read a number of sites, or a range.

    Raises
    ------
    InputError
        Where it is neither, or the range has nothing in it.

    Examples
    --------
    >>> read_sites("10-20"), read_sites(14)
    ((10, 20), (14, 14))
    """
    found = None if isinstance(sites, bool) else _SITES.fullmatch(str(sites))
    if found is None:
        raise InputError(f"`{sites}` is neither a number of sites, as 14, nor a range, as 10-20.")
    low, high = int(found[1]), int(found[2] or found[1])
    if not 1 <= low <= high:
        raise InputError(f"`{sites}` has no number of sites in it: write the smaller one first, and 1 at least.")
    return low, high
