"""Target cells: the contents of the cells that every source fills, and the strata by which results are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Composition, Structure

from imatgen_flows.crystals.system import most_electronegative
from imatgen_flows.sources.search import SearchContext

RATIOS = (1.5, 2.0)  # anions per cation, bounds between composition classes
SIZES = (10, 15, 21)  # sites, bounds between size classes


@dataclass(frozen=True)
class TargetCell:
    """Contents of a primitive cell, which each source fills once: the number of atoms of each element."""

    atoms: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, structure: Structure) -> TargetCell:
        """Take the contents of a structure's cell as the target."""
        return cls.of_composition(structure.composition)

    @classmethod
    def of_composition(cls, composition: Composition) -> TargetCell:
        """Take a composition, not reduced, as the target."""
        return cls(tuple(sorted((symbol, round(n)) for symbol, n in composition.get_el_amt_dict().items())))

    @property
    def composition(self) -> Composition:
        """Composition of the cell, not reduced."""
        return Composition(dict(self.atoms))

    @property
    def formula(self) -> str:
        """Formula of the cell, not reduced: ``V4O8``."""
        return str(self.composition.formula).replace(" ", "")

    @property
    def n_sites(self) -> int:
        """Number of atoms in the cell."""
        return sum(n for _, n in self.atoms)

    @property
    def ratio_class(self) -> str:
        """Composition class, by anions per cation."""
        low, high = RATIOS
        ratio = anion_ratio(self.composition)
        return f"under {low:g}" if ratio < low else f"{low:g} to {high:g}" if ratio < high else f"{high:g} and over"

    @property
    def size_class(self) -> str:
        """Size class, by number of sites."""
        small, middle, large = SIZES
        if self.n_sites < small:
            return f"under {small}"
        if self.n_sites < middle:
            return f"{small}-{middle - 1}"
        return f"{middle}-{large - 1}" if self.n_sites < large else f"{large} and over"


@dataclass(frozen=True)
class CellRange:
    """Range of cells that are compared: sites from `low` to `high`, and at least `ratio` anions per cation."""

    low: int = 10
    high: int = 20
    ratio: float = 1.33

    def admit(self, structure: Structure) -> bool:
        """Whether a structure lies in the range."""
        return self.low <= len(structure) <= self.high and anion_ratio(structure.composition) >= self.ratio


def anion_ratio(composition: Composition) -> float:
    """Return the number of atoms of the most electronegative element per other atom; infinite without any other."""
    amounts = composition.get_el_amt_dict()
    anion = most_electronegative(amounts)
    others = sum(amounts.values()) - amounts[anion]
    return amounts[anion] / others if others else float("inf")


def choose_cells(context: SearchContext, number: int, seed: int) -> list[TargetCell]:
    """Draw cells at random among those of the dataset, or, where compositions are looked for, all cells of these.

    Each different cell has the same chance.

    Parameters
    ----------
    context : with the space and the dataset
    number : of cells
    seed : of the draw

    Returns
    -------
    the cells; none where the dataset has none of the space
    """
    space = context.space
    cells = {TargetCell.of_composition(one) for one in space.targets()} or {
        TargetCell.of(crystal) for crystal in context.dataset.values() if space.is_wanted(crystal)
    }
    choices = sorted(cells, key=lambda cell: cell.atoms)
    random = np.random.default_rng(seed)
    return [choices[place] for place in random.integers(len(choices), size=number)] if choices else []
