"""Population of a genetic algorithm: which crystals have offspring, and how often each is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.crystals.standard import primitive_cell, standardise
from imatgen_flows.matching.grouping import StructureIndex
from imatgen_flows.sources.search import RelaxedCrystal, SearchContext
from imatgen_flows.sources.search_limits import fits_cell

# All are choices; none was fitted.
SIZE = 60  # crystals that hold what is looked for
MATES = 20  # others of the elements, such as the elements themselves
NICHE = 6  # of one composition, where there is no list of compositions
FEW = 20  # below so many, structures of the dataset fill the population up
COLDEST = 0.03  # eV/atom; differences below it are within the error of potentials, and should decide nothing
SAME = 0.5  # probability that both parents are of one composition, where there are two such


@dataclass(frozen=True)
class Parent:
    """A crystal that may have offspring.

    Attributes
    ----------
    name : of the phase, sample or structure of the dataset
    structure : Niggli form of its primitive cell
    energy : eV/atom above the hull; unrelaxed where it comes from the dataset
    """

    name: str
    structure: Structure
    energy: float

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return str(self.structure.composition.reduced_formula)


@dataclass(frozen=True)
class Population:
    """Crystals that may have offspring, no two of them equal, the lowest in energy first.

    Attributes
    ----------
    members : of compositions that are looked for
    mates : of other compositions of the elements; they take part in crossover alone, beside a member
    """

    members: tuple[Parent, ...] = ()
    mates: tuple[Parent, ...] = ()

    def draw(self, random: np.random.Generator) -> Parent | None:
        """Draw a parent from the members, or from the mates where there are none; None where there is nothing."""
        return self._draw(self.members or self.mates, random)

    def draw_mate(self, parent: Parent, random: np.random.Generator) -> Parent | None:
        """Draw another parent, in half of all cases one of the same composition; None where the parent is alone."""
        others = [other for other in (*self.members, *self.mates) if other is not parent]
        alike = [other for other in others if other.formula == parent.formula]
        return self._draw(alike if alike and random.random() < SAME else others, random)

    def weights(self, parents: Sequence[Parent]) -> np.ndarray:
        """Compute the probabilities by which parents are drawn, (n,), with a sum of 1.

        Boltzmann factors of the energies above the hull. The temperature is the median of the members above the lowest one,
        so that half of them lie within it: it falls as the search comes near the hull, and no unit has to be chosen for a
        system. Each is divided by the number of these parents that have its composition (fitness sharing; Goldberg and
        Richardson, Proc. 2nd Int. Conf. Genetic Algorithms, 41 (1987)), so that none takes over by numbers.
        """
        energies = np.array([parent.energy for parent in parents])
        scale = np.array([parent.energy for parent in self.members or self.mates])
        temperature = max(COLDEST, float(np.median(scale) - scale.min()))
        crowd = Counter(parent.formula for parent in parents)
        factors = np.exp(-(energies - energies.min()) / temperature)
        factors /= [crowd[parent.formula] for parent in parents]
        return np.asarray(factors / factors.sum())

    def _draw(self, parents: Sequence[Parent], random: np.random.Generator) -> Parent | None:
        return parents[int(random.choice(len(parents), p=self.weights(parents)))] if parents else None


def within(context: SearchContext) -> list[RelaxedCrystal]:
    """List the relaxed crystals of the space's elements, or of some of these, whose energy is known; the lowest first."""
    elements = set(context.space.elements)
    usable = (
        crystal
        for crystal in context.relaxed
        if np.isfinite(crystal.e_above_hull)
        and crystal.structure.is_ordered
        and {element.symbol for element in crystal.structure.composition} <= elements
    )
    return sorted(usable, key=lambda crystal: (crystal.e_above_hull, crystal.name))


def make_population(context: SearchContext) -> Population:
    """Choose the crystals that may have offspring, from all that was relaxed so far.

    Of equal crystals the lowest in energy enters, and of one composition six (of a list of compositions as many as fill
    the population). Where this gives fewer than 20 members, structures of the dataset follow, the lowest first. Nothing is
    remembered between two calls: the population follows from the context alone.
    """
    space = context.space
    room = max(NICHE, SIZE // len(space.compositions)) if space.compositions else NICHE
    members: list[Parent] = []
    mates: list[Parent] = []
    niches: Counter[str] = Counter()
    index: StructureIndex[str] = StructureIndex()

    def enter(crystals: Iterable[Parent], size: int) -> None:
        for crystal in crystals:
            if len(members) >= size and len(mates) >= MATES:
                return
            is_wanted = space.permits(crystal.structure.composition)
            group, limit = (members, size) if is_wanted else (mates, MATES)
            if len(group) >= limit or niches[crystal.formula] >= room:
                continue
            parent = Parent(crystal.name, standardise(primitive_cell(crystal.structure)), crystal.energy)
            if fits_cell(space, parent.structure) and index.find(parent.structure) is None:
                index.add(parent.name, parent.structure)
                niches[parent.formula] += 1
                group.append(parent)

    enter((Parent(crystal.name, crystal.structure, crystal.e_above_hull) for crystal in within(context)), SIZE)
    if len(members) < FEW:
        enter(_of_dataset(context), FEW)
    return Population(tuple(members), tuple(mates))


def _of_dataset(context: SearchContext) -> Iterator[Parent]:
    """Yield structures of the dataset, the lowest first; those without an energy follow, as high as the highest."""
    elements = set(context.space.elements)
    known = {name: energy for name, energy in context.energies.items() if np.isfinite(energy)}
    highest = max(known.values(), default=0.0)
    for name in sorted(context.dataset, key=lambda name: (name not in known, known.get(name, highest), name)):
        structure = context.dataset[name]
        if structure.is_ordered and {element.symbol for element in structure.composition} <= elements:
            yield Parent(name, structure, known.get(name, highest))
