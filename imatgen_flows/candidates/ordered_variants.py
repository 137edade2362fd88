"""Ordered variants: crystals that differ only in how elements are distributed over the same sites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pymatgen.core import Composition, Structure

from imatgen_flows.crystals.elements import is_metallic
from imatgen_flows.matching.grouping import StructureIndex

STAND_INS = ("Na", "Cl")  # of the cations and of the anions; which elements these are decides nothing
# A; sites of the averaged crystal that a translation brings this close are the same site of a smaller cell. An ordering moves
# its atoms off the sites of its parent; half of 1 A leaves different atoms of an oxide (1.2 A apart at least) apart
PARENT_TOLERANCE = 0.5
FULL = 0.99  # occupancy of a site from which on it counts as full: shares are given with two digits
SAME_COMPOSITION = 0.05  # difference of the atomic fractions of a disordered phase and of its ordered variant, at most


def sublattices(elements: Iterable[str]) -> dict[str, str]:
    """Sort the elements of a crystal into cations and anions, and give each the stand-in of its group.

    The anions are the nonmetals; where there are none, all elements are in one group, as in an alloy. A metalloid is a
    cation, as in a silicate.

    Examples
    --------
    >>> sublattices(["Ni", "Mn", "O"])
    {'Ni': 'Na', 'Mn': 'Na', 'O': 'Cl'}
    """
    return {symbol: STAND_INS[not is_metallic(symbol)] for symbol in elements}


def average_species(structure: Structure) -> Structure | None:
    """Replace all cations of a crystal by one average species, and all anions by another, in the smallest cell that remains.

    Parameters
    ----------
    structure : ordered, or with sites that elements of one group share

    Returns
    -------
    the averaged crystal; None where each group has one element at most, so that there is nothing to average, and where a site
    is vacant in part or shared by a cation and an anion

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> layered = Structure(Lattice.tetragonal(2.77, 3.73), ["Cu", "Pt"], [[0, 0, 0], [0.5] * 3])
    >>> len(average_species(layered))
    1
    """
    groups = sublattices(element.symbol for element in structure.composition.element_composition)
    if len(set(groups.values())) == len(groups):
        return None
    species = []
    for site in structure:
        on_site = {groups[element.symbol] for element in site.species.element_composition}
        if len(on_site) != 1 or site.species.num_atoms < FULL:
            return None
        species.append(on_site.pop())
    return _smallest_cell(Structure(structure.lattice, species, structure.frac_coords))


@dataclass(frozen=True)
class DisorderedParent:
    """What a crystal can be an ordered variant of.

    Attributes
    ----------
    name : for people
    structure : ordered, or disordered
    """

    name: str
    structure: Structure


class VariantFinder:
    """Find of which other crystal one is an ordered variant.

    Two crystals of one composition are ordered variants of each other where they are equal when all cations are made one
    average species and all anions another, and are not equal as they are. Equal is what pymatgen's `StructureMatcher` calls
    so at its default tolerances, which scales both to one volume. A disordered crystal is never equal to an ordered one, and
    its composition may differ by `SAME_COMPOSITION`.

    A crystal with one cation and one anion has no ordered variant, as none of two equal elements can be exchanged. Variants
    that differ in the order of vacancies are not looked for. A variant whose relaxation moved atoms further than half an
    angstrom off the sites of its parent, or strained its cell beyond the matcher's tolerances, is missed.

    Parameters
    ----------
    parents : that are looked for first, in order

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> layers = Structure(Lattice.tetragonal(2.77, 3.73), ["Cu", "Pt"], [[0, 0, 0], [0.5] * 3])
    >>> mixed = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.8), [{"Cu": 0.5, "Pt": 0.5}], [[0, 0, 0]])
    >>> VariantFinder([DisorderedParent("CuPt at high temperature", mixed)]).find(layers)
    'CuPt at high temperature'
    """

    def __init__(self, parents: Iterable[DisorderedParent] = ()) -> None:
        self._parents = list(parents)
        self._averaged: dict[int, Structure | None] = {}  # by place, of those that were compared with something

    def add(self, parent: DisorderedParent) -> None:
        """Look for this crystal too from now on."""
        self._parents.append(parent)

    def find(self, structure: Structure) -> str:
        """Return the name of the first parent that an ordered crystal is an ordered variant of; empty where there is none."""
        averaged = average_species(structure)
        if averaged is None:
            return ""
        for number, parent in enumerate(self._parents):
            if not _same_composition(structure.composition, parent.structure):
                continue
            if number not in self._averaged:
                self._averaged[number] = average_species(parent.structure)
            theirs = self._averaged[number]
            if theirs is not None and _is_equal(averaged, theirs) and not _is_equal(structure, parent.structure):
                return parent.name
        return ""


def variants_among(structures: Mapping[str, Structure]) -> dict[str, str]:
    """Name, for each crystal that is an ordered variant of an earlier one, the first such one.

    Parameters
    ----------
    structures : ordered crystals by name, those first that others are to be called variants of
    """
    finder, found = VariantFinder(), {}
    for name, structure in structures.items():
        if first := finder.find(structure):
            found[name] = first
        finder.add(DisorderedParent(name, structure))
    return found


def _same_composition(composition: Composition, parent: Structure) -> bool:
    """Compare compositions: exactly for an ordered parent, within the precision of shares for a disordered one."""
    theirs = parent.composition.element_composition
    if parent.is_ordered:
        return composition.element_composition.reduced_composition == theirs.reduced_composition
    symbols = {element.symbol for element in (*composition, *theirs)}
    return all(
        abs(composition.get_atomic_fraction(s) - theirs.get_atomic_fraction(s)) <= SAME_COMPOSITION for s in symbols
    )


def _is_equal(structure: Structure, parent: Structure) -> bool:
    """Tell whether a crystal equals an ordered parent, in the smallest cells of both."""
    return (
        parent.is_ordered and StructureIndex([(0, _smallest_cell(parent))]).find(_smallest_cell(structure)) is not None
    )


def _smallest_cell(structure: Structure) -> Structure:
    """Find the cell that is left where sites which a translation brings close to each other are one."""
    plain = structure.copy().remove_oxidation_states()
    return plain.get_reduced_structure().get_primitive_structure(tolerance=PARENT_TOLERANCE)
