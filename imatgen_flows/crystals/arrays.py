"""Crystals as plain arrays: small in memory, quick to hand to another process, and exact."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Structure


class CrystalArrays(NamedTuple):
    """A crystal of plain elements.

    Attributes
    ----------
    lattice : (3, 3), its vectors as rows, A
    numbers : (n,), atomic numbers
    coords : (n, 3), fractional

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> rocksalt = Structure.from_spacegroup(225, Lattice.cubic(4.1), ["V", "O"], [[0] * 3, [0.5] * 3])
    >>> CrystalArrays.of(rocksalt).structure() == rocksalt
    True
    """

    lattice: NDArray[np.float64]
    numbers: NDArray[np.uint8]
    coords: NDArray[np.float64]

    @classmethod
    def of(cls, structure: Structure) -> CrystalArrays:
        """Take lattice, elements and coordinates of an ordered structure; site properties are left out."""
        numbers = np.array([Element(site.specie.symbol).Z for site in structure], np.uint8)
        return cls(np.array(structure.lattice.matrix), numbers, np.array(structure.frac_coords))

    def structure(self) -> Structure:
        """Build the structure."""
        return Structure(self.lattice, [Element.from_Z(int(number)) for number in self.numbers], self.coords)
