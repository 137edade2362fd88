"""Which crystals are the same, among thousands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from imatgen_flows.matching.structure_matcher import SLACK, Indices, PrimitiveCell, Superposition, Tolerances
from imatgen_flows.parallel import share

Key = TypeVar("Key", bound=Hashable)

CHUNK = 200  # crystals that are compared with one at once, and that a process takes at once
WORTH_SHARING = 500  # crystals; fewer are done before another process has started


def primitive_cells(crystals: Sequence[Structure | PrimitiveCell], workers: int = 1) -> list[PrimitiveCell]:
    """Reduce crystals for comparisons; what is reduced already stays as it is."""
    cells: list[Any] = list(crystals)
    due = [number for number, crystal in enumerate(cells) if not isinstance(crystal, PrimitiveCell)]
    chunks = [due[start : start + CHUNK] for start in range(0, len(due), CHUNK)]
    tasks = [([cells[number] for number in chunk],) for chunk in chunks]
    for chunk, reduced in zip(chunks, _share(_reduce, tasks, workers, len(due)), strict=True):
        for number, cell in zip(chunk, reduced, strict=True):
            cells[number] = cell
    return cells


def group_duplicates(
    structures: Sequence[Structure | PrimitiveCell],
    ltol: float = 0.2,
    stol: float = 0.3,
    angle_tol: float = 5,
    workers: int = 1,
) -> list[int]:
    """Give for each structure the index of the first one that it equals; its own, if none before it does.

    Equality is not transitive, so that a structure is compared with the first of each group only, and a result always
    points to a structure that points to itself. It does not depend on the number of processes.

    Parameters
    ----------
    structures : ordered crystals
    ltol, stol, angle_tol : as in `StructureIndex`
    workers : processes; formulas are shared among them
    """
    tolerances = Tolerances(ltol, stol, angle_tol)
    cells = primitive_cells(structures, workers)
    buckets: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for position, cell in enumerate(cells):
        buckets[cell.symbols].append(position)
    largest_first = sorted(buckets.values(), key=len, reverse=True)
    tasks = [([cells[position] for position in bucket], tolerances) for bucket in largest_first]
    groups = [0] * len(cells)
    for bucket, firsts in zip(largest_first, _share(_group, tasks, workers, len(cells)), strict=True):
        for position, first in zip(bucket, firsts, strict=True):
            groups[position] = bucket[first]
    return groups


class StructureIndex(Generic[Key]):
    """Crystals to look others up in.

    Two crystals are equal where pymatgen's `StructureMatcher` says so with either of them as the reference: it is not
    symmetric, and neither "duplicate" nor "new" should depend on an order. It compares primitive cells, scaled to one
    volume. It is asked only about pairs of one formula that `Superposition` brings within the tolerances, which takes the
    matcher's own steps with each tolerance a millionth wider. Only where two ways to pair the atoms have the same sum of
    squares, to the last digit, may it see another way than the matcher does.

    Crystals are reduced when something of their formula is first looked up.

    Parameters
    ----------
    structures : ordered crystals by name; where several equal one that is looked up, the earliest is found
    ltol : relative tolerance of the edges
    stol : largest displacement of an atom, in units of (volume per atom)^(1/3)
    angle_tol : degrees
    """

    def __init__(
        self,
        structures: Iterable[tuple[Key, Structure]] = (),
        ltol: float = 0.2,
        stol: float = 0.3,
        angle_tol: float = 5,
    ) -> None:
        self._tolerances = Tolerances(ltol, stol, angle_tol)
        self._waiting: defaultdict[frozenset, list[tuple[Key, Structure]]] = defaultdict(list)
        self._entries: defaultdict[tuple[str, ...], list[tuple[Key, PrimitiveCell]]] = defaultdict(list)
        for key, structure in structures:
            self.add(key, structure)

    def add(self, key: Key, structure: Structure) -> None:
        """Add a crystal under a name."""
        self._waiting[_shares(site.specie.symbol for site in structure)].append((key, structure))

    def find(self, structure: Structure | PrimitiveCell) -> Key | None:
        """Name the first crystal that equals `structure`, if there is one."""
        match = self.find_match(structure)
        return match[0] if match else None

    def find_match(self, structure: Structure | PrimitiveCell) -> tuple[Key, float] | None:
        """Name the first crystal that equals `structure`, and how far they are apart.

        Returns
        -------
        The name, and the root mean square displacement of the atoms at their best superposition, in units of
        (volume per atom)^(1/3), `stol` at most; None where nothing is equal
        """
        return self.find_matches([structure])[0]

    def find_matches(
        self, structures: Sequence[Structure | PrimitiveCell], workers: int = 1
    ) -> list[tuple[Key, float] | None]:
        """Look up many crystals, as `find_match` does one, in several processes."""
        wanted = primitive_cells(structures, workers)
        self._reduce({_shares(cell.symbols) for cell in wanted}, workers)
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
        for (symbols, part), matches in zip(parts, _share(_look_up, tasks, workers, len(wanted)), strict=True):
            for position, match in zip(part, matches, strict=True):
                if match is not None:
                    found[position] = (self._entries[symbols][match[0]][0], match[1])
        return found

    def _reduce(self, compositions: Iterable[frozenset], workers: int) -> None:
        due = [item for shares in sorted(compositions, key=sorted) for item in self._waiting.pop(shares, ())]
        for (key, _), cell in zip(due, primitive_cells([structure for _, structure in due], workers), strict=True):
            self._entries[cell.symbols].append((key, cell))


class _Comparison:
    """Pairs of cells of one formula, as `Superposition` and then the matcher see them."""

    def __init__(self, cells: Sequence[PrimitiveCell], tolerances: Tolerances) -> None:
        self.cells = cells
        self.stol = tolerances.stol
        self.superposition = Superposition(cells, tolerances)
        self.matcher = StructureMatcher(ltol=tolerances.ltol, stol=tolerances.stol, angle_tol=tolerances.angle_tol)

    def first_equal(self, one: int, others: Indices) -> tuple[int, float] | None:
        """Find the first of the others that equals a cell, and the root mean square displacement."""
        for start in range(0, len(others), CHUNK):
            chunk = others[start : start + CHUNK]
            same = np.full(len(chunk), one)
            pairs = np.concatenate([chunk, same]), np.concatenate([same, chunk])
            largest, rms = (values.reshape(2, -1) for values in self.superposition.distances(*pairs))
            possible = ~(largest > self.stol + SLACK)  # NaN is possible
            for place in np.flatnonzero(possible.any(axis=0)):
                other, (forth, back) = int(chunk[place]), possible[:, place]
                if (forth and self.fit(other, one)) or (back and self.fit(one, other)):
                    return other, self.rms((other, one), rms[:, place].min())
        return None

    def fit(self, reference: int, other: int) -> bool:
        """Ask the matcher."""
        one, two = self.cells[reference].structure, self.cells[other].structure
        return bool(self.matcher.fit(one, two, skip_structure_reduction=True))

    def rms(self, pair: tuple[int, int], least: float) -> float:
        """Displacement of a pair that matches: only rounding, right at the tolerance, can lose it."""
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
        match = comparison.first_equal(number, np.array(firsts, dtype=np.intp))
        if match is None:
            firsts.append(number)
        groups.append(number if match is None else match[0])
    return groups


def _look_up(
    known: Sequence[PrimitiveCell], wanted: Sequence[PrimitiveCell], tolerances: Tolerances
) -> list[tuple[int, float] | None]:
    """Find for each wanted cell the first known one, all of one formula."""
    comparison = _Comparison([*known, *wanted], tolerances)
    everything = np.arange(len(known))
    return [comparison.first_equal(len(known) + number, everything) for number in range(len(wanted))]


def _shares(symbols: Iterable[str]) -> frozenset:
    """Reduced formula: numbers of atoms by element, without a common divisor."""
    listed = list(symbols)
    counts = {symbol: listed.count(symbol) for symbol in set(listed)}
    divisor = np.gcd.reduce(list(counts.values()))
    return frozenset((symbol, int(count // divisor)) for symbol, count in counts.items())


def _share(function: Callable[..., Any], tasks: Sequence[tuple], workers: int, size: int) -> list[Any]:
    """Call a function with each task's arguments, in several processes where there is enough to do."""
    return share(function, tasks, workers if size >= WORTH_SHARING else 1, "comparing crystals")
