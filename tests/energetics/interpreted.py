"""A potential that tells in its energies, and in its moments, which interpreter it runs in."""

from __future__ import annotations

import os

import numpy as np

from imatgen_flows.energetics.toy import ToyCalculator


class ShiftedCalculator(ToyCalculator):
    """The toy potential, with an energy that the environment of its process shifts; the moments are the shift."""

    implemented_properties = (*ToyCalculator.implemented_properties, "magmoms")

    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        shift = float(os.environ.get("SHIFT_OF_A_TEST", "0"))
        self.results["energy"] += shift
        self.results["magmoms"] = np.full(len(self.atoms), shift)


def make(device):
    return ShiftedCalculator(device)
