"""Check of imaginary modes that interpolation alone shows: they are computed in a cell into which their wave fits.

Forces in a supercell give the frequencies exactly at those wave vectors that fit into it, however far the forces reach; all
others are interpolated as if forces ended within it. For rutile TiO2 at its measured cell, 3 x 3 x 4 cells of CHGNet
interpolate -2.7 THz at (1/2, 1/2, 0), where 2 x 2 x 1 cells give the true +2.1 THz (notebook/2026-11-30-phonons.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imatgen_flows.energetics.phonon_cells import smallest_cell
from imatgen_flows.energetics.phonon_spectrum import frequencies_at

DENOMINATORS = (2, 3, 4)  # of the wave vectors that are checked: a cell of four primitive ones at most holds each
CHECKS = 3  # wave vectors that are checked at most
SAME = 0.01  # THz; wave vectors whose lowest frequencies differ by less count as equivalent by symmetry


@dataclass
class Check:
    """What the check of one wave vector has found.

    Attributes
    ----------
    wave_vector : fractional
    interpolated, exact : lowest frequency there, THz
    phonon : phonopy's object of the small supercell
    """

    wave_vector: list[float]
    interpolated: float
    exact: float
    phonon: Any


def check_interpolated(phonon: Any, threshold: float, compute: Callable[[NDArray[np.int64]], Any]) -> list[Check]:
    """Compute what is interpolated below a threshold, softest first, until one is confirmed.

    Parameters
    ----------
    phonon : phonopy's object of the large supercell
    threshold : THz
    compute : computes the force constants in the supercell of a matrix

    Returns
    -------
    the checks, the last of which is the confirmed one, if one is; empty where no simple wave vector is below the threshold
    """
    points = np.array(sorted({p for d in DENOMINATORS for p in product(np.arange(d) / d, repeat=3)}))
    lowest = np.nan_to_num(frequencies_at(phonon, points), nan=np.inf).min(axis=1)
    checks: list[Check] = []
    for place in np.argsort(lowest, kind="stable"):
        value = float(lowest[place])
        if value > threshold or len(checks) == CHECKS:
            break
        if any(abs(value - check.interpolated) < SAME for check in checks):
            continue
        small = compute(smallest_cell(points[place]))
        exact = float(np.nan_to_num(frequencies_at(small, points[place][None]), nan=np.inf).min())
        checks.append(Check(points[place].tolist(), value, exact, small))
        if exact <= threshold:
            break
    return checks
