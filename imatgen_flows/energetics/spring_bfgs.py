"""BFGS that begins with springs between neighbours, and never takes a direction for curved downwards."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import covalent_radii
from ase.filters import FrechetCellFilter
from ase.neighborlist import neighbor_list
from ase.optimize import BFGS
from numpy.typing import NDArray

STIFFNESS = 4.0  # eV/A^2, of a spring between atoms at the sum of their covalent radii
DECAY = 0.5  # A, over which it falls by e
STIFFEST = 40.0  # eV/A^2
REACH = 2.0  # A, beyond the sum of the covalent radii; springs are 2 % there
ACROSS = 0.2  # share of a spring's stiffness that acts across it
LEAST = 2.0  # eV/A^2, added for each atom: no direction is softer, and translations are none
LEAST_BULK = 0.1  # eV/A^3 (16 GPa), likewise for the cell


class SpringBFGS(BFGS):
    """ASE's BFGS from the model Hessian, without the updates that would make its Hessian indefinite.

    Far from a minimum the energy may curve downwards along a step. ASE takes the absolute value of what curvature results,
    and goes far where it is small; here the Hessian stays as it was, and each step leads downhill. As in ASE no atom moves
    by more than 0.2 A in one step.
    """

    def update(self, pos: Any, forces: Any, pos0: Any, forces0: Any) -> None:
        """Learn the curvature along the last step, where it is positive; before the first one, that of the springs."""
        if pos0 is None:
            self.H0 = model_hessian(self.atoms)
        if pos0 is None or (pos - pos0) @ (forces0 - forces) > 0:
            super().update(pos, forces, pos0, forces0)


def model_hessian(target: Any) -> NDArray[np.float64]:
    """Estimate the second derivatives of the energy by springs between neighbours.

    ASE's BFGS begins with 70 eV/A^2 for every coordinate. A cell of N atoms is softer than that by a factor of about N in
    the coordinates of the Frechet filter, and bonds by a factor of several; springs between neighbours, which stretch with
    the atoms and the cell alike, have the right orders of magnitude and the coupling of both (after Lindh et al., Chem.
    Phys. Lett. 241, 423 (1995), and Packwood et al., J. Chem. Phys. 144, 164109 (2016)). A poor estimate costs steps, and
    does not move the minimum.

    Parameters
    ----------
    target : ASE's atoms, or a Frechet cell filter on undeformed atoms, whose last nine coordinates are the logarithm of
        the deformation times `exp_cell_factor`

    Returns
    -------
    symmetric and positive definite (n, n) for n coordinates, in eV/A^2
    """
    free = isinstance(target, FrechetCellFilter)
    atoms = target.atoms if free else target
    n = len(atoms)
    radii = covalent_radii[atoms.numbers]
    # each pair is listed from both of its atoms
    first, second, lengths, vectors = neighbor_list("ijdD", atoms, radii + REACH / 2)
    stiffness = np.minimum(STIFFNESS * np.exp((radii[first] + radii[second] - lengths) / DECAY), STIFFEST)
    directions = vectors / lengths[:, None]
    springs = (1 - ACROSS) * directions[:, :, None] * directions[:, None, :] + ACROSS * np.eye(3)
    springs *= stiffness[:, None, None]
    blocks = np.zeros((n, n, 3, 3))
    np.add.at(blocks, (first, first), springs)
    np.subtract.at(blocks, (first, second), springs)
    hessian = LEAST * np.eye(3 * n + 9 * free)
    hessian[: 3 * n, : 3 * n] += blocks.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
    if free:
        arms = vectors / target.exp_cell_factor  # change of a spring with the deformation
        coupling = np.zeros((n, 3, 3, 3))
        np.subtract.at(coupling, first, np.einsum("pac,pb->pacb", springs, arms))
        hessian[:-9, -9:] = coupling.reshape(3 * n, 9)
        hessian[-9:, :-9] = hessian[:-9, -9:].T
        cell = np.einsum("pb,pac,pd->abcd", arms, springs, arms, optimize=True).reshape(9, 9) / 2
        hessian[-9:, -9:] = cell + LEAST_BULK * atoms.cell.volume / target.exp_cell_factor**2 * np.eye(9)
    return hessian
