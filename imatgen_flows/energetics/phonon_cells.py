"""Cells of a phonon calculation: the primitive standard cell, the supercell, and what their displacements will cost."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import spglib
from numpy.typing import NDArray
from pymatgen.core import Element, Structure

from imatgen_flows.errors import InputError

# A; spglib's symprec. Atoms that relaxed to 0.005 eV/A lie 0.01 A off a symmetric position where the spring constant is
# 0.5 eV/A^2, which is a soft one; the smallest distortions that count, those of perovskites, are above 0.04 A
SYMPREC = 0.02
REACH = 6.0  # A; potentials see neighbours up to 5 A (SevenNet-0) or 6 A (CHGNet), so that a wider gap is a vacuum
EDGE_TOLERANCE = 0.02  # A, by which the faces of a supercell may lie closer than was asked for
# share of the length that an even number of cells may lack where the next odd one would reach it: an even number holds the
# waves that double the cell, of which an odd one only interpolates the frequencies
EVEN_TOLERANCE = 0.1


@dataclass(frozen=True)
class PhononSettings:
    """Settings of phonons by finite displacements.

    Attributes
    ----------
    supercell : A; the faces of the supercell lie so far apart or more, or up to a tenth less where that makes an even
        number of cells
    displacement : of one atom at a time, A; phonopy's own
    fmax : eV/A, of the relaxation before, of atoms and cell
    max_steps : of that relaxation
    mesh : A; wave vectors along an axis are this length times the length of its reciprocal vector. With 40 A the free energy
        at 300 K is that of 120 A to 0.06 meV/atom (MgO, Si, hcp Ti with CHGNet; notebook/2026-11-30-phonons.md)
    max_atoms : of a supercell; a larger one is refused before anything runs
    max_displacements : of one structure; more are refused, too
    symprec : A, to which the symmetry is found
    pressure : GPa, of the relaxation
    """

    supercell: float = 10.0
    displacement: float = 0.01
    fmax: float = 0.005
    max_steps: int = 500
    mesh: float = 40.0
    max_atoms: int = 300
    max_displacements: int = 300
    symprec: float = SYMPREC
    pressure: float = 0.0


@dataclass(frozen=True)
class PhononCost:
    """What phonons of a structure take, beside its relaxation.

    Attributes
    ----------
    atoms : of the primitive cell
    supercell : its matrix; rows are edges of the supercell in those of the primitive cell
    supercell_atoms : atoms in it
    displacements : number of displaced supercells, each of which is one evaluation with forces
    obstacle : why there will be no phonons: ``disordered``, ``no_solid``, ``too_large`` or ``error``; empty where nothing is
        in the way
    detail : for people
    """

    atoms: int = 0
    supercell: tuple[tuple[int, ...], ...] = ()
    supercell_atoms: int = 0
    displacements: int = 0
    obstacle: str = ""
    detail: str = ""


def phonon_cost(structure: Structure, settings: PhononSettings = PhononSettings()) -> PhononCost:
    """Say what phonons of a structure take before anything runs, or why there can be none.

    The relaxation may change the symmetry, and with it the number of displacements; at most six for each atom are needed.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> copper = Structure(Lattice.cubic(3.61), ["Cu"] * 4, [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    >>> cost = phonon_cost(copper)
    >>> cost.atoms, cost.supercell_atoms, cost.displacements
    (1, 108, 1)
    """
    if not structure.is_ordered:
        return PhononCost(
            len(structure), obstacle="disordered", detail="sites hold mixed elements: give an ordered structure"
        )
    if detail := vacuum_in(structure):
        return PhononCost(len(structure), obstacle="no_solid", detail=detail)
    try:
        cell = primitive_standard_cell(structure, settings.symprec)
        matrix = supercell_matrix(cell, settings.supercell)
        atoms = round(abs(np.linalg.det(matrix))) * len(cell)
        # as many as in the cell alone, where the search for symmetry is fast, unless the supercell has lost symmetry
        number = count_displacements(cell, np.eye(3) if keeps_symmetry(cell, matrix) else matrix, settings)
    except (InputError, ValueError) as error:
        return PhononCost(len(structure), obstacle="error", detail=str(error))
    cost = f"{number:,} displaced supercells of {atoms:,} atoms each ({len(cell)} in the primitive cell)"
    faults = [
        f"{cost}: `{name}` allows {limit:,}"
        for name, value, limit in (
            ("max_atoms", atoms, settings.max_atoms),
            ("max_displacements", number, settings.max_displacements),
        )
        if value > limit
    ]
    return PhononCost(
        atoms=len(cell),
        supercell=tuple(tuple(int(n) for n in row) for row in matrix),
        supercell_atoms=atoms,
        displacements=number,
        obstacle="too_large" if faults else "",
        detail=faults[0] if faults else cost,
    )


def vacuum_in(structure: Structure) -> str:
    """Say where a structure is no solid but a molecule, a chain or a slab in a box; empty where it fills space.

    Atoms within 6 A are linked; what is linked with its own images along three directions fills space. A molecular crystal
    does, since its molecules lie closer.
    """
    first, second, images, _ = structure.get_neighbor_list(REACH)
    parts, cycles = _walk(len(structure), first, second, images)
    for part, steps in zip(parts, cycles, strict=True):
        rank = int(np.linalg.matrix_rank(np.array(steps))) if steps else 0
        if rank < 3:
            what = ("a molecule or an atom", "a chain", "a slab")[rank]
            formula = structure.composition.reduced_formula
            return (
                f"{formula}: {len(part)} atoms are {what} in a box, with a vacuum of more than {REACH:g} A around it; "
                "phonons of a crystal need a solid"
            )
    return ""


def primitive_standard_cell(structure: Structure, symprec: float = SYMPREC) -> Structure:
    """Find the primitive standard cell with spglib, with idealised positions, sorted by electronegativity as for VASP.

    Raises
    ------
    InputError
        Where spglib finds none.
    """
    return _standard_cell(structure, symprec, primitive=True)


def supercell_matrix(cell: Structure, length: float) -> NDArray[np.int64]:
    """Choose a supercell of a primitive standard cell whose faces lie about `length` (A) apart or more.

    Multiples of the primitive and of the conventional cell are compared that keep the symmetry of the crystal; the fewest
    atoms win, and of two the conventional cell, whose edges are closer to right angles.

    Returns
    -------
    (3, 3) array; rows are edges of the supercell in those of the primitive cell
    """
    conventional = _standard_cell(cell, 1e-3, primitive=False)
    choices = []
    for base in (conventional.lattice.matrix @ np.linalg.inv(cell.lattice.matrix), np.eye(3)):
        rows = np.rint(base).astype(np.int64)
        if np.abs(rows - base).max() > 0.01:  # spglib has turned the cell: what lies in another frame is no supercell
            continue
        heights = _heights(rows @ cell.lattice.matrix)
        times = np.maximum(1, np.ceil((length - EDGE_TOLERANCE) / heights)).astype(np.int64)
        times -= (times % 2 == 1) & (times > 1) & ((times - 1) * heights >= (1 - EVEN_TOLERANCE) * length)
        choices.append(times[:, None] * rows)
    return min(choices, key=lambda matrix: (not keeps_symmetry(cell, matrix), round(abs(np.linalg.det(matrix)))))


def keeps_symmetry(cell: Structure, matrix: NDArray[np.int64]) -> bool:
    """Whether each rotation of a crystal maps the lattice of a supercell onto itself."""
    found: Any = spglib.get_symmetry_dataset(_plain(cell), symprec=1e-3)
    turned = np.linalg.inv(matrix.T) @ found.rotations @ matrix.T  # they act on columns
    return bool(np.abs(turned - np.rint(turned)).max() < 1e-6)


def count_displacements(cell: Structure, matrix: Any, settings: PhononSettings) -> int:
    """Count the displaced supercells that the symmetry leaves."""
    phonon = phonopy_of(cell, matrix)
    phonon.generate_displacements(distance=settings.displacement)
    return len(phonon.dataset["first_atoms"])


def smallest_cell(wave_vector: NDArray[np.float64]) -> NDArray[np.int64]:
    """Find the smallest cell, in multiples of the primitive one, into which a wave fits; rows are its edges.

    All lattice vectors n for which n q is whole make a lattice of an index that is the order of q; of the matrices in Hermite
    normal form of this index one makes it. Its edges are reduced, so that the cell is compact in whole numbers.
    """
    order = next(n for n in range(1, 1000) if np.abs(n * wave_vector - np.rint(n * wave_vector)).max() < 1e-3)
    for a in (n for n in range(1, order + 1) if order % n == 0):
        rest = order // a
        for b in (n for n in range(1, rest + 1) if rest % n == 0):
            c = rest // b
            for d, e, f in product(range(b), range(c), range(c)):
                matrix = np.array([[a, d, e], [0, b, f], [0, 0, c]])
                if np.abs(matrix @ wave_vector - np.rint(matrix @ wave_vector)).max() < 1e-3:
                    return matrix
    raise AssertionError(f"no cell of {order} primitive ones fits the wave vector {wave_vector}")


def phonopy_of(cell: Structure, matrix: Any) -> Any:
    """Set phonopy up for a primitive cell and a supercell; rows of the matrix are edges of the supercell."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = PhonopyAtoms(
        symbols=[site.specie.symbol for site in cell],
        cell=cell.lattice.matrix,
        scaled_positions=cell.frac_coords,
        masses=[float(site.specie.atomic_mass) for site in cell],
    )
    # phonopy's edges are columns
    return Phonopy(atoms, np.asarray(matrix, dtype=int).T, primitive_matrix=np.eye(3), symprec=1e-4, log_level=0)


def structure_of_phonopy(atoms: Any) -> Structure:
    """Convert phonopy's atoms, their order kept."""
    return Structure(atoms.cell, atoms.symbols, atoms.scaled_positions)


def _standard_cell(structure: Structure, symprec: float, *, primitive: bool) -> Structure:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib announces exceptions instead of None
        found = spglib.standardize_cell(_plain(structure), to_primitive=primitive, no_idealize=False, symprec=symprec)
    if found is None:
        raise InputError(
            f"{structure.composition.reduced_formula}: spglib finds no symmetry to {symprec:g} A, not even that of a lattice"
        )
    lattice, frac_coords, kinds = found
    return Structure(lattice, [Element.from_Z(int(z)) for z in kinds], frac_coords).get_sorted_structure()


def _plain(structure: Structure) -> tuple[list, list, list[int]]:
    """Return a crystal as spglib takes it."""
    numbers = [Element(site.specie.symbol).Z for site in structure]
    return structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers


def _heights(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distances between opposite faces of a cell, A."""
    return 1 / np.linalg.norm(np.linalg.inv(matrix), axis=0)


def _walk(
    number: int, first: NDArray, second: NDArray, images: NDArray
) -> tuple[list[list[int]], list[list[NDArray[np.int64]]]]:
    """Walk the graph of linked atoms: its connected parts, and the lattice vectors along which each meets its own image."""
    neighbours: list[list[tuple[int, NDArray[np.int64]]]] = [[] for _ in range(number)]
    for i, j, image in zip(first, second, np.rint(images).astype(np.int64), strict=True):
        neighbours[int(i)].append((int(j), image))
    cells: dict[int, NDArray[np.int64]] = {}
    parts: list[list[int]] = []
    cycles: list[list[NDArray[np.int64]]] = []
    for start in range(number):
        if start in cells:
            continue
        cells[start], waiting, part, steps = np.zeros(3, np.int64), [start], [start], {}
        while waiting:
            atom = waiting.pop()
            for other, image in neighbours[atom]:
                if other not in cells:
                    cells[other] = cells[atom] + image
                    waiting.append(other)
                    part.append(other)
                elif (step := cells[atom] + image - cells[other]).any():
                    steps[tuple(step)] = step
        parts.append(part)
        cycles.append(list(steps.values()))
    return parts, cycles
