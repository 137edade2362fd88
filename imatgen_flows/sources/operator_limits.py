"""What the operators of the genetic algorithm keep to: random draws, distances, the shape and the size of cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Element, Structure

from imatgen_flows.crystals.shortest_distances import minimum_distances
from imatgen_flows.sources.search import SearchSpace

if TYPE_CHECKING:
    from ase import Atoms
    from ase_ga.utilities import CellBounds

# calls of its random generator that one operator of ase-ga may take: to rattle 20 atoms takes 30, so that it is tried some
# ten times; what fails then is better made of other parents
DRAWS = 400
FLATTEST = 30.0  # degrees between an axis and the plane of the other two; choice, flatter cells are hardly crystals


class OutOfDrawsError(Exception):
    """An operator has drawn as many random numbers as it may."""


class BoundedRandom:
    """Random numbers for ase-ga: those of a generator, in numpy's old interface, up to a number of calls.

    Parameters
    ----------
    random : its stream is used up, so that the operator and the caller never see the same numbers
    draws : calls after which `OutOfDrawsError` is raised
    """

    def __init__(self, random: np.random.Generator, draws: int = DRAWS) -> None:
        self._random = np.random.RandomState(random.bit_generator)
        self._left = draws

    def __getattr__(self, name: str) -> Any:
        self._left -= 1
        if self._left < 0:
            raise OutOfDrawsError
        return getattr(self._random, name)


@dataclass(frozen=True)
class OperatorLimits:
    """What operators keep to.

    Attributes
    ----------
    space : of the search
    """

    space: SearchSpace

    @cached_property
    def distances(self) -> dict[tuple[int, int], float]:
        """Distances in A below which atoms overlap, by two atomic numbers."""
        numbers = [Element(symbol).Z for symbol in self.space.elements]
        limits = minimum_distances(self.space.elements)
        return {(a, b): float(limits[i, j]) for i, a in enumerate(numbers) for j, b in enumerate(numbers)}

    @cached_property
    def cells(self) -> CellBounds:
        """Cells that are not too flat; their edges may be a half longer than in the space, since they are not reduced."""
        from ase_ga.utilities import CellBounds

        edges = [0.0, 1.5 * self.space.max_edge]
        angles = [FLATTEST, 180 - FLATTEST]
        return CellBounds(dict.fromkeys("abc", edges) | dict.fromkeys(("phi", "chi", "psi"), angles))


def enlarge(parent: Structure, limits: OperatorLimits, random: np.random.Generator) -> Structure:
    """Repeat a crystal, or not, each in half of all cases; always where it has too few sites.

    Without this a cell of two atoms could neither be distorted nor meet a cell of ten.
    """
    larger = [times for times in repeats(parent, limits.space) if prod(times) > 1]
    is_small = len(parent) < limits.space.min_sites
    if not larger or (not is_small and random.random() < 0.5):
        return parent
    return parent * larger[int(random.integers(len(larger)))]


def repeats(parent: Structure, space: SearchSpace) -> list[tuple[int, int, int]]:
    """List how often a cell can be repeated along its axes, within the sites and the edges of the space."""
    most = space.max_sites // len(parent)
    longest = [max(1, min(most, int(space.max_edge / edge))) for edge in parent.lattice.abc]
    steps = [range(1, n + 1) for n in longest]
    return [(i, j, k) for i in steps[0] for j in steps[1] for k in steps[2] if i * j * k <= max(1, most)]


def to_atoms(structure: Structure) -> Atoms:
    """Convert a crystal for ase-ga."""
    from ase import Atoms

    symbols = [site.specie.symbol for site in structure]
    return Atoms(symbols, cell=structure.lattice.matrix, scaled_positions=structure.frac_coords, pbc=True)


def to_structure(atoms: Atoms) -> Structure:
    """Convert a crystal of ase-ga."""
    return Structure(atoms.cell[:], atoms.get_chemical_symbols(), atoms.get_scaled_positions())
