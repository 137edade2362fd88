"""Which crystals lose atoms by `repair`: known ones that should keep all, and overlapping ones that should not.

Known structures are repaired with limits from the shipped table, and with limits from a table that was made without them.
Overlapping crystals are known ones with one atom too many, close to another, and random ones; that an atom overlaps is
told by the sum of the covalent radii, not by the limits under test. V-O is compared with the published rule.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from make_distance_table import ELEMENTS, RADII, read, shortest_distances, shortest_of_pairs
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.repair import repair
from imatgen_flows.crystals.shortest_distances import limits_of
from imatgen_flows.crystals.volumes import expected_volume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CLOSE, CLOSE_TO_HYDROGEN = 0.85, 0.6  # A; no bond is as short: NO+ 1.06 A, H2 0.74 A
FRACTION = 0.45  # of the sum of covalent radii; the shortest contacts known are 0.6 of it
PUBLISHED = {"VV": 1.6, "OV": 1.2, "VO": 1.2, "OO": 1.3}  # A; Noh et al., Matter 1, 1370 (2019), S3.3
KNOWN, OVERLAPPING, VANADIUM_OXIDES = 5000, 2000, 1000
LOST = 0.001  # share of known structures that may lose an atom


def overlap_distance(a: str, b: str) -> float:
    """Give the distance in A below which atoms certainly overlap."""
    close = CLOSE_TO_HYDROGEN if "H" in (a, b) else CLOSE
    return max(close, FRACTION * (RADII[ELEMENTS.index(a)] + RADII[ELEMENTS.index(b)]))


def count_overlaps(crystal: Structure) -> int:
    """Count the pairs of atoms that overlap, by pymatgen's distances."""
    symbols, distances = [site.specie.symbol for site in crystal], crystal.distance_matrix
    return sum(
        distances[i, j] < overlap_distance(symbols[i], symbols[j]) for i in range(len(symbols)) for j in range(i)
    )


def structure_of(row: dict) -> Structure:
    """Build the crystal of a row."""
    return Structure(row["lattice"], row["species"], row["frac_coords"])


def one_too_many(crystal: Structure, random: np.random.Generator) -> Structure:
    """Add an atom of one of the elements of a crystal, so close to another that they overlap."""
    crowded = crystal.copy()
    symbol = random.choice([element.symbol for element in crystal.elements])
    near = crystal[int(random.integers(len(crystal)))]
    direction = random.normal(size=3)
    away = direction / np.linalg.norm(direction) * random.uniform(0.2, overlap_distance(symbol, near.specie.symbol))
    crowded.append(symbol, near.coords + away, coords_are_cartesian=True)
    return crowded


def random_crystal(elements: Sequence[str], random: np.random.Generator) -> Structure:
    """Draw 2 to 20 atoms of the elements anywhere in a cell of the volume of their composition; some overlap."""
    while True:
        species = random.choice(elements, int(random.integers(2, 21))).tolist()
        angles, edges = random.uniform(70, 110, 3), random.uniform(0.7, 1.4, 3)
        crystal = Structure(Lattice.from_parameters(*edges, *angles), species, random.random((len(species), 3)))
        crystal.scale_lattice(expected_volume(crystal.composition))
        if count_overlaps(crystal):
            return crystal


def losing(crystals: list[Structure], shortest: NDArray[np.float64] | None = None) -> int:
    """Count the crystals that lose an atom, by the limits of the package or those of a table of shortest distances."""
    if shortest is None:
        return sum(bool(repair(crystal).dropped) for crystal in crystals)
    limits = limits_of(shortest, ELEMENTS)

    def of_table(symbols: Sequence[str]) -> NDArray[np.float64]:
        rows = [ELEMENTS.index(symbol) for symbol in symbols]
        return limits[np.ix_(rows, rows)]

    return sum(bool(repair(crystal, of_table).dropped) for crystal in crystals)


def published(symbols: Sequence[str]) -> NDArray[np.float64]:
    """Give the published limits of V-O."""
    return np.array([[PUBLISHED[a + b] for b in symbols] for a in symbols])


def main() -> int:
    """Repair all, print the table, and fail where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="mp_structures.jsonl.gz")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    rows = list(read(given.data))
    chosen = set(random.choice(len(rows), KNOWN, replace=False).tolist())
    others = shortest_distances(shortest_of_pairs(row) for number, row in enumerate(rows) if number not in chosen)
    known = [structure_of(rows[number]) for number in sorted(chosen)]
    lost = {"shipped": losing(known), "made of the others": losing(known, others)}

    half = OVERLAPPING // 2
    crowded = [one_too_many(crystal, random) for crystal in known[:: KNOWN // half][:half]]
    crowded += [random_crystal(random.choice(ELEMENTS, 3, replace=False).tolist(), random) for _ in range(half)]
    left = sum(count_overlaps(repair(crystal).structure) > 0 for crystal in crowded)

    oxides = [random_crystal(["V", "O"], random) for _ in range(VANADIUM_OXIDES)]
    changed = sum(repair(crystal).structure != repair(crystal, published).structure for crystal in oxides)

    for table, count in lost.items():
        print(f"{count:5} of {KNOWN} known structures lose an atom, by the table {table} ({count / KNOWN:.2%})")
    print(f"{left:5} of {OVERLAPPING} overlapping crystals still hold an overlap")
    print(f"{changed:5} of {VANADIUM_OXIDES} random V-O crystals are repaired otherwise than as published")
    return int(max(lost.values()) > LOST * KNOWN or left > 0 or changed > 0)


if __name__ == "__main__":
    sys.exit(main())
