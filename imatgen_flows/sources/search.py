"""What a source is told in a campaign: where it may search, what is known, and what was relaxed so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pymatgen.core import Composition, Structure

from imatgen_flows.candidates.registry import REJECT_UNBALANCED
from imatgen_flows.crystals.box import MAX_EDGE, MAX_SITES
from imatgen_flows.crystals.charge_balance import is_charge_balanced
from imatgen_flows.crystals.search_formulas import write_formula


@dataclass(frozen=True)
class SearchSpace:
    """The crystals that sources look for.

    Attributes
    ----------
    elements : symbols; each occurs in every crystal
    min_sites, max_sites : sites of the primitive cell
    max_edge : longest edge of the Niggli cell, A
    compositions : reduced ones that are looked for, in cells of any number of formula units
    cells : contents of primitive cells that are looked for, to the atom; where there are neither compositions nor cells,
        all compositions of the elements are
    charge : what is done about compositions that are not charge balanced, one of `CHARGE_CHECKS`
    pressure : GPa, at which crystals are relaxed; it admits and refuses nothing
    """

    elements: tuple[str, ...]
    min_sites: int = 1
    max_sites: int = MAX_SITES
    max_edge: float = MAX_EDGE
    compositions: tuple[Composition, ...] = ()
    cells: tuple[Composition, ...] = ()
    charge: str = "none"
    pressure: float = 0.0

    def admit(self, structure: Structure) -> str:
        """Say why a crystal is not looked for; empty where it is.

        What makes a crystal valid, its edges, distances and charges, is not asked here.

        Parameters
        ----------
        structure : in its primitive cell

        Returns
        -------
        ``missing_element``, ``other_composition``, ``other_size`` or nothing
        """
        fault = self.fault(structure)
        return fault[0] if fault else ""

    def is_wanted(self, structure: Structure) -> bool:
        """Whether a crystal is looked for, fits the longest edge, and is charge balanced where others are rejected."""
        fits = not self.admit(structure) and max(structure.lattice.abc) <= self.max_edge
        return fits and self.permits(structure.composition)

    def permits(self, composition: Composition) -> bool:
        """Whether the contents of a cell are looked for, whatever its size, and charge balanced where others are rejected."""
        if not self._is_searched(composition) or len(composition) != len(self.elements):
            return False
        return self.charge != REJECT_UNBALANCED or is_charge_balanced(composition)

    def fault(self, structure: Structure) -> tuple[str, str] | None:
        """Return the reason of `admit` and a detail for people; None where the crystal is looked for."""
        composition, size = structure.composition, len(structure)
        present = {element.symbol for element in composition.elements}
        if missing := [symbol for symbol in self.elements if symbol not in present]:
            return "missing_element", f"no {' and no '.join(missing)} in {composition.formula or 'an empty cell'}"
        if not self._is_searched(composition):
            formulas = [one.reduced_formula for one in self.compositions] + [write_formula(one) for one in self.cells]
            return (
                "other_composition",
                f"{write_formula(composition)} is none of {', '.join(formulas) or '-'.join(self.elements)}",
            )
        if not self.min_sites <= size <= self.max_sites:
            return "other_size", f"{size} sites, {self.min_sites} to {self.max_sites} are searched"
        return None

    def targets(self) -> list[Composition]:
        """List the contents of all cells that are looked for; empty where no formula is given."""
        sizes = range(self.min_sites, self.max_sites + 1)
        units = [(one, int(one.num_atoms)) for one in self.compositions]
        multiples = [one * (size // unit) for one, unit in units for size in sizes if size % unit == 0]
        exact = [one for one in self.cells if int(one.num_atoms) in sizes]
        return list(dict.fromkeys(multiples + exact))

    def _is_searched(self, composition: Composition) -> bool:
        if {element.symbol for element in composition.elements} - set(self.elements):
            return False
        if not self.compositions and not self.cells:
            return True
        reduced = {one.reduced_formula for one in self.compositions}
        return composition.reduced_formula in reduced or any(composition == one for one in self.cells)


@dataclass(frozen=True)
class RelaxedCrystal:
    """A crystal that was relaxed: a reference phase, or a candidate of this round or of one before.

    Attributes
    ----------
    name : of the phase, or sample
    structure : as relaxed
    e_above_hull : eV/atom, on the hull of the references
    """

    name: str
    structure: Structure
    e_above_hull: float


@dataclass(frozen=True)
class SearchContext:
    """What a source proposes from.

    Attributes
    ----------
    space : where it may search
    dataset : training structures by id, as substitution made them
    energies : of these, unrelaxed, eV/atom above the hull; only of those that have one
    relaxed : reference phases and candidates of all sources, with their energies
    given : structures of other programs, by name
    taken_by : names that each source has used before, as the parents of its candidates
    taken : of these, those of the source that is asked
    """

    space: SearchSpace
    dataset: Mapping[str, Structure] = field(default_factory=dict)
    energies: Mapping[str, float] = field(default_factory=dict)
    relaxed: Sequence[RelaxedCrystal] = ()
    given: Mapping[str, Structure] = field(default_factory=dict)
    taken_by: Mapping[str, frozenset[str]] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Candidate:
    """A crystal that a source proposes in a campaign.

    Attributes
    ----------
    structure : to be relaxed
    parents : ids, samples or names of phases that it was made from
    made_by : how it was made, such as the operator of a genetic algorithm or a space group; empty where the source says all
    """

    structure: Structure
    parents: tuple[str, ...] = ()
    made_by: str = ""


class Propose(Protocol):
    """Function of a source in a campaign."""

    def __call__(self, context: SearchContext, number: int, seed: int, /) -> list[Candidate]:
        """Propose up to `number` crystals, the most promising first; fewer where the source has no more.

        The seed decides all choices: the same context, number and seed give the same crystals.
        """
