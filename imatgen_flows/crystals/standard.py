"""The standard frame of a crystal, and the name that its content gives it."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Sequence
from functools import cache

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Structure

WRAP_TOLERANCE = 1e-5  # fractional: 0.999995 is 0 written with too few digits
ID_RESOLUTION = 1e-3  # A for the cell, fractional for the atoms
PRIMITIVE_TOLERANCE = 0.01  # A; spglib's symprec. A looser one folds distorted supercells (M1 VO2) into their parents


def standardise(structure: Structure) -> Structure:
    """Transform a crystal to its Niggli cell, in standard orientation, wrapped and sorted.

    `a` lies along x, `b` in the xy plane with y > 0, and the axes are right-handed; fractional coordinates lie in [0, 1);
    sites are sorted by element symbol, then by coordinates. Neither the volume nor the number of sites changes: a
    supercell stays one. The result is its own standard form.

    Parameters
    ----------
    structure : ordered crystal, finite coordinates, volume above zero

    Returns
    -------
    A new structure of plain elements: no oxidation states, no site properties

    Raises
    ------
    ValueError
        Where the lattice cannot be reduced because its vectors are not finite or nearly coplanar.

    References
    ----------
    Křivý and Gruber, Acta Cryst. A32, 297 (1976), as implemented in spglib.
    """
    matrix = np.asarray(structure.lattice.matrix)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
        raise ValueError(f"{structure.composition.formula}: the lattice has no volume, so that it has no Niggli cell")
    reduced = spglib.niggli_reduce(matrix)
    if reduced is None:
        raise ValueError(f"{structure.composition.formula}: spglib found no Niggli cell")
    if np.linalg.det(reduced) < 0:
        reduced = -reduced
    to_old = np.rint(reduced @ np.linalg.inv(matrix))  # new axes in terms of the old ones: whole numbers
    reduced = to_old @ matrix
    frac = _wrap(structure.frac_coords @ np.linalg.inv(to_old))
    symbols = [site.specie.symbol for site in structure]
    order = sorted(range(len(symbols)), key=lambda i: (symbols[i], *np.round(frac[i], 4), *frac[i]))
    # The Cholesky factor of the metric tensor is the cell in standard orientation.
    lattice = np.linalg.cholesky(reduced @ reduced.T)
    return Structure(lattice, [symbols[i] for i in order], frac[order])


def shift_origin(structure: Structure, shift: Sequence[float] | NDArray[np.float64]) -> Structure:
    """Shift the origin by a fractional vector and standardise; the cell then holds other images of the atoms."""
    return standardise(Structure(structure.lattice, structure.species, structure.frac_coords - np.asarray(shift)))


def primitive_cell(crystal: Structure) -> Structure:
    """Find the primitive cell with spglib to 0.01 A, without idealising the positions; as given where there is none."""
    species = [site.specie.symbol for site in crystal]
    kinds = sorted(set(species))
    cell = (crystal.lattice.matrix.tolist(), crystal.frac_coords.tolist(), [kinds.index(symbol) for symbol in species])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib announces exceptions instead of None
        found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=PRIMITIVE_TOLERANCE)
    if found is None or len(found[2]) >= len(crystal):
        return Structure(crystal.lattice, species, crystal.frac_coords)
    lattice, frac_coords, numbers = found
    return Structure(lattice, [kinds[n] for n in numbers], frac_coords)


def extent(structure: Structure) -> float:
    """Compute the edge in A of the smallest box, centred on the centroid of the atoms, that holds all of them.

    It is twice the largest Cartesian distance of an atom from the centroid along x, y or z, with the atoms where the
    structure has them: wrap it first.
    """
    positions = structure.cart_coords
    return float(2 * np.abs(positions - positions.mean(axis=0)).max())


def structure_id(structure: Structure) -> str:
    """Name a crystal by its content: 12 hexadecimal digits.

    The crystal is standardised, then written in all settings that its cell allows (every atom of the rarest element as
    origin, every axis permutation or inversion that preserves the metric), rounded to 1e-3 A and 1e-3 of an axis;
    the smallest of these is hashed. So the name does not depend on origin, axes or order of the sites, and mirror
    images share it. Rounding has edges: equal names mean equal crystals, but crystals that differ by noise can have
    different names, and are compared with a structure matcher.
    """
    crystal = standardise(structure)
    symbols = [site.specie.symbol for site in crystal]
    elements = sorted(set(symbols), key=lambda symbol: (symbols.count(symbol), symbol))
    kinds = np.array([elements.index(symbol) for symbol in symbols])
    lattice = np.asarray(crystal.lattice.matrix)
    origins = crystal.frac_coords[kinds == 0]
    shifted = crystal.frac_coords[None] - origins[:, None]  # (origins, atoms, 3)
    settings = np.einsum("oai,sij->soaj", shifted, _metric_symmetries(lattice)).reshape(-1, len(symbols), 3)
    # The offset keeps 1/2, 1/3, 1/8, 1/16 and their multiples away from the edges of the rounding.
    cells = round(1 / ID_RESOLUTION)
    voxels = np.floor(settings * cells + 0.5 + 0.31).astype(np.int64) % cells
    keys = np.sort(((kinds * cells + voxels[..., 0]) * cells + voxels[..., 1]) * cells + voxels[..., 2], axis=1)
    smallest = keys[np.lexsort(keys.T[::-1])[0]]
    cell = np.rint(np.array(crystal.lattice.abc + _axis_products(lattice)) / ID_RESOLUTION).astype(np.int64)
    formula = [(symbol, symbols.count(symbol)) for symbol in elements]
    return hashlib.sha256(repr((formula, cell.tolist(), smallest.tolist())).encode()).hexdigest()[:12]


def _wrap(frac: NDArray[np.float64]) -> NDArray[np.float64]:
    wrapped = frac - np.floor(frac)
    wrapped[wrapped > 1 - WRAP_TOLERANCE] = 0.0
    return wrapped


def _axis_products(lattice: NDArray[np.float64]) -> tuple[float, float, float]:
    """Compute the cosines between the axes, as lengths: the off-diagonal of the metric tensor over the mean edge, in A."""
    metric = lattice @ lattice.T
    edge = np.cbrt(np.linalg.det(lattice))
    return metric[1, 2] / edge, metric[0, 2] / edge, metric[0, 1] / edge


@cache
def _unimodular() -> NDArray[np.float64]:
    """List all integer changes of axes with entries in {-1, 0, 1} and determinant +1 or -1; (6960, 3, 3)."""
    matrices = np.array(list(itertools.product((-1, 0, 1), repeat=9)), dtype=float).reshape(-1, 3, 3)
    return matrices[np.abs(np.abs(np.linalg.det(matrices)) - 1) < 1e-6]


def _metric_symmetries(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the changes of fractional coordinates, (S, 3, 3), that leave the metric of a reduced cell unchanged, to 1e-3 A."""
    metric = lattice @ lattice.T
    changes = _unimodular()
    tolerance = ID_RESOLUTION * np.cbrt(np.linalg.det(lattice))
    same = np.abs(changes @ metric @ changes.transpose(0, 2, 1) - metric).max(axis=(1, 2)) < tolerance
    return np.linalg.inv(changes[same])
