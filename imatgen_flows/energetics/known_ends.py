"""Relaxations that fall into a crystal that is known: they are stopped, since their end is known too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymatgen.core import Structure

from imatgen_flows.matching.grouping import StructureIndex

# tolerances of pymatgen's StructureMatcher, tighter than its defaults, and the energy (eV/atom) up to which a relaxation
# may lie above the end that it matches: measured on relaxations of V-O candidates, notebook/2026-11-29-basins.md
TOLERANCES = {"ltol": 0.1, "stol": 0.2, "angle_tol": 3}
ENERGY_TOLERANCE = 0.02
KNOWN_END = "known_end"  # why a relaxation was stopped that had become something relaxed before
FIRST_CHECK, CHECK_EVERY = 8, 4  # steps of the optimiser


@dataclass(frozen=True)
class KnownEnd:
    """A crystal that was relaxed before with the same potential.

    Attributes
    ----------
    name : of the phase, or sample
    structure : as relaxed
    energy_per_atom : eV/atom, on the potential's scale
    """

    name: str
    structure: Structure
    energy_per_atom: float


class EndCheck:
    """Check whether a crystal has fallen into one of some known ends.

    Parameters
    ----------
    ends : of the composition of the crystal; others never match

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> salt = Structure.from_spacegroup(225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
    >>> check = EndCheck([KnownEnd("rock salt", salt, -3.4)])
    >>> check.find(salt.copy().scale_lattice(1.02 * salt.volume), -3.395)
    'rock salt'
    >>> check.find(salt, -3.0)
    ''
    """

    def __init__(self, ends: Sequence[KnownEnd]) -> None:
        self._energies = {end.name: end.energy_per_atom for end in ends}
        self._index = StructureIndex(((end.name, end.structure) for end in ends), **TOLERANCES)

    def find(self, structure: Structure, energy_per_atom: float) -> str:
        """Return the name of the end that a crystal matches in structure and energy; empty where there is none."""
        if all(energy_per_atom - energy > ENERGY_TOLERANCE for energy in self._energies.values()):
            return ""  # the energy costs nothing to compare
        name = self._index.find(structure)
        return name if name is not None and energy_per_atom - self._energies[name] <= ENERGY_TOLERANCE else ""
