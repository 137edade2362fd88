"""Make the table of the shortest distances between two elements, from the structures of a file.

Each structure gives one observation for each pair of its elements: their shortest distance. Radii of the elements, fitted
to all pairs, predict these; observations far below the prediction are those of wrong entries, and are left out. The rest
gives the distance of a pair, its lowest thousandth, which is drawn towards the prediction where observations are few.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
from pymatgen.core import Element

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

ELEMENTS = [Element.from_Z(z).symbol for z in range(1, 97)]  # to Cm: those that have a covalent radius
RADII = np.array([CovalentRadius.radius[symbol] for symbol in ELEMENTS])  # A; Cordero et al., Dalton Trans. 2832 (2008)
QUANTILE = 0.001  # of the observations of a pair: lower ones of pairs with thousands are wrong entries
OUTLIER = 0.9  # of the predicted distance: most pairs lie within 7 % of it, wrong entries further below
PRIOR = 30  # observations that the prediction counts for; fewer lose more structures that were held out
SHRINKAGE = 3.0  # ridge on the deviations of the elements from their covalent radii, in pairs
CLIP = 0.1  # residual (of a logarithm) beyond which a pair loses weight in the fit
# A, shortest bonds without and with hydrogen, NO+ and H2: K. P. Huber, G. Herzberg, Constants of Diatomic Molecules, 1979
SHORTEST_BOND, SHORTEST_BOND_OF_HYDROGEN = 1.06, 0.74

Pair = tuple[int, int]


def read(path: Path) -> Iterator[dict]:
    """Read the rows of a .jsonl.gz file of crystals."""
    with gzip.open(path, "rt") as stream:
        yield from map(json.loads, stream)


def shortest_of_pairs(row: dict) -> dict[Pair, float]:
    """Compute the shortest distance in A of each pair of elements in a crystal; its cell is a Niggli cell."""
    lattice, coords = np.array(row["lattice"]), np.array(row["frac_coords"])
    numbers = np.array([ELEMENTS.index(symbol) for symbol in row["species"]])
    cells = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ lattice
    separations = coords[:, None] - coords
    separations = (separations - np.rint(separations)) @ lattice
    squares = ((separations[:, :, None] + cells) ** 2).sum(axis=-1)
    itself = np.arange(len(numbers))
    squares[itself, itself, len(cells) // 2] = np.inf
    distances = np.sqrt(squares.min(axis=-1))
    kinds = np.unique(numbers).tolist()
    return {
        (a, b): float(distances[np.ix_(numbers == a, numbers == b)].min())
        for a, b in itertools.combinations_with_replacement(kinds, 2)
    }


def shortest_distances(crystals: Iterable[dict[Pair, float]]) -> NDArray[np.float64]:
    """Compute the shortest distance of each pair of elements in A, (96, 96), from the observations in crystals."""
    collected = defaultdict(list)
    for crystal in crystals:
        for pair, distance in crystal.items():
            collected[pair].append(distance)
    observed = {pair: np.sort(distances) for pair, distances in collected.items()}
    sums = np.add.outer(RADII, RADII)
    predicted = sums
    for _ in range(5):
        found = {pair: _low(distances, predicted[pair]) for pair, distances in observed.items()}
        predicted = sums * np.exp(_fit({pair: np.log(found[pair] / sums[pair]) for pair in found}, observed))
    table = predicted.copy()
    for (a, b), distances in observed.items():
        weight = len(distances) / (len(distances) + PRIOR)
        table[a, b] = table[b, a] = found[a, b] ** weight * predicted[a, b] ** (1 - weight)
    floor = np.full_like(table, SHORTEST_BOND)
    floor[0] = floor[:, 0] = SHORTEST_BOND_OF_HYDROGEN
    return np.maximum(table, floor)


def _low(distances: NDArray[np.float64], predicted: float) -> float:
    kept = distances[distances >= OUTLIER * predicted]
    return float(kept[int(QUANTILE * len(kept))]) if len(kept) else float(predicted)


def _fit(ratios: dict[Pair, float], observed: dict[Pair, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Fit log(distance / sum of covalent radii) of all pairs by one term an element and a constant; (96, 96)."""
    pairs, values = np.array(list(ratios)), np.array(list(ratios.values()))
    design = np.zeros((len(pairs), len(ELEMENTS) + 1))
    np.add.at(design, (np.arange(len(pairs))[:, None], pairs), 1)
    design[:, -1] = 1
    ridge = np.diag([SHRINKAGE] * len(ELEMENTS) + [0.0])
    counts = np.array([len(observed[pair]) for pair in ratios])
    certain = counts / (counts + PRIOR)
    weights = certain
    for _ in range(30):
        weighted = design * weights[:, None]
        terms = np.linalg.solve(weighted.T @ design + ridge, weighted.T @ values)
        residuals = np.abs(values - design @ terms)
        weights = certain * np.minimum(1, CLIP / np.maximum(residuals, 1e-9))
    return np.add.outer(terms[:-1], terms[:-1]) + terms[-1]


ORIGIN = {
    "source": "Materials Project v2023.11.1: 66,250 ordered structures of 2 to 5 elements, at most 20 sites and 10 A",
    "attribution": "A. Jain et al., APL Materials 1, 011002 (2013)",
    "licence": "CC BY 4.0",
}
PUBLISHED = [
    {
        "system": "V-O",
        "limits": {"V-V": 1.6, "V-O": 1.2, "O-O": 1.3},
        "source": "J. Noh et al., Matter 1, 1370 (2019), S3.3; V-O is not among the structures of the table",
    }
]


def table_text(table: NDArray[np.float64]) -> str:
    """Write a table as JSON, one line an element, each up to the diagonal."""
    head = {
        "about": "Shortest distance in A of each pair of elements in crystals; a row holds an element with itself and those "
        "before it. In the systems under `published` the limits of the distance are given, in A.",
        **ORIGIN,
        "made_by": "python benchmarks/make_distance_table.py mp_structures.jsonl.gz",
        "published": PUBLISHED,
    }
    rows = [
        f'  "{symbol}": {json.dumps(np.round(table[row, : row + 1], 2).tolist())}'
        for row, symbol in enumerate(ELEMENTS)
    ]
    return json.dumps(head, indent=1)[:-2] + ',\n "shortest": {\n' + ",\n".join(rows) + "\n }\n}\n"


def main() -> None:
    """Make the table and write it where the package reads it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("structures", type=Path, help=".jsonl.gz file of crystals: lattice, species, frac_coords")
    parser.add_argument("--output", type=Path, default=Path("imatgen_flows/crystals/data/shortest_distances.json"))
    given = parser.parse_args()
    given.output.write_text(table_text(shortest_distances(map(shortest_of_pairs, read(given.structures)))))


if __name__ == "__main__":
    main()
