"""Genetic algorithm as a source: offspring of what was relaxed so far, by any source.

The algorithm is that of Oganov and Glass, J. Chem. Phys. 124, 244704 (2006), with the operators of ase-ga. What
distinguishes it here is that it has no generations and no database: the population is made anew for each call, from all
relaxed crystals, so that it goes on across rounds and after a kill, and learns from every other source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.crystals.distances import periodic_distances
from imatgen_flows.crystals.shortest_distances import minimum_distances
from imatgen_flows.crystals.standard import primitive_cell, standardise
from imatgen_flows.crystals.volumes import expected_volume, relative_volume
from imatgen_flows.errors import InputError
from imatgen_flows.matching.grouping import StructureIndex
from imatgen_flows.sources.crossover import cut_and_splice
from imatgen_flows.sources.mutations import Mutation, move_softly, permute, rattle_some, strain, transmute
from imatgen_flows.sources.operator_limits import OperatorLimits, OutOfDrawsError
from imatgen_flows.sources.population import Parent, Population, make_population, within
from imatgen_flows.sources.search import Candidate, SearchContext, SearchSpace
from imatgen_flows.sources.search_limits import fits_cell

ATTEMPTS = 20  # by one operator, each of other parents, before another operator takes its place
ROUNDS = 5  # of children, each of as many as equalled something that was relaxed
GIVE_UP = 3  # children in a row that no operator could make, before fewer are returned
# Factor by which the volume of a parent may differ from that expected of its composition and still count: of known
# compounds 93 % lie within 1.2, layered and porous ones beyond
VOLUME = 1.5


@dataclass(frozen=True)
class Operator:
    """A way to make a child.

    Attributes
    ----------
    name : in plain words, for people
    share : of the children
    mutation : of one parent; None for crossover, which takes two
    mixes : whether the child may have another composition than its parents
    """

    name: str
    share: float
    mutation: Mutation | None = None
    mixes: bool = False


# Shares are the defaults of USPEX (its manual, sect. 4.4 and 5.3: heredity 0.5; permutation, lattice mutation, soft mutation
# and transmutation 0.1 each). The 0.1 of the rattle are a choice; USPEX makes 0.2 of random crystals, which another source
# draws here. They add up to 1.
OPERATORS = (
    Operator("cut and splice", 0.5, mixes=True),
    Operator("permutation", 0.1, permute),
    Operator("strain", 0.1, strain),
    Operator("rattle", 0.1, rattle_some),
    Operator("soft mutation", 0.1, move_softly),
    Operator("transmutation", 0.1, transmute, mixes=True),
)


def propose_offspring(context: SearchContext, number: int, seed: int) -> list[Candidate]:
    """Propose crystals made of the best that was relaxed, by crossover and mutations.

    Parents are drawn by their energy above the hull, shared among those of one composition. Each child is a primitive cell
    within the space, at the volume per atom of its parents where that is plausible, and equals neither a crystal that was
    relaxed, nor a parent, nor another child.

    Parameters
    ----------
    context : what was relaxed, and structures of the dataset that stand in while this is little
    number : of children
    seed : of all random choices

    Returns
    -------
    Children, those of the lowest parents first; fewer than asked for where three in a row could not be made, and none
    without parents

    Raises
    ------
    InputError
        Where ase-ga is not installed.
    """
    if find_spec("ase_ga") is None:
        raise InputError("the genetic algorithm needs ase-ga: `pip install 'imatgen-flows[search]'`.")
    population = make_population(context)
    # a crystal is compared with all that was relaxed only once a round: thousands of one formula take seconds
    relaxed = StructureIndex((crystal.name, crystal.structure) for crystal in within(context))
    near = StructureIndex((parent.name, parent.structure) for parent in (*population.members, *population.mates))
    limits = OperatorLimits(context.space)
    children: list[tuple[float, Candidate]] = []
    drawn = failures = 0
    for _ in range(ROUNDS):
        fresh: list[tuple[float, Candidate]] = []
        while len(children) + len(fresh) < number and failures < GIVE_UP and (population.members or population.mates):
            child = _make_child(population, limits, near, np.random.default_rng((seed, drawn)))
            drawn += 1
            failures = 0 if child else failures + 1
            if child:
                near.add(f"child {drawn}", child[1].structure)
                fresh.append(child)
        matches = relaxed.find_matches([child.structure for _, child in fresh])
        children += [child for child, match in zip(fresh, matches, strict=True) if match is None]
    return [child for _, child in sorted(children, key=lambda child: child[0])]


def _make_child(
    population: Population, limits: OperatorLimits, near: StructureIndex[str], random: np.random.Generator
) -> tuple[float, Candidate] | None:
    """Make one child, and give the mean energy of its parents with it; None where every operator failed 20 times."""
    shares = np.array([operator.share for operator in OPERATORS])
    order = random.choice(len(OPERATORS), len(OPERATORS), replace=False, p=shares / shares.sum())
    for operator in (OPERATORS[position] for position in order):
        for _ in range(ATTEMPTS):
            parents = _draw_parents(population, operator, random)
            child = parents and _vary(parents, operator, limits, random)
            if parents and child and near.find(child) is None:
                energy = float(np.mean([parent.energy for parent in parents]))
                return energy, Candidate(child, tuple(parent.name for parent in parents), operator.name)
    return None


def _draw_parents(population: Population, operator: Operator, random: np.random.Generator) -> tuple[Parent, ...] | None:
    parent = population.draw(random) if population.members or operator.mixes else None
    if parent is None:
        return None
    if operator.mutation:
        return (parent,)
    mate = population.draw_mate(parent, random)
    return (parent, mate) if mate else None


def _vary(
    parents: Sequence[Parent], operator: Operator, limits: OperatorLimits, random: np.random.Generator
) -> Structure | None:
    """Make a crystal of parents; None where the operator fails, or the crystal is not within the space."""
    structures = [parent.structure for parent in parents]
    excess = float(np.mean([_excess_volume(structure) for structure in structures]))
    try:
        if operator.mutation:
            child = operator.mutation(structures[0], limits, random)
        else:
            volume = excess * float(np.mean([expected_volume(s.composition) / len(s) for s in structures]))
            child = cut_and_splice(structures[0], structures[1], volume, limits, random)
    except OutOfDrawsError:
        return None
    return child and bring_within(child, limits.space, excess)


def bring_within(structure: Structure, space: SearchSpace, excess: float = 1.0) -> Structure | None:
    """Scale a crystal to its volume, standardise its primitive cell, and test whether it lies within a space.

    Parameters
    ----------
    structure : of any cell
    space : of the search
    excess : volume over that expected of the composition

    Returns
    -------
    None where its composition, its sites or an edge are outside, or two atoms, or an atom and its image, overlap
    """
    if not space.permits(structure.composition):
        return None
    scaled = structure.copy()
    scaled.scale_lattice(excess * expected_volume(structure.composition))
    try:
        child = standardise(primitive_cell(scaled))
    except ValueError:  # a cell without a Niggli form
        return None
    if len(child) < space.min_sites or not fits_cell(space, child):
        return None
    distances = periodic_distances(child.lattice, child.cart_coords)
    limits = minimum_distances([site.specie.symbol for site in child])
    return child if (distances >= limits).all() else None


def _excess_volume(structure: Structure) -> float:
    """Compute the volume of a crystal over that expected of its composition, between 1/1.5 and 1.5."""
    return float(np.clip(relative_volume(structure), 1 / VOLUME, VOLUME))
