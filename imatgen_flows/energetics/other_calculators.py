"""Calculators of packages whose own constructors take no device, or need more than one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def emt(device: str) -> Calculator:
    """Return ASE's effective medium theory, which runs on no device."""
    from ase.calculators.emt import EMT

    return EMT()


def orb(device: str, model: str) -> Calculator:
    """Load a model of orb-models by the name of its function in `orb_models.forcefield.pretrained`.

    Not run here: written after the package's README of version 0.7, which needs Python 3.12.
    """
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.inference.calculator import ORBCalculator

    network, adapter = getattr(pretrained, model)(device=device, precision="float32-highest")
    return ORBCalculator(network, atoms_adapter=adapter, device=device)


def matgl(device: str, model: str) -> Calculator:
    """Load a potential of matgl by the name of its repository on the Hugging Face Hub.

    Not run here: written after version 3 of the package. Its stress is in GPa unless another unit is asked for.
    """
    import torch
    from matgl import load_model
    from matgl.ext.ase import PESCalculator

    torch.set_default_device(device)  # its graphs are made on the default device
    return PESCalculator(load_model(model).to(device), stress_unit="eV/A3", use_voigt=True)
