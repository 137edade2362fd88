"""CHGNet with one backward pass for forces and stress together, and none for an energy alone.

The package computes forces and stress by one gradient each, and keeps both graphs for a second derivative, which
training needs and a relaxation does not.
"""

from __future__ import annotations

from typing import Any

import torch
from ase import units
from chgnet.model import CHGNet
from chgnet.model.dynamics import CHGNetCalculator

GPA = 1 / units.GPa  # GPa in one eV/A^3


class OneGradient(CHGNet):
    """CHGNet with forces and stress from one gradient of the energy."""

    def _compute(
        self, g: Any, *, compute_force: bool = False, compute_stress: bool = False, **options: Any
    ) -> dict[str, Any]:
        prediction = super()._compute(g, **options)
        places, strains = list(g.atom_positions) if compute_force else [], list(g.strains) if compute_stress else []
        if not places and not strains:
            return prediction
        energy = prediction["e"] * torch.bincount(g.atom_owners) if self.is_intensive else prediction["e"]
        gradients = torch.autograd.grad(energy.sum(), [*places, *strains])
        prediction["e"] = prediction["e"].detach()
        if places:
            prediction["f"] = [-gradient for gradient in gradients[: len(places)]]
        if strains:
            pairs = zip(gradients[len(places) :], g.volumes, strict=True)
            prediction["s"] = [gradient * GPA / volume for gradient, volume in pairs]
        return prediction


class Calculator(CHGNetCalculator):
    """ASE calculator that computes the energy alone where no other property is requested."""

    def calculate(
        self, atoms: Any = None, properties: Any = None, system_changes: Any = None, task: Any = None
    ) -> None:
        """Compute `results`; see ASE. Where no task is given, it follows from the properties."""
        task = task or ("e" if list(properties or ()) == ["energy"] else "efsm")
        super().calculate(atoms, properties, system_changes, task=task)


def chgnet(device: str, weights: str = "0.3.0") -> Calculator:
    """Load the weights of a version onto a device."""
    model = OneGradient.load(model_name=weights, use_device=device, verbose=False)
    return Calculator(model, use_device=device, on_isolated_atoms="ignore")
