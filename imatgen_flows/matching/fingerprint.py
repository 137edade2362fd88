"""Fingerprints of crystals, between any two of which there is a distance, however different they are.

A matcher says whether two crystals are the same within tolerances; where they are not, it gives no number. The fingerprint of
Oganov and Valle (J. Chem. Phys. 130, 104504 (2009)) gives one: it lists how often two elements are found at each distance,
relative to atoms that are spread evenly, and thus depends neither on the cell, nor on the origin, nor on a rotation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

VOLUME = 10.0  # A^3 per atom, to which each crystal is scaled: that of a dense oxide
REACH = 10.0  # A, largest distance between two atoms that counts: the value that the authors and USPEX use
STEP = 0.05  # A, of the grid of distances
# A, standard deviation of the Gaussian of each pair of atoms. With 0.03 A, a sharp peak, rutile strained by 3 % is half as
# far from rutile as brookite is; with 0.1 A a quarter, and rutile whose atoms moved by 0.1 A a twentieth
WIDTH = 0.1
POINTS = round(REACH / STEP)  # of the grid: the middles of its steps
TAIL = 5  # standard deviations up to which a Gaussian is added: 6e-7 of it lie beyond
SPAN = math.ceil(TAIL * WIDTH / STEP)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fingerprint:
    """Distances between atoms of a crystal at one volume per atom, by pair of elements.

    Attributes
    ----------
    numbers : atoms of each element in the reduced formula
    functions : by pair of elements (in alphabetical order), the function F(R) of Oganov and Valle on a grid of distances: the
        number of such pairs at a distance, divided by that of evenly spread atoms, less one

    Examples
    --------
    >>> from pymatgen.core import Lattice
    >>> one, other = (
    ...     Structure.from_spacegroup(group, Lattice.cubic(edge), ["Zn", "S"], [[0, 0, 0], [0.25] * 3])
    ...     for group, edge in ((216, 5.41), (216, 6.0))
    ... )
    >>> round(Fingerprint.of(one).distance(Fingerprint.of(other * (2, 1, 1))), 6) + 0.0
    0.0
    """

    numbers: Mapping[str, int]
    functions: Mapping[tuple[str, str], Array]

    @classmethod
    def of(cls, structure: Structure) -> Fingerprint:
        """Compute the fingerprint of an ordered crystal.

        Parameters
        ----------
        structure : its lattice, sites and elements; oxidation states do not count
        """
        symbols = np.array([site.specie.symbol for site in structure])
        scaled = structure.copy()
        scaled.scale_lattice(VOLUME * len(structure))
        centres, others, _, lengths = scaled.get_neighbor_list(REACH + TAIL * WIDTH)
        counts = {str(symbol): int((symbols == symbol).sum()) for symbol in np.unique(symbols)}
        functions = {}
        for one, other in combinations_with_replacement(sorted(counts), 2):
            chosen = lengths[(symbols[centres] == one) & (symbols[others] == other)]
            even = (
                4 * np.pi * counts[one] * counts[other] / scaled.volume
            )  # pairs per A, times R^2, of evenly spread atoms
            functions[one, other] = _sum_of_gaussians(chosen) / even - 1
        divisor = int(np.gcd.reduce(list(counts.values())))
        return cls({symbol: number // divisor for symbol, number in counts.items()}, functions)

    def distance(self, other: Fingerprint) -> float:
        """Compute the cosine distance from another fingerprint, (1 - cos) / 2.

        The products of the functions are weighted by the numbers of pairs, as published. Where the elements differ, each of
        one crystal stands for one of the other that is as frequent in the formula, and the smallest distance counts.

        Returns
        -------
        0 where the fingerprints are the same, 1 at most; symmetric

        Raises
        ------
        ValueError
            Where the two have different stoichiometries.
        """
        found = [self._distance(other, roles) for roles in _roles(self.numbers, other.numbers)]
        if not found:
            raise ValueError(f"{dict(self.numbers)} and {dict(other.numbers)} are of different stoichiometries")
        return min(found)

    def _distance(self, other: Fingerprint, roles: Mapping[str, str]) -> float:
        """Compute the distance where each element of this crystal stands for one of the other."""
        one_other = one_one = other_other = 0.0
        for (a, b), mine in self.functions.items():
            first, second = sorted((roles[a], roles[b]))
            theirs, weight = other.functions[first, second], self.numbers[a] * self.numbers[b]
            one_other += weight * float(mine @ theirs)
            one_one += weight * float(mine @ mine)
            other_other += weight * float(theirs @ theirs)
        cosine = one_other / np.sqrt(one_one * other_other)
        return float(np.clip((1 - cosine) / 2, 0, 1))


def _sum_of_gaussians(lengths: Array) -> Array:
    """Add up normalised Gaussians about distances (n,), each divided by the square of its distance, on the grid (POINTS,)."""
    lengths = np.maximum(lengths, STEP)  # databases hold atoms in one place
    near = np.floor(lengths / STEP).astype(int)[:, None] + np.arange(-SPAN, SPAN + 1)
    steps = (near + 0.5) * STEP - lengths[:, None]
    heights = np.exp(-((steps / WIDTH) ** 2) / 2) / lengths[:, None] ** 2
    within = (near >= 0) & (near < POINTS)
    total = np.bincount(near[within], weights=heights[within], minlength=POINTS)
    return np.asarray(total / (WIDTH * np.sqrt(2 * np.pi)), dtype=np.float64)


def _roles(one: Mapping[str, int], other: Mapping[str, int]) -> Iterator[dict[str, str]]:
    """List the ways in which elements of one formula stand for those of another; those that both have keep their role."""
    if one == other:
        yield {symbol: symbol for symbol in one}
        return
    if sorted(one.values()) != sorted(other.values()):
        return
    for order in permutations(other):
        if all(one[symbol] == other[role] for symbol, role in zip(one, order, strict=True)):
            yield dict(zip(one, order, strict=True))
