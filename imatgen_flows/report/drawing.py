"""Geometry of a drawn crystal: balls, sticks and cell edges, for the page and for the still figures."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

_NONMETALS = "H He B C N O F Ne Si P S Cl Ar Ge As Se Br Kr Te I Xe At Rn"  # codespell:ignore te
NONMETALS = frozenset(_NONMETALS.split())
VIEW = (-72.0, 0.0, 18.0)  # degrees about x, y, z: c points up, a to the right, seen a little from above


class DrawingError(ValueError):
    """A structure cannot be drawn; the message says why."""


@dataclass(frozen=True)
class Scene:
    """Geometry of a drawing, centred on the cell.

    Attributes
    ----------
    symbols : element of each atom
    positions : (n, 3) A
    bonds : pairs of atom numbers
    edges : (12, 2, 3) A, the edges of the cell
    centres : numbers of the atoms whose neighbours are all drawn
    """

    symbols: list[str]
    positions: np.ndarray
    bonds: list[tuple[int, int]]
    edges: np.ndarray
    centres: list[int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, lengths in A to 0.001."""
        return {
            "symbols": self.symbols,
            "positions": self.positions.round(3).tolist(),
            "bonds": self.bonds,
            "edges": self.edges.round(3).tolist(),
            "centres": self.centres,
        }


def read_cif(cif: str) -> Atoms:
    """Read CIF text.

    Raises
    ------
    DrawingError
        Where it holds no crystal.
    """
    from ase.io import read

    try:
        atoms = cast("Atoms", read(io.StringIO(cif), format="cif"))
    except Exception as error:  # the parser raises whatever the faulty line leads to
        raise DrawingError(f"not a CIF file ({type(error).__name__}: {error})") from error
    if not len(atoms) or not np.isfinite(atoms.cell.array).all() or abs(np.linalg.det(atoms.cell.array)) < 1e-3:
        raise DrawingError("the CIF file has no atoms or no volume")
    return atoms


def element_style(symbol: str) -> tuple[str, float]:
    """Return the colour (Jmol's, as hex) and the drawn radius (A) of an element."""
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors

    number = atomic_numbers[symbol]
    red, green, blue = (round(255 * float(part)) for part in jmol_colors[number])
    return f"#{red:02x}{green:02x}{blue:02x}", 0.17 + 0.19 * float(covalent_radii[number])


def scene(cif: str) -> Scene:
    """Arrange the crystal of a CIF text for drawing; see `arrange`.

    Raises
    ------
    DrawingError
        Where the text holds no crystal.
    """
    return arrange(read_cif(cif))


def arrange(atoms: Atoms, tolerance: float = 0.02) -> Scene:
    """Arrange a crystal for drawing.

    Atoms on faces, edges and corners of the cell are repeated on the opposite ones, and the neighbours of metal atoms
    (without nonmetals: of the largest element) are completed beyond the cell, so that coordination can be seen.

    Parameters
    ----------
    atoms : the crystal
    tolerance : an atom within this fraction of a face lies on it
    """
    from ase.data import covalent_radii

    cell, numbers = atoms.cell.array, atoms.numbers
    fractions = atoms.get_scaled_positions()
    fractions[fractions > 1 - tolerance] -= 1.0
    shifts = np.array(list(product((-1, 0, 1), repeat=3)))
    near = (fractions[None] + shifts[:, None]).reshape(-1, 3)  # the cell and its 26 neighbours
    owner = np.tile(np.arange(len(atoms)), len(shifts))
    inside = np.flatnonzero(((near >= -tolerance) & (near <= 1 + tolerance)).all(axis=1))

    radii = covalent_radii[numbers]
    bonded = _bonding(atoms.get_chemical_symbols(), radii)
    places = near @ cell
    metal = np.array([symbol not in NONMETALS for symbol in atoms.get_chemical_symbols()])
    central = metal if metal.any() and not metal.all() else numbers == numbers[np.argmax(radii)]
    completed = {
        other
        for atom in inside[central[owner[inside]]]
        for other in _neighbours(atom, places, owner, bonded)
        if not central[owner[other]]
    }
    # an atom on the edge whose partners all lie outside would float: one image of it that is bonded is enough
    shown = completed | set(inside[central[owner[inside]]].tolist())
    represented = {owner[atom] for atom in shown}
    shown |= {int(atom) for atom in inside if owner[atom] not in represented}
    drawn = sorted(shown)
    index = {atom: place for place, atom in enumerate(drawn)}
    bonds = sorted(
        (index[atom], index[other])
        for atom in drawn
        for other in _neighbours(atom, places, owner, bonded)
        if other in index and index[atom] < index[other]
    )
    corners = np.array(list(product((0, 1), repeat=3)))
    ends = [(p, q) for p in range(8) for q in range(p) if np.abs(corners[p] - corners[q]).sum() == 1]
    middle = cell.sum(axis=0) / 2
    edges = np.array([[corners[p] @ cell, corners[q] @ cell] for p, q in ends]) - middle
    symbols = atoms.get_chemical_symbols()
    centres = [index[atom] for atom in inside[central[owner[inside]]].tolist()]
    return Scene([symbols[owner[atom]] for atom in drawn], places[drawn] - middle, bonds, edges, centres)


def rotation(view: tuple[float, float, float] = VIEW) -> np.ndarray:
    """Return the (3, 3) matrix that turns column vectors by angles in degrees about z, then y, then x."""
    x, y, z = np.radians(view)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return np.asarray(about_x @ about_y @ about_z)


def _bonding(symbols: list[str], radii: np.ndarray) -> np.ndarray:
    """Return the longest bond between each two atoms of the cell, A; 0 where none is drawn.

    Unlike atoms bond up to 1.2 times the sum of their covalent radii. Like atoms bond only in an element or between
    nonmetals (a peroxide, a sulfur chain): lines between all metal atoms of an oxide would hide its polyhedra.
    """
    limit = 1.2 * (radii[:, None] + radii[None])
    kinds = np.array(symbols)
    metal = np.array([symbol not in NONMETALS for symbol in symbols])
    if len(set(symbols)) > 1:
        hidden = (kinds[:, None] == kinds[None]) & metal[:, None]
        if not metal.all():
            hidden |= metal[:, None] & metal[None]
        limit = np.where(hidden, 0.0, limit)
    return np.asarray(limit)


def _neighbours(atom: int, places: np.ndarray, owner: np.ndarray, bonded: np.ndarray) -> list[int]:
    distance = np.linalg.norm(places - places[atom], axis=1)
    return [int(other) for other in np.flatnonzero((distance > 0.1) & (distance < bonded[owner[atom], owner]))]
