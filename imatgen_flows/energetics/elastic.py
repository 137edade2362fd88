"""Elastic constants by finite strains, which say whether the acoustic modes of long waves are real."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from imatgen_flows.energetics.guard import PROPERTIES, VOLUME_CHANGE, guarded
from imatgen_flows.energetics.optimisers import OPTIMISER, OPTIMISERS
from imatgen_flows.parallel import Tick

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

STRAIN = 0.005  # of each of the six components, both ways; pymatgen's and matcalc's own
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def elastic_constants(
    cell: Structure, calculator: Calculator, fmax: float, max_steps: int, tick: Tick = lambda: None
) -> NDArray[np.float64]:
    """Compute the elastic constants of a relaxed crystal, its atoms relaxed in each strained cell.

    Parameters
    ----------
    cell : at its minimum of energy
    calculator : with stress
    fmax, max_steps : of the relaxation of the atoms, eV/A
    tick : called before each evaluation

    Returns
    -------
    (6, 6) array, symmetric, GPa, in Voigt's order xx, yy, zz, yz, xz, xy, with engineering shear strains. Long waves are
    stable where all of its eigenvalues are positive

    Raises
    ------
    StoppedError
        Where a geometry or an energy is unphysical.
    """
    from ase.units import GPa
    from pymatgen.io.ase import AseAtomsAdaptor

    columns = []
    for i, j in VOIGT:
        stresses = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * STRAIN / 2
            strain[j, i] += sign * STRAIN / 2
            atoms = AseAtomsAdaptor.get_atoms(cell, msonable=False)
            atoms.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
            atoms.calc = guarded(calculator, tick, PROPERTIES, VOLUME_CHANGE)
            OPTIMISERS[OPTIMISER].start(atoms).run(fmax=fmax, steps=max_steps)
            stresses.append(atoms.get_stress() / GPa)
        columns.append((stresses[0] - stresses[1]) / (2 * STRAIN))
    constants = np.array(columns)
    return (constants + constants.T) / 2
