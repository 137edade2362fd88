"""A potential for tests of what surrounds relaxations: no atom moves, and what a crystal is made of decides its energy."""

from __future__ import annotations

import time

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

SECONDS = 0.05  # of an evaluation, so that a process can be stopped among them


class StillCalculator(Calculator):
    """Compounds lie on a parabola of the composition; a shift by the volume tells crystals of one composition apart."""

    implemented_properties = ["energy", "forces", "stress"]

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        time.sleep(SECONDS)
        share = np.mean(atoms.numbers == atoms.numbers.max())
        per_atom = -4 * share * (1 - share) + 0.005 * np.log(atoms.get_volume() / len(atoms))
        self.results = {"energy": len(atoms) * per_atom, "forces": np.zeros((len(atoms), 3)), "stress": np.zeros(6)}


def make(device="cpu"):
    return StillCalculator()
