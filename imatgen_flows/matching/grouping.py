"""Grouping of equal crystals, and look-up of a crystal among many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from imatgen_flows.matching.structure_matcher import SLACK, BatchedMatcher, Indices, PrimitiveCell, Tolerances
from imatgen_flows.parallel import parallel_map

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")
Formula = frozenset[tuple[str, int]]  # symbols and numbers of atoms, without a common divisor
Match = tuple[int, float]  # index of a crystal, and the root mean square displacement from it

CHUNK = 200  # crystals that are compared with one at once, and that a process takes at once
MIN_PARALLEL = 500  # crystals; fewer are done before another process has started


def primitive_cells(crystals: Sequence[Structure | PrimitiveCell], workers: int = 1) -> list[PrimitiveCell]:
    """Reduce crystals for comparisons; those that are reduced already stay as they are."""
    due = [crystal for crystal in crystals if not isinstance(crystal, PrimitiveCell)]
    tasks = [(due[start : start + CHUNK],) for start in range(0, len(due), CHUNK)]
    reduced = iter([cell for chunk in _map(_reduce, tasks, workers, len(due)) for cell in chunk])
    return [crystal if isinstance(crystal, PrimitiveCell) else next(reduced) for crystal in crystals]


def group_duplicates(
    structures: Sequence[Structure | PrimitiveCell],
    ltol: float = 0.2,
    stol: float = 0.3,
    angle_tol: float = 5,
    workers: int = 1,
) -> list[int]:
    """Group equal structures: for each, return the index of the first one that it equals, its own if there is none.

    Equality is not transitive, so that a structure is compared with the first of each group only, and a result always
    points to a structure that points to itself. The result does not depend on the number of processes.

    Parameters
    ----------
    structures : ordered crystals
    ltol, stol, angle_tol : as in `Tolerances`
    workers : processes, among which the formulas are distributed
    """
    tolerances = Tolerances(ltol, stol, angle_tol)
    cells = primitive_cells(structures, workers)
    buckets: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for position, cell in enumerate(cells):
        buckets[cell.symbols].append(position)
    largest_first = sorted(buckets.values(), key=len, reverse=True)
    tasks = [([cells[position] for position in bucket], tolerances) for bucket in largest_first]
    groups = [0] * len(cells)
    for bucket, firsts in zip(largest_first, _map(_group, tasks, workers, len(cells)), strict=True):
        for position, first in zip(bucket, firsts, strict=True):
            groups[position] = bucket[first]
    return groups


class StructureIndex(Generic[Key]):
    """Index of crystals, in which an equal one can be looked up.

    Two crystals are equal where pymatgen's `StructureMatcher` says so with either of them as the reference: it is not
    symmetric, and neither "duplicate" nor "new" should depend on an order. It compares primitive cells, scaled to one
    volume. It is called only for pairs of one formula that `BatchedMatcher` brings within the tolerances, by the matcher's
    own steps with each tolerance wider by 1e-6. The two may differ only where two ways to pair the atoms have the same sum
    of squares, to the last digit.

    Crystals are reduced when a crystal of their formula is first looked up.

    Parameters
    ----------
    structures : ordered crystals by name; where several equal one that is looked up, the earliest is found
    ltol, stol, angle_tol : as in `Tolerances`
    """

    def __init__(
        self,
        structures: Iterable[tuple[Key, Structure]] = (),
        ltol: float = 0.2,
        stol: float = 0.3,
        angle_tol: float = 5,
    ) -> None:
        self._tolerances = Tolerances(ltol, stol, angle_tol)
        self._waiting: defaultdict[Formula, list[tuple[Key, Structure]]] = defaultdict(list)
        self._entries: defaultdict[tuple[str, ...], list[tuple[Key, PrimitiveCell]]] = defaultdict(list)
        for key, structure in structures:
            self.add(key, structure)

    def add(self, key: Key, structure: Structure) -> None:
        """Add a crystal under a name."""
        self._waiting[_reduced_formula(site.specie.symbol for site in structure)].append((key, structure))

    def find(self, structure: Structure | PrimitiveCell) -> Key | None:
        """Find the first crystal that equals `structure`, and return its name; None where there is none."""
        match = self.find_match(structure)
        return match[0] if match else None

    def find_match(self, structure: Structure | PrimitiveCell) -> tuple[Key, float] | None:
        """Find the first crystal that equals `structure`, and the displacement of the atoms between both.

        Returns
        -------
        The name, and the root mean square displacement of the atoms at their best superposition, in units of
        (volume per atom)^(1/3), `stol` at most; None where nothing is equal
        """
        return self.find_matches([structure])[0]

    def find_matches(
        self, structures: Sequence[Structure | PrimitiveCell], workers: int = 1
    ) -> list[tuple[Key, float] | None]:
        """Look up many crystals in several processes, each as `find_match` does."""
        wanted = primitive_cells(structures, workers)
        self._reduce({_reduced_formula(cell.symbols) for cell in wanted}, workers)
        buckets: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for position, cell in enumerate(wanted):
            if cell.symbols in self._entries:
                buckets[cell.symbols].append(position)
        parts = [
            (symbols, bucket[start : start + CHUNK])
            for symbols, bucket in sorted(buckets.items(), key=lambda item: -len(self._entries[item[0]]))
            for start in range(0, len(bucket), CHUNK)
        ]
        tasks = [
            ([cell for _, cell in self._entries[symbols]], [wanted[position] for position in part], self._tolerances)
            for symbols, part in parts
        ]
        found: list[tuple[Key, float] | None] = [None] * len(wanted)
        for (symbols, part), matches in zip(parts, _map(_look_up, tasks, workers, len(wanted)), strict=True):
            for position, match in zip(part, matches, strict=True):
                if match is not None:
                    found[position] = (self._entries[symbols][match[0]][0], match[1])
        return found

    def _reduce(self, compositions: Iterable[Formula], workers: int) -> None:
        due = [item for formula in sorted(compositions, key=sorted) for item in self._waiting.pop(formula, ())]
        for (key, _), cell in zip(due, primitive_cells([structure for _, structure in due], workers), strict=True):
            self._entries[cell.symbols].append((key, cell))


class _Comparison:
    """Comparison of cells of one formula, first by `BatchedMatcher`, then by the matcher."""

    def __init__(self, cells: Sequence[PrimitiveCell], tolerances: Tolerances) -> None:
        self.cells = cells
        self.stol = tolerances.stol
        self.batched = BatchedMatcher(cells, tolerances)
        self.matcher = StructureMatcher(ltol=tolerances.ltol, stol=tolerances.stol, angle_tol=tolerances.angle_tol)

    def first_match(self, one: int, others: Indices) -> Match | None:
        """Find the first of the others that equals a cell, and the root mean square displacement."""
        for start in range(0, len(others), CHUNK):
            chunk = others[start : start + CHUNK]
            same = np.full(len(chunk), one)
            pairs = np.concatenate([chunk, same]), np.concatenate([same, chunk])
            largest, rms = (values.reshape(2, -1) for values in self.batched.displacements(*pairs))
            possible = ~(largest > self.stol + SLACK)  # NaN is possible
            for place in np.flatnonzero(possible.any(axis=0)):
                other, (forth, back) = int(chunk[place]), possible[:, place]
                if (forth and self.fit(other, one)) or (back and self.fit(one, other)):
                    return other, self.rms((other, one), rms[:, place].min())
        return None

    def fit(self, reference: int, other: int) -> bool:
        """Compare two cells by the matcher."""
        one, two = self.cells[reference].structure, self.cells[other].structure
        return bool(self.matcher.fit(one, two, skip_structure_reduction=True))

    def rms(self, pair: tuple[int, int], least: float) -> float:
        """Compute the displacement of a pair that matches; rounding at the tolerance may have lost it."""
        if np.isnan(least):
            one, two = (self.cells[number].structure for number in pair)
            known = [self.matcher.get_rms_dist(a, b) for a, b in ((one, two), (two, one))]
            least = min((distance[0] for distance in known if distance is not None), default=self.stol)
        return min(float(least), self.stol)


def _reduce(crystals: Sequence[Structure]) -> list[PrimitiveCell]:
    return [PrimitiveCell.of(crystal) for crystal in crystals]


def _group(cells: Sequence[PrimitiveCell], tolerances: Tolerances) -> list[int]:
    """Group cells of one formula."""
    comparison = _Comparison(cells, tolerances)
    firsts: list[int] = []
    groups = []
    for number in range(len(cells)):
        match = comparison.first_match(number, np.array(firsts, dtype=np.intp))
        if match is None:
            firsts.append(number)
        groups.append(number if match is None else match[0])
    return groups


def _look_up(
    known: Sequence[PrimitiveCell], wanted: Sequence[PrimitiveCell], tolerances: Tolerances
) -> list[Match | None]:
    """Find the first known cell that equals each wanted one, all of one formula."""
    comparison = _Comparison([*known, *wanted], tolerances)
    everything = np.arange(len(known))
    return [comparison.first_match(len(known) + number, everything) for number in range(len(wanted))]


def _reduced_formula(symbols: Iterable[str]) -> Formula:
    """Count the atoms of each element, and divide by the common divisor."""
    listed = list(symbols)
    counts = {symbol: listed.count(symbol) for symbol in set(listed)}
    divisor = np.gcd.reduce(list(counts.values()))
    return frozenset((symbol, int(count // divisor)) for symbol, count in counts.items())


def _map(function: Callable[..., Result], tasks: Sequence[tuple], workers: int, size: int) -> list[Result]:
    """Call a function with the arguments of each task, in several processes where there is enough to do."""
    return parallel_map(function, tasks, workers if size >= MIN_PARALLEL else 1, "comparing crystals")


def displacement(proposed: Structure, relaxed: Structure) -> float | None:
    """Return how far relaxation moved the atoms: root mean square, in units of (volume per atom)^(1/3).

    Both cells are scaled to one volume and superposed as pymatgen's `StructureMatcher` does by default; None where they do
    not match within its tolerances.
    """
    match = StructureIndex([("relaxed", relaxed)]).find_match(proposed)
    return match[1] if match else None
