"""Check of imaginary modes that interpolation alone shows: they are computed in a cell into which their wave fits.

Acoustic modes of long waves, which no small cell holds, are checked by the elastic constants.

Forces in a supercell give the frequencies exactly at those wave vectors that fit into it, however far the forces reach; all
others are interpolated as if forces ended within it. For rutile TiO2 at its measured cell, 3 x 3 x 4 cells of CHGNet
interpolate -2.7 THz at (1/2, 1/2, 0), where 2 x 2 x 1 cells give the true +2.1 THz (notebook/2026-11-30-phonons.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from imatgen_flows.energetics.elastic import elastic_constants
from imatgen_flows.energetics.phonon_cells import PhononSettings, smallest_cell
from imatgen_flows.energetics.phonon_spectrum import frequencies_at
from imatgen_flows.parallel import Tick

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

DENOMINATORS = (2, 3, 4)  # of the wave vectors that are checked: a cell of four primitive ones at most holds each
CHECKS = 3  # wave vectors that are checked at most
SAME = 0.01  # THz; wave vectors whose lowest frequencies differ by less count as equivalent by symmetry


@dataclass
class Checks:
    """What is known of modes that interpolation alone makes imaginary.

    Attributes
    ----------
    points : wave vectors that were computed; see `check_interpolated`
    elastic : GPa, lowest eigenvalue of the elastic constants; None where a point was confirmed before
    is_long : whether the softest of the interpolated modes has a longer wave than any that fits into the supercell
    """

    points: list[WaveCheck]
    elastic: float | None = None
    is_long: bool = False

    def confirmed(self, threshold: float) -> WaveCheck | None:
        """Return the point that is imaginary as computed, too; None where none is. The threshold is in THz."""
        return next((check for check in self.points if check.exact <= threshold), None)

    @property
    def refutes(self) -> bool:
        """Whether what is interpolated was found to be real: long waves by elasticity, others by their own points."""
        return self.elastic is not None and self.elastic > 0 and (bool(self.points) or self.is_long)


@dataclass
class WaveCheck:
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


def check_interpolated(phonon: Any, threshold: float, compute: Callable[[NDArray[np.int64]], Any]) -> list[WaveCheck]:
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
    checks: list[WaveCheck] = []
    for place in np.argsort(lowest, kind="stable"):
        value = float(lowest[place])
        if value > threshold or len(checks) == CHECKS:
            break
        if any(abs(value - check.interpolated) < SAME for check in checks):
            continue
        small = compute(smallest_cell(points[place]))
        exact = float(np.nan_to_num(frequencies_at(small, points[place][None]), nan=np.inf).min())
        checks.append(WaveCheck(points[place].tolist(), value, exact, small))
        if exact <= threshold:
            break
    return checks


def lowest_elastic_constant(cell: Structure, calculator: Calculator, settings: PhononSettings, tick: Tick) -> float:
    """Compute the lowest eigenvalue of the elastic constants, GPa: above zero, acoustic modes of long waves are real."""
    constants = elastic_constants(cell, calculator, settings.fmax, settings.max_steps, tick)
    return float(np.linalg.eigvalsh(constants).min())


def is_long_wave(wave_vector: Sequence[float], supercell: Any) -> bool:
    """Whether a wave is longer along each axis than those that fit into the supercell; rows of its matrix are its edges."""
    nearest = np.array(wave_vector) - np.rint(wave_vector)
    return bool(np.abs(np.asarray(supercell) @ nearest).max() < 1)
