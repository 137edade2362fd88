"""A potential that tells in its energies which interpreter it runs in."""

from __future__ import annotations

import os

from imatgen_flows.energetics.toy import ToyCalculator


class ShiftedCalculator(ToyCalculator):
    """The toy potential, with an energy that the environment of its process shifts."""

    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        self.results["energy"] += float(os.environ.get("SHIFT_OF_A_TEST", "0"))


def make(device):
    return ShiftedCalculator(device)
