"""Data of one stand-in calculation that all of its output files are written from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imatgen_flows.testing.electrons import Points
from imatgen_flows.testing.inputs import Inputs
from imatgen_flows.testing.relaxation import EvaluatedCell
from imatgen_flows.testing.settings import RunSettings

KILOBAR = 1602.1766208  # 1 eV/A^3 in kB; the sign of VASP's stress is the opposite of ASE's


@dataclass(frozen=True)
class IonicStep:
    """One ionic step as VASP reports it.

    Attributes
    ----------
    moments : of the ions, mu_B
    energies : of the electronic steps, eV; the last one is the energy of the ionic step
    converged : whether the electronic loop converged
    seconds : wall time
    """

    number: int
    geometry: EvaluatedCell
    moments: np.ndarray
    energies: tuple[float, ...]
    converged: bool
    seconds: float

    @property
    def stress(self) -> np.ndarray:
        """Stress in kB, with the sign of a pressure."""
        return -KILOBAR * self.geometry.result.stress


@dataclass(frozen=True)
class Calculation:
    """The inputs of a calculation and what follows from them; the same in all of its ionic steps."""

    inputs: Inputs
    settings: RunSettings
    points: Points
    engine: str
