"""The potentials that can price a crystal: where each comes from, and on which energy scale it speaks."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from pymatgen.core import Structure


@dataclass(frozen=True)
class Potential:
    """An interatomic potential, described but not loaded. It may travel to another process.

    Parameters
    ----------
    name : what the user calls it
    factory : ``module:function``; called as ``function(device=..., **options)``, it returns an ASE calculator
    package : the distribution on PyPI that provides it
    version : of that package, as installed
    weights : the trained parameters, by the name that their authors use; empty where there are none
    correction : ``none``, or ``mp2020`` where the training labels are plain PBE / PBE+U energies, to which the
        Materials Project 2020 scheme must be applied (CHGNet's labels already carry it)
    options : further keyword arguments of the factory
    """

    name: str
    factory: str
    package: str = ""
    version: str = ""
    weights: str = ""
    correction: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scale(self) -> str:
        """Name of the energy scale; energies of two scales must never meet on one hull."""
        return f"{self.name} {self.weights or self.version}".strip()

    def calculator(self, device: str = "cpu") -> Calculator:
        """Load the weights onto a device and return the ASE calculator."""
        module, _, function = self.factory.partition(":")
        return getattr(import_module(module), function)(device=device, **self.options)

    def correction_per_atom(self, structure: Structure) -> float:
        """Energy that the correction scheme adds to a structure, eV/atom."""
        return mp2020_correction(structure) if self.correction == "mp2020" else 0.0


_HERE = "imatgen_flows.energetics"
_POTENTIALS = {
    potential.name: potential
    for potential in (
        Potential("chgnet", f"{_HERE}.chgnet:chgnet", "chgnet", weights="0.3.0"),
        Potential("emt", f"{_HERE}.potentials:_emt", "ase"),
        Potential("toy", f"{_HERE}.toy:ToyCalculator", "imatgen-flows", weights="1"),
        Potential(
            "mace",
            "mace.calculators:mace_mp",
            "mace-torch",
            weights="mpa-0-medium",
            correction="mp2020",
            options={"model": "medium-mpa-0", "default_dtype": "float64"},
        ),
        Potential(
            "sevennet",
            "sevenn.calculator:SevenNetCalculator",
            "sevenn",
            weights="7net-0",
            correction="mp2020",
            options={"model": "7net-0"},
        ),
        Potential(
            "mattersim",
            "mattersim.forcefield:MatterSimCalculator",
            "mattersim",
            weights="v1.0.0-1M",
            correction="mp2020",
            options={"load_path": "MatterSim-v1.0.0-1M.pth"},
        ),
    )
}


def register_potential(potential: Potential) -> None:
    """Make a potential known by its name in this process; worker processes receive the description itself."""
    if potential.correction not in ("none", "mp2020"):
        raise InputError(
            f"potential `{potential.name}`: correction is {potential.correction!r}; none or mp2020 is known."
        )
    _POTENTIALS[potential.name] = potential


def get_potential(name: str | Potential) -> Potential:
    """Find a potential by name, without loading it.

    Parameters
    ----------
    name : ``chgnet``, ``emt``, ``toy``, ``mace``, ``sevennet``, ``mattersim``, a registered name, or
        ``module:function`` for a function that takes ``device`` and returns an ASE calculator

    Raises
    ------
    InputError
        Where the name is unknown, or the package behind it is not installed (the message says what to install).
    """
    if isinstance(name, Potential):
        potential = name
    elif name in _POTENTIALS:
        potential = _POTENTIALS[name]
    elif ":" in name:
        potential = Potential(name, name)
    else:
        near = difflib.get_close_matches(name, _POTENTIALS, n=1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Known: {', '.join(_POTENTIALS)}, or `module:function`."
        raise InputError(f"unknown potential `{name}`. {hint}")
    needed = potential.factory.partition(":")[0].split(".")[0]
    if needed == "imatgen_flows" and potential.package:
        needed = potential.package.replace("-", "_")
    if find_spec(needed) is None:
        cure = f"`pip install {potential.package}`" if potential.package else "put its folder on PYTHONPATH"
        raise InputError(f"potential `{potential.name}` needs the Python package `{needed}`, which is missing: {cure}.")
    return replace(potential, version=potential.version or _installed(potential.package))


def mp2020_correction(structure: Structure) -> float:
    """Correction of the Materials Project 2020 scheme for a plain PBE / PBE+U energy, eV/atom.

    The scheme adds an energy per anion and, in oxides and fluorides, one per transition metal treated with U
    (Wang et al., Sci. Rep. 11, 15496 (2021)). The U values are those of pymatgen's MPRelaxSet.
    """
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry
    from pymatgen.io.vasp.sets import MPRelaxSet

    symbols = [element.symbol for element in structure.composition]
    most_electronegative = max(structure.composition, key=lambda element: element.X).symbol
    table = MPRelaxSet.CONFIG["INCAR"]["LDAUU"].get(most_electronegative, {})
    hubbards = {symbol: table.get(symbol, 0) for symbol in symbols} if any(s in table for s in symbols) else {}
    parameters = {"hubbards": hubbards, "run_type": "GGA+U" if hubbards else "GGA", "software": "mlip"}
    entry = ComputedStructureEntry(structure, 0.0, parameters=parameters)
    scheme = MaterialsProject2020Compatibility(check_potcar=False)
    return sum(adjustment.value for adjustment in scheme.get_adjustments(entry)) / len(structure)


def _installed(package: str) -> str:
    try:
        return metadata.version(package) if package else ""
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return ""


def _emt(device: str) -> Calculator:
    from ase.calculators.emt import EMT

    return EMT()
