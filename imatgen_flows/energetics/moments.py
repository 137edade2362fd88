"""Magnetic moments of atoms as a potential predicts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from imatgen_flows.energetics.isolated import PotentialWorkers
from imatgen_flows.energetics.potentials import Potential, get_potential
from imatgen_flows.parallel import Outcome, Tick
from imatgen_flows.registry import DescribedEnum

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from numpy.typing import NDArray
    from pymatgen.core import Structure

# Bohr magnetons: an atom with less has no moment. By CHGNet 0.3.0, the largest in eleven V2O5, TiO2, TiO and Ti2O3, published
# or generated, is 0.01 to 0.20; in all 56 other vanadium oxides of a shortlist, and in seven published ones, 0.73 and more
NONMAGNETIC = 0.4
TIMEOUT = 300.0  # s, of one structure


class MagneticOrder(DescribedEnum):
    """What unsigned moments tell of the magnetic order."""

    NONMAGNETIC = "nonmagnetic", "Nonmagnetic", "No atom has a moment of 0.4 Bohr magnetons."
    MAGNETIC = "magnetic", "Magnetic", "Atoms have moments; whether these are parallel is not known."


def magnetic_order(moments: NDArray[np.float64]) -> MagneticOrder:
    """Say whether moments (n,) of atoms, Bohr magnetons, make a crystal magnetic.

    CHGNet learnt the absolute values of the moments of DFT: a ferromagnet and an antiferromagnet look the same.

    Examples
    --------
    >>> magnetic_order(np.array([0.02, 0.05])).value
    'nonmagnetic'
    """
    return MagneticOrder.MAGNETIC if (np.abs(moments) >= NONMAGNETIC).any() else MagneticOrder.NONMAGNETIC


def site_moments(
    structures: Sequence[Structure], potential: str | Potential, workers: int | None = None, device: str = "cpu"
) -> tuple[list[NDArray[np.float64] | None], list[int]]:
    """Predict the magnetic moments of the atoms of crystals, each isolated in a worker process.

    Parameters
    ----------
    structures : as relaxed by this potential
    potential : one that has moments
    workers : processes; where None, one for each core that this process may use
    device : where the potential runs

    Returns
    -------
    for each crystal its moments (n,) in Bohr magnetons, None where the potential failed or gave no finite ones; and the
    evaluations that each cost, the failed ones included

    Raises
    ------
    ImatgenError
        Where the potential is not installed or cannot be loaded.
    """
    moments: list[NDArray[np.float64] | None] = [None] * len(structures)
    spent = [0] * len(structures)

    def receive(number: int, outcome: Outcome[NDArray[np.float64]]) -> None:
        found, spent[number] = outcome.value, outcome.ticks
        if found is not None and found.shape == (len(structures[number]),) and np.isfinite(found).all():
            moments[number] = found

    PotentialWorkers(get_potential(potential), workers, TIMEOUT, device).outcomes(_reader, structures, receive)
    return moments, spent


def _reader(potential: Potential, device: str) -> Callable[[Structure, Tick], NDArray[np.float64]]:
    """Load the potential, once in each worker."""
    return partial(_read_moments, potential.calculator(device))


def _read_moments(calculator: Calculator, structure: Structure, tick: Tick) -> NDArray[np.float64]:
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    tick()
    return np.asarray(calculator.get_property("magmoms", atoms), dtype=float)
