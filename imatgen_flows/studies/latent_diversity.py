"""Kinds of structure, and how much of them neighbours in the latent space share (paper, Figure S4)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imatgen_flows.studies.latent_classifier import CHUNK, distances, principal_components

if TYPE_CHECKING:
    from pymatgen.core import Structure

NEIGHBOURS = 10
SHUFFLES = 20
REACH, STEP, WIDTH = 3.5, 0.05, 0.08  # of radial fingerprints, in cube roots of the volume per atom

Array = NDArray[np.float64]


def measure_diversity(
    structures: Sequence[Structure],
    elements: Sequence[str],
    spaces: Mapping[str, Mapping[str, ArrayLike]],
    groups: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """Tell structures from each other, and measure how much of that neighbours in a space share.

    Parameters
    ----------
    structures : of the dataset
    elements : of the system; the atomic fraction is of the last
    spaces : by name, coordinates (n, d) of the structures by what they are; what is shuffled is the first of each
    groups : of each structure, such as its template; neighbours are of other groups
    seed : of the shuffling

    Returns
    -------
    values : of each structure, by property: first principal component of the radial ``fingerprint``, ``volume`` per atom
        (A^3), and atomic ``fraction``
    fingerprint_explained : share of the fingerprints' variance along that component
    neighbours : how many count
    spaces : by name, ``shared``, the share of neighbours that are the nearest by fingerprint too, and ``explained``, what
        their mean tells of each property; of all coordinates alike, and ``shuffled``
    """
    prints = np.stack([radial_fingerprint(structure, elements) for structure in structures])
    components = principal_components(prints)
    values = {
        "fingerprint": components.transform(prints)[:, 0],
        "volume": np.array([structure.volume / len(structure) for structure in structures]),
        "fraction": np.array([structure.composition.get_atomic_fraction(elements[-1]) for structure in structures]),
    }
    alike = nearest(prints, groups)
    found: dict[str, Any] = {}
    for name, space in spaces.items():
        near = {which: nearest(points, groups) for which, points in space.items()}
        first = next(iter(near.values()))
        found[name] = {
            "shared": {which: shared(rows, alike) for which, rows in near.items()}
            | {"shuffled": shared_shuffled(first, alike, seed)},
            "explained": {
                key: {which: explained(rows, value) for which, rows in near.items()}
                | {"shuffled": explained_shuffled(first, value, seed)}
                for key, value in values.items()
            },
        }
    return {
        "values": {key: [round(float(each), 5) for each in value] for key, value in values.items()},
        "fingerprint_explained": components.explained[0],
        "neighbours": alike.shape[1],
        "spaces": found,
    }


def radial_fingerprint(structure: Structure, elements: Sequence[str]) -> Array:
    """Describe a structure by how far its atoms are apart, each pair of elements for itself, whatever its size.

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
    points = np.asarray(points, dtype=float)
    _, code, size = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    number = min(number, len(points) - int(size.max()))
    found = []
    for start in range(0, len(points), CHUNK):
        here = slice(start, start + CHUNK)
        apart = distances(points[here], points)
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
    """Return what `explained` is on the average where values belong to anybody."""
    values, random = np.asarray(values, dtype=float), np.random.default_rng(seed)
    return float(np.mean([explained(neighbours, random.permutation(values)) for _ in range(SHUFFLES)]))


def shared(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return the share of neighbours (n, k) that are among others (n, l)."""
    rows = np.arange(len(one))[:, None] * len(one)
    return float(np.isin(rows + one, rows + other).mean())


def shared_shuffled(one: NDArray[np.int64], other: NDArray[np.int64], seed: int) -> float:
    """Return what `shared` is on the average where points of the one space are anybody's of the other."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(SHUFFLES):
        new = random.permutation(len(one))
        renamed = np.empty_like(one)
        renamed[new] = new[one]
        found.append(shared(renamed, other))
    return float(np.mean(found))
