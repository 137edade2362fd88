"""Which crystals are the same, among thousands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

Key = TypeVar("Key", bound=Hashable)

ROUNDING = 1e-6  # relative; no match may be lost to the last digits of a length


def group_duplicates(
    structures: Sequence[Structure], ltol: float = 0.2, stol: float = 0.3, angle_tol: float = 5
) -> list[int]:
    """Give for each structure the index of the first one that it equals; its own, if none before it does.

    Equality is not transitive, so that a structure is compared with the first of each group only, and a result always
    points to a structure that points to itself.

    Parameters
    ----------
    structures : ordered crystals
    ltol, stol, angle_tol : as in `StructureIndex`
    """
    firsts = StructureIndex[int](ltol=ltol, stol=stol, angle_tol=angle_tol)
    groups = []
    for position, structure in enumerate(structures):
        first = firsts.find(structure)
        if first is None:
            firsts.add(position, structure)
        groups.append(position if first is None else first)
    return groups


class StructureIndex(Generic[Key]):
    """Crystals to look others up in.

    Two crystals are equal where pymatgen's `StructureMatcher` says so with either of them as the reference: it is not
    symmetric, and neither "duplicate" nor "new" should depend on an order. It compares primitive cells, scaled to one
    volume. Most pairs need no matcher: it wants primitive cells of one composition and a basis of the one lattice whose
    edges exceed those of the other by `ltol` at most. That basis cannot be shorter than the lattice's shortest (its
    Niggli cell), so that a pair whose sorted edges say no can have no match.

    Crystals are reduced when something of their formula is first looked up.

    Parameters
    ----------
    structures : ordered crystals by name; where several equal one that is looked up, the earliest is found
    ltol : relative tolerance of the edges
    stol : largest displacement of an atom, in units of (volume per atom)^(1/3)
    angle_tol : degrees
    """

    def __init__(
        self,
        structures: Iterable[tuple[Key, Structure]] = (),
        ltol: float = 0.2,
        stol: float = 0.3,
        angle_tol: float = 5,
    ) -> None:
        self._matcher = StructureMatcher(ltol=ltol, stol=stol, angle_tol=angle_tol)
        self._waiting: defaultdict[str, list[tuple[Key, Structure]]] = defaultdict(list)  # by reduced formula
        self._entries: defaultdict[str, list[tuple[Key, _Reduced]]] = defaultdict(list)  # by primitive cell's formula
        for key, structure in structures:
            self.add(key, structure)

    def add(self, key: Key, structure: Structure) -> None:
        """Add a crystal under a name."""
        self._waiting[structure.composition.reduced_formula].append((key, structure))

    def find(self, structure: Structure) -> Key | None:
        """Name the first crystal that equals `structure`, if there is one."""
        match = self._first(structure)
        return match[0] if match else None

    def find_match(self, structure: Structure) -> tuple[Key, float] | None:
        """Name the first crystal that equals `structure`, and how far they are apart.

        Returns
        -------
        The name, and the root mean square displacement of the atoms at their best superposition, in units of
        (volume per atom)^(1/3), `stol` at most; None where nothing is equal
        """
        match = self._first(structure)
        if match is None:
            return None
        key, known, found = match
        pairs = ((known, found), (found, known))
        distances = [self._matcher.get_rms_dist(a.structure, b.structure) for a, b in pairs]
        # Only rounding, right at the tolerance, can lose the match that was just found.
        return key, float(min((d[0] for d in distances if d is not None), default=self._matcher.stol))

    def _first(self, structure: Structure) -> tuple[Key, _Reduced, _Reduced] | None:
        for key, waiting in self._waiting.pop(structure.composition.reduced_formula, ()):
            reduced = _Reduced.of(waiting)
            self._entries[reduced.formula].append((key, reduced))
        wanted = _Reduced.of(structure)
        for key, entry in self._entries.get(wanted.formula, ()):
            if self._equal(entry, wanted) or self._equal(wanted, entry):
                return key, entry, wanted
        return None

    def _equal(self, reference: _Reduced, other: _Reduced) -> bool:
        longest = (1 + self._matcher.ltol) * (1 + ROUNDING) * other.edges
        return bool((reference.shortest <= longest).all()) and self._matcher.fit(
            reference.structure, other.structure, skip_structure_reduction=True
        )


@dataclass(frozen=True)
class _Reduced:
    """A primitive cell as the matcher compares it.

    Attributes
    ----------
    structure : Niggli-reduced, then primitive, of plain elements
    formula : of that cell
    edges, shortest : (3,), sorted edges of that cell and of its Niggli cell, for a volume of 1
    """

    structure: Structure
    formula: str
    edges: NDArray[np.float64]
    shortest: NDArray[np.float64]

    @classmethod
    def of(cls, structure: Structure) -> _Reduced:
        plain = Structure(structure.lattice, [site.specie.symbol for site in structure], structure.frac_coords)
        cell = plain.get_reduced_structure().get_primitive_structure()
        unit = np.cbrt(cell.volume)
        niggli = cell.lattice.get_niggli_reduced_lattice()
        return cls(
            structure=cell,
            formula=cell.composition.alphabetical_formula,
            edges=np.sort(cell.lattice.abc) / unit,
            shortest=np.sort(niggli.abc) / unit,
        )
