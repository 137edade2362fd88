"""SevenNet without the gradient where an energy alone is asked for, which takes a third of the time.

Neither TorchScript nor the package's deployed models are faster on a CPU: see notebook/2026-11-30-calibration.md.
"""

from __future__ import annotations

import warnings
from typing import Any

import sevenn._keys as key
import torch
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import all_changes
from sevenn.atom_graph_data import AtomGraphData
from sevenn.calculator import SevenNetCalculator
from sevenn.train.dataload import unlabeled_atoms_to_graph

GRADIENT = "force_output"  # the module of a network that differentiates the energy


class LazySevenNetCalculator(SevenNetCalculator):
    """ASE calculator that computes the energy alone where no other property is requested."""

    def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        """Compute `results`; see ASE.

        Raises
        ------
        ValueError
            Where the network does not know an element.
        """
        self.set_atoms(atoms)  # ASE calls it when a calculator is attached to atoms, which a guarded one is not
        if list(properties or ()) != ["energy"]:
            super().calculate(atoms, properties, system_changes)
            return
        AseCalculator.calculate(self, atoms, properties, system_changes)
        data: Any = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, self.cutoff, with_shift=False))
        data.to(self.device)
        with torch.no_grad():
            data = self.model._preprocess(data)
            for name, module in self.model.named_children():
                data = data if name == GRADIENT else module(data)
        self.results = {"energy": float(data[key.PRED_TOTAL_ENERGY])}


def sevennet(device: str, model: str) -> LazySevenNetCalculator:
    """Load a network by the name that the package gives it, for example ``7net-0``, or by its file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that no accelerator of GPUs is installed
        calculator = LazySevenNetCalculator(model, device=device)
    for parameter in calculator.model.parameters():
        parameter.requires_grad_(False)  # nothing is trained
    return calculator
