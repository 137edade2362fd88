"""Potentials with faults; the workers on the nodes import them from here."""

from __future__ import annotations

import os

from imatgen_flows.energetics.toy import ToyCalculator


class AbortOnOneVolume(ToyCalculator):
    """Ends its process at one candidate, identified by a volume (A^3) from the environment."""

    def calculate(self, atoms=None, properties=None, system_changes=()):
        if abs(atoms.get_volume() - float(os.environ["ABORT_ON_VOLUME"])) < 1e-5:
            os.abort()
        super().calculate(atoms, properties, system_changes)


def abort_on_one_volume(device):
    return AbortOnOneVolume()
