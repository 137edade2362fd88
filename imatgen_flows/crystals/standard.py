"""The standard frame of a crystal."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Structure

WRAP_TOLERANCE = 1e-5  # fractional: 0.999995 is 0 written with too few digits
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
    to_old = niggli_axes(structure)
    reduced = to_old @ structure.lattice.matrix
    frac = _wrap(structure.frac_coords @ np.linalg.inv(to_old))
    symbols = [site.specie.symbol for site in structure]
    order = sorted(range(len(symbols)), key=lambda i: (symbols[i], *np.round(frac[i], 4), *frac[i]))
    # The Cholesky factor of the metric tensor is the cell in standard orientation.
    lattice = np.linalg.cholesky(reduced @ reduced.T)
    return Structure(lattice, [symbols[i] for i in order], frac[order])


def niggli_axes(structure: Structure) -> NDArray[np.float64]:
    """Find the right-handed axes of the Niggli cell in terms of the axes of a crystal: rows of whole numbers.

    Raises
    ------
    ValueError
        Where the lattice cannot be reduced because its vectors are not finite or nearly coplanar.
    """
    matrix = np.asarray(structure.lattice.matrix)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
        raise ValueError(f"{structure.composition.formula}: the lattice has no volume, so that it has no Niggli cell")
    reduced = spglib.niggli_reduce(matrix)
    if reduced is None:
        raise ValueError(f"{structure.composition.formula}: spglib found no Niggli cell")
    if np.linalg.det(reduced) < 0:
        reduced = -reduced
    return np.rint(reduced @ np.linalg.inv(matrix))


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


def _wrap(frac: NDArray[np.float64]) -> NDArray[np.float64]:
    wrapped = frac - np.floor(frac)
    wrapped[wrapped > 1 - WRAP_TOLERANCE] = 0.0
    return wrapped
