"""What a source is told in a campaign: where it may search, what is known, and what was relaxed so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pymatgen.core import Composition, Structure

from imatgen_flows.crystals.box import MAX_EDGE, MAX_SITES


@dataclass(frozen=True)
class SearchSpace:
    """The crystals that sources look for.

    Attributes
    ----------
    elements : symbols; each occurs in every crystal
    min_sites, max_sites : sites of the primitive cell
    max_edge : longest edge of the Niggli cell, A
    compositions : reduced ones that are looked for; all of the elements where there are none
    charge : what is done about compositions that are not charge balanced, one of `CHARGE_CHECKS`
    """

    elements: tuple[str, ...]
    min_sites: int = 1
    max_sites: int = MAX_SITES
    max_edge: float = MAX_EDGE
    compositions: tuple[Composition, ...] = ()
    charge: str = "none"

    def admit(self, structure: Structure) -> str:
        """Return why a crystal is not one that is looked for; empty where it is."""
        from imatgen_flows.candidates.registry import REJECT_UNBALANCED
        from imatgen_flows.crystals.charge_balance import is_charge_balanced

        composition = structure.composition
        if {element.symbol for element in composition} != set(self.elements):
            return "other_elements"
        if self.compositions and composition.reduced_composition not in self.compositions:
            return "other_composition"
        if not self.min_sites <= len(structure) <= self.max_sites or max(structure.lattice.abc) > self.max_edge:
            return "other_size"
        if self.charge == REJECT_UNBALANCED and not is_charge_balanced(composition):
            return "charge_balance"
        return ""


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
