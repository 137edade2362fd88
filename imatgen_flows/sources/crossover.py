"""Crossover of the genetic algorithm: one crystal of slabs of two."""

from __future__ import annotations

from math import lcm, prod
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.sources.operator_limits import (
    BoundedRandom,
    OperatorLimits,
    enlarge,
    repeats,
    to_atoms,
    to_structure,
)
from imatgen_flows.sources.search import SearchSpace
from imatgen_flows.sources.search_limits import nearest_permitted

if TYPE_CHECKING:
    from ase_ga.cutandsplicepairing import CutAndSplicePairing

CELLS = 50  # cells drawn between those of two parents, until one is within the bounds
IN_PLANE = 0.05  # probability of a shift in the plane of the cut, as in ase-ga


def cut_and_splice(
    one: Structure, other: Structure, volume: float, limits: OperatorLimits, random: np.random.Generator
) -> Structure | None:
    """Put a slab of one crystal beside a slab of the other, in a cell between theirs.

    Where both hold the same atoms, ase-ga's pairing keeps these. It knows no others: for crystals of different compositions
    the atoms are what the cut gives, and those that are missing from a permitted composition, or too many, are added from
    the rest of both parents, or removed, at random (Oganov and Glass, J. Chem. Phys. 124, 244704 (2006), for one
    composition).

    Parameters
    ----------
    one, other : Niggli cells; they are repeated where this makes their contents equal
    volume : A^3, of an atom of the child
    limits : to which it keeps
    random : source of all random numbers

    Returns
    -------
    None where no cell, no permitted composition or too few atoms were found
    """
    equal = _equalise(one, other, limits.space, random)
    if equal is None:
        return _splice(enlarge(one, limits, random), enlarge(other, limits, random), limits, random)
    first, second = (to_atoms(structure.get_sorted_structure()) for structure in equal)
    pairing = _pairing(len(first), limits, random)
    pairing.scaling_volume = volume * len(first)
    child = pairing.cross(first, second)
    return child and to_structure(child)


def _splice(one: Structure, other: Structure, limits: OperatorLimits, random: np.random.Generator) -> Structure | None:
    cell = _pairing(len(one), limits, random).generate_unit_cell(
        one.lattice.matrix, other.lattice.matrix, maxcount=CELLS
    )
    if cell is None:
        return None
    axis, cut = int(random.integers(3)), random.random()
    # the origins of two crystals have nothing to do with each other
    places = np.concatenate([(parent.frac_coords + random.random(3)) % 1 for parent in (one, other)])
    symbols = np.array([site.specie.symbol for parent in (one, other) for site in parent])
    is_first = np.arange(len(symbols)) < len(one)
    used = (places[:, axis] < cut) == is_first
    if not used[is_first].any() or not used[~is_first].any():
        return None
    elements = limits.space.elements
    target = nearest_permitted(limits.space, tuple(int((used & (symbols == symbol)).sum()) for symbol in elements))
    if target is None:
        return None
    for symbol, wanted in zip(elements, target, strict=True):
        taken, spare = (np.flatnonzero(flags & (symbols == symbol)) for flags in (used, ~used))
        if wanted > len(taken) + len(spare):
            return None
        used[random.permutation(taken)[wanted:]] = False
        used[random.permutation(spare)[: max(0, wanted - len(taken))]] = True
    return Structure(cell, symbols[used].tolist(), places[used])


def _pairing(number: int, limits: OperatorLimits, random: np.random.Generator) -> CutAndSplicePairing:
    from ase import Atoms
    from ase_ga.cutandsplicepairing import CutAndSplicePairing

    return CutAndSplicePairing(
        Atoms(pbc=True),
        number,
        limits.distances,
        number_of_variable_cell_vectors=3,
        p2=IN_PLANE,
        cellbounds=limits.cells,
        test_dist_to_slab=False,
        rng=BoundedRandom(random),
    )


def _equalise(
    one: Structure, other: Structure, space: SearchSpace, random: np.random.Generator
) -> tuple[Structure, Structure] | None:
    """Repeat two crystals of one formula until they hold the same atoms; None where they cannot."""
    if one.composition.reduced_formula != other.composition.reduced_formula:
        return None
    number = lcm(len(one), len(other))
    found = []
    for parent in (one, other):
        fitting = [repeat for repeat in repeats(parent, space) if prod(repeat) * len(parent) == number]
        if not fitting:
            return None
        found.append(parent * fitting[int(random.integers(len(fitting)))])
    return found[0], found[1]
