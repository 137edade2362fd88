"""What the page holds of one crystal: its cell, its drawing, its CIF with symmetry, its powder pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imatgen_flows.report.drawing import arrange, read_cif

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

TOLERANCES = (0.1, 0.01)  # A; the first is that of the space groups of the candidate table
RADIATION = "CuKa"
ANGLES = (10.0, 90.0)  # two theta, degrees
FAINTEST = 1.0  # % of the strongest reflection


def crystal_data(cif: str, number: int, draw: bool) -> dict[str, Any]:
    """Return a crystal as plain values.

    Parameters
    ----------
    cif : CIF text, without symmetry
    number : of its space group
    draw : whether drawing, symmetry and powder pattern are wanted, which take time and room

    Returns
    -------
    `cell`: lattice vectors (A) and sites; `shortest`: its shortest distance, A, None of one atom alone in a wide cell; and,
    None where not wanted, `drawing`, `cif` (with symmetry), `pattern` (rows of two theta, intensity in %, hkl, d in A)

    Raises
    ------
    DrawingError
        Where the text holds no crystal.
    """
    atoms = read_cif(cif)
    found: dict[str, Any] = {"cell": _cell(atoms), "shortest": _shortest(atoms)}
    if not draw:
        return found | {"drawing": None, "cif": None, "pattern": None}
    structure = _structure(atoms)
    return found | {
        "drawing": arrange(atoms).to_dict(),
        "cif": symmetrised_cif(structure, number),
        "pattern": powder_pattern(structure),
    }


def symmetrised_cif(structure: Structure, number: int) -> str | None:
    """Write a crystal in the standard setting of its space group; None where spglib does not find that group again.

    Atoms are moved to the positions of the group, by 0.1 A at most.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> salt = Structure.from_spacegroup(225, Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> "Fm-3m" in symmetrised_cif(salt.get_primitive_structure(), 225)
    True
    """
    from pymatgen.io.cif import CifWriter
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    for tolerance in TOLERANCES:
        try:
            if SpacegroupAnalyzer(structure, symprec=tolerance).get_space_group_number() == number:
                return str(CifWriter(structure, symprec=tolerance))
        except (SymmetryUndeterminedError, ValueError):
            continue
    return None


def powder_pattern(structure: Structure) -> list[list[Any]]:
    """Simulate X-ray powder diffraction by Cu K-alpha, with pymatgen's `XRDCalculator`.

    Returns
    -------
    rows of two theta (degrees), intensity (% of the strongest), Miller indices, and lattice spacing (A)

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> salt = Structure.from_spacegroup(225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> max(powder_pattern(salt), key=lambda row: row[1])[2]
    '2 0 0'
    """
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    found = XRDCalculator(wavelength=RADIATION, symprec=TOLERANCES[0]).get_pattern(structure, two_theta_range=ANGLES)
    rows = zip(found.x, found.y, found.hkls, found.d_hkls, strict=True)
    return [
        [round(float(angle), 3), round(float(height), 1), _indices(families[0]["hkl"]), round(float(spacing), 4)]
        for angle, height, families, spacing in rows
        if height >= FAINTEST
    ]


def _indices(hkl: tuple[int, ...]) -> str:
    """Write Miller indices; of four, of hexagonal lattices, the third says nothing."""
    return " ".join(str(index) for index in (hkl if len(hkl) == 3 else (*hkl[:2], hkl[3])))


def _cell(atoms: Atoms) -> dict[str, Any]:
    places = atoms.get_scaled_positions(wrap=True).round(6).tolist()
    return {
        "lattice": atoms.cell.array.round(6).tolist(),
        "sites": [[symbol, *place] for symbol, place in zip(atoms.get_chemical_symbols(), places, strict=True)],
    }


def _shortest(atoms: Atoms) -> float | None:
    """Return the shortest distance between two atoms, images of one atom included, A."""
    from ase.neighborlist import neighbor_list

    for reach in (3.0, 6.0, 12.0):
        distances = neighbor_list("d", atoms, reach)
        if len(distances):
            return round(float(np.min(distances)), 3)
    return None


def _structure(atoms: Atoms) -> Structure:
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice(atoms.cell.array), atoms.get_chemical_symbols(), atoms.get_scaled_positions())
