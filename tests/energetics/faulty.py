"""Potentials with faults, for tests; a noble gas in a structure selects the fault."""

from __future__ import annotations

import os
import time

import numpy as np

from imatgen_flows.energetics.toy import ToyCalculator


class FaultyCalculator(ToyCalculator):
    def calculate(self, atoms=None, properties=None, system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.calls = getattr(self, "calls", 0) + 1
        symbols = set(atoms.get_chemical_symbols())
        if "He" in symbols:
            self.results["forces"] = np.full((len(atoms), 3), np.nan)
        if "Ne" in symbols:
            self.results["stress"] = np.array([-20.0, -20, -20, 0, 0, 0])  # tears any cell apart
        if "Ar" in symbols:
            raise ValueError("no parameters for Ar")
        if "Kr" in symbols:
            os.abort()
        if "Xe" in symbols:
            time.sleep(3600)
        if "Rn" in symbols:
            self.results["energy"] = 1e9


def make(device):
    return FaultyCalculator()


def make_and_raise(device):
    raise RuntimeError("weights are corrupt")


def make_and_abort(device):
    os.abort()


class FaultyInLargeCells(FaultyCalculator):
    """Sound in a primitive cell, and faulty in a supercell."""

    def calculate(self, atoms=None, properties=None, system_changes=()):
        if len(atoms) > 2:
            super().calculate(atoms, properties, system_changes)
        else:
            ToyCalculator.calculate(self, atoms, properties, system_changes)


def make_large(device):
    return FaultyInLargeCells()
