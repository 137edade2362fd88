"""Diversity in the latent space: how similar in structure and composition neighbours are (paper, Figure S4)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imatgen_flows.models.latent_map import principal_components

if TYPE_CHECKING:
    from pymatgen.core import Structure

NEIGHBOURS = 10  # of each structure; a choice: some, and few against the size of a dataset
SHUFFLES = 20  # permutations, over which what chance gives is averaged
CHUNK = 512  # rows whose distances to all others are held at once
# of radial fingerprints, in cube roots of the volume per atom (about 2.2 A in an oxide): the range covers the first shells,
# the width hides small displacements; choices like those of Oganov and Valle, J. Chem. Phys. 130, 104504 (2009)
REACH, STEP, WIDTH = 3.5, 0.05, 0.08

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SpaceDiversity:
    """What neighbours in one latent space have in common.

    Attributes
    ----------
    shared : share of neighbours that are nearest by fingerprint too, by coordinates, and by chance as ``shuffled``
    explained : share of the variance of each property that the mean over neighbours accounts for, likewise
    """

    shared: dict[str, float]
    explained: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Diversity:
    """Properties of structures, and what neighbours in latent spaces have in common.

    Attributes
    ----------
    values : of each structure, by property: first principal component of the radial ``fingerprint``, ``volume`` per atom
        (A^3), and atomic ``fraction`` of the last element
    fingerprint_explained : share of the fingerprints' variance along that component
    neighbours : number of neighbours of a structure
    spaces : by name
    """

    values: dict[str, list[float]]
    fingerprint_explained: float
    neighbours: int
    spaces: dict[str, SpaceDiversity]


def measure_diversity(
    structures: Sequence[Structure],
    elements: Sequence[str],
    spaces: Mapping[str, Mapping[str, ArrayLike]],
    groups: Sequence[str],
    seed: int,
) -> Diversity:
    """Measure how similar neighbours in latent spaces are, in structure, volume and composition.

    Parameters
    ----------
    structures : of the dataset
    elements : of the system; the atomic fraction is that of the last
    spaces : by name, coordinates (n, d) of the structures by their kind; the first kind of each is shuffled
    groups : of each structure, such as its template; neighbours are of other groups
    seed : of the shuffling
    """
    prints = np.stack([radial_fingerprint(structure, elements) for structure in structures])
    components = principal_components(prints)
    values = {
        "fingerprint": components.transform(prints)[:, 0],
        "volume": np.array([structure.volume / len(structure) for structure in structures]),
        "fraction": np.array([structure.composition.get_atomic_fraction(elements[-1]) for structure in structures]),
    }
    alike = nearest(prints, groups)
    found: dict[str, SpaceDiversity] = {}
    for name, space in spaces.items():
        near = {kind: nearest(points, groups) for kind, points in space.items()}
        first = next(iter(near.values()))
        found[name] = SpaceDiversity(
            shared={kind: shared(rows, alike) for kind, rows in near.items()}
            | {"shuffled": shared_shuffled(first, alike, seed)},
            explained={
                key: {kind: explained(rows, value) for kind, rows in near.items()}
                | {"shuffled": explained_shuffled(first, value, seed)}
                for key, value in values.items()
            },
        )
    return Diversity(
        values={key: [round(float(each), 5) for each in value] for key, value in values.items()},
        fingerprint_explained=components.explained[0],
        neighbours=alike.shape[1],
        spaces=found,
    )


def radial_fingerprint(structure: Structure, elements: Sequence[str]) -> Array:
    """Compute the radial distribution of the atoms of each pair of elements, which does not depend on the cell.

    These are the functions of Oganov and Valle, J. Chem. Phys. 130, 104504 (2009), with distances in cube roots of the
    volume per atom, so that density does not count, and each weighed by the root of its share of the pairs, so that
    squared differences add up as theirs do.

    Parameters
    ----------
    structure : ordered
    elements : of the system, whether or not the structure has them

    Returns
    -------
    (pairs of elements x steps of distance,)
    """
    from scipy.ndimage import gaussian_filter1d

    unit = (structure.volume / len(structure)) ** (1 / 3)
    edges = np.arange(0, REACH + STEP / 2, STEP)
    shells = 4 / 3 * np.pi * np.diff(edges**3)  # volumes, of the volume per atom each
    centres, others, _, lengths = structure.get_neighbor_list(REACH * unit)
    symbols = np.array([site.specie.symbol for site in structure])
    parts = []
    for one, other in itertools.combinations_with_replacement(elements, 2):
        share = (symbols == one).mean() * (symbols == other).mean()
        between = (symbols[centres] == one) & (symbols[others] == other)
        found, _ = np.histogram(lengths[between] / unit, edges)
        density = found / (shells * len(structure) * share) - 1 if share else np.zeros(len(shells))
        smooth = gaussian_filter1d(density, WIDTH / STEP, mode="constant", cval=-1.0 if share else 0.0)
        parts.append(np.sqrt(share * (1 if one == other else 2)) * smooth)
    return np.concatenate(parts)


def nearest(points: ArrayLike, groups: Sequence[str], number: int = NEIGHBOURS) -> NDArray[np.int64]:
    """Find the nearest neighbours of each point among those of other groups, such as of other templates.

    Returns
    -------
    (n, number) rows; fewer columns where there are not as many others
    """
    from scipy.spatial.distance import cdist

    points = np.asarray(points, dtype=float)
    _, code, size = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    number = min(number, len(points) - int(size.max()))
    found = []
    for start in range(0, len(points), CHUNK):
        here = slice(start, start + CHUNK)
        apart = cdist(points[here], points)
        apart[code[here, None] == code] = np.inf
        found.append(np.argsort(apart, axis=1, kind="stable")[:, :number])
    return np.concatenate(found)


def explained(neighbours: NDArray[np.int64], values: ArrayLike) -> float:
    """Return the share of the variance of values (n,) that the mean over neighbours (n, k) accounts for.

    1 where neighbours agree; about -1/k where they have nothing to do with it.
    """
    values = np.asarray(values, dtype=float)
    total = ((values - values.mean()) ** 2).sum()
    return float(1 - ((values - values[neighbours].mean(axis=1)) ** 2).sum() / total) if total else 0.0


def explained_shuffled(neighbours: NDArray[np.int64], values: ArrayLike, seed: int) -> float:
    """Return the mean of `explained` over random permutations of the values."""
    values, random = np.asarray(values, dtype=float), np.random.default_rng(seed)
    return float(np.mean([explained(neighbours, random.permutation(values)) for _ in range(SHUFFLES)]))


def shared(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return the share of neighbours (n, k) that are among others (n, l)."""
    rows = np.arange(len(one))[:, None] * len(one)
    return float(np.isin(rows + one, rows + other).mean())


def shared_shuffled(one: NDArray[np.int64], other: NDArray[np.int64], seed: int) -> float:
    """Return the mean of `shared` over random permutations of the points of one space."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(SHUFFLES):
        new = random.permutation(len(one))
        renamed = np.empty_like(one)
        renamed[new] = new[one]
        found.append(shared(renamed, other))
    return float(np.mean(found))
