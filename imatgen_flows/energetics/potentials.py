"""Registry of interatomic potentials: where each comes from, and on which energy scale its energies are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from imatgen_flows.errors import InputError
from imatgen_flows.registry import Entry, Registry, load_object

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from pymatgen.core import Structure

DEFAULT_POTENTIAL = "chgnet"
CORRECTIONS = ("none", "mp2020")


@dataclass(frozen=True, kw_only=True)
class Potential(Entry):
    """An interatomic potential that is described but not loaded; it can be pickled.

    Parameters
    ----------
    name, label, description : see `Entry`
    factory : ``module:function``; called as ``function(device=..., **options)``, it returns an ASE calculator
    package : the distribution on PyPI that provides it
    version : of that package, as installed
    weights : the trained parameters, by the name that their authors use; empty where there are none
    correction : ``none``, or ``mp2020`` where the training labels are plain PBE / PBE+U energies, to which the
        Materials Project 2020 scheme must be applied (CHGNet's labels already carry it)
    options : further keyword arguments of the factory
    has_moments : whether its calculator gives the magnetic moments of atoms, ASE's property `magmoms`
    """

    factory: str
    package: str = ""
    version: str = ""
    weights: str = ""
    correction: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)  # a dictionary has no hash
    has_moments: bool = False

    @property
    def scale(self) -> str:
        """Name of the energy scale; energies of two scales must never be combined on one hull."""
        return f"{self.name} {self.weights or self.version}".strip()

    def calculator(self, device: str = "cpu") -> Calculator:
        """Load the weights onto a device and return the ASE calculator."""
        return load_object(self.factory)(device=device, **self.options)

    def correction_per_atom(self, structure: Structure) -> float:
        """Return the energy that the correction scheme adds to a structure, eV/atom."""
        if self.correction == "none":
            return 0.0
        from imatgen_flows.energetics.mp_corrections import mp2020_correction

        return mp2020_correction(structure)


def _emt(device: str) -> Calculator:
    from ase.calculators.emt import EMT

    return EMT()


POTENTIALS = Registry(
    "potential",
    Potential(
        "chgnet",
        "CHGNet",
        "CHGNet 0.3.0, trained on the Materials Project with its corrections of 2020.",
        factory="imatgen_flows.energetics.chgnet:chgnet",
        package="chgnet",
        weights="0.3.0",
        has_moments=True,
    ),
    Potential(
        "emt",
        "EMT",
        "Effective medium theory of ASE, for Al, Cu, Ag, Au, Ni, Pd and Pt.",
        factory="imatgen_flows.energetics.potentials:_emt",
        package="ase",
    ),
    Potential(
        "toy",
        "Toy potential",
        "A Morse potential for any elements, for tests; its energies mean nothing.",
        factory="imatgen_flows.energetics.toy:ToyCalculator",
        package="imatgen-flows",
        weights="1",
    ),
    Potential(
        "mace",
        "MACE",
        "MACE-MPA-0 (package mace-torch).",
        factory="mace.calculators:mace_mp",
        package="mace-torch",
        weights="mpa-0-medium",
        correction="mp2020",
        options={"model": "medium-mpa-0", "default_dtype": "float64"},
    ),
    Potential(
        "sevennet",
        "SevenNet",
        "SevenNet-0 (package sevenn); on a GPU it relaxes structures in batches.",
        factory="sevenn.calculator:SevenNetCalculator",
        package="sevenn",
        weights="7net-0",
        correction="mp2020",
        options={"model": "7net-0"},
    ),
    Potential(
        "mattersim",
        "MatterSim",
        "MatterSim 1.0.0 with 1M parameters (package mattersim).",
        factory="mattersim.forcefield:MatterSimCalculator",
        package="mattersim",
        weights="v1.0.0-1M",
        correction="mp2020",
        options={"load_path": "MatterSim-v1.0.0-1M.pth"},
    ),
)


def register_potential(potential: Potential) -> None:
    """Add a potential to the registry of this process; worker processes receive the description itself.

    Raises
    ------
    InputError
        Where its correction is none that is known.
    """
    if potential.correction not in CORRECTIONS:
        raise InputError(
            f"potential `{potential.name}`: correction is {potential.correction!r}; none or mp2020 is known."
        )
    POTENTIALS.add(potential)


def get_potential(name: str | Potential) -> Potential:
    """Find a potential by name, without loading it.

    Parameters
    ----------
    name : a name in `POTENTIALS`, or ``module:function`` for a function that takes ``device`` and returns an ASE
        calculator

    Raises
    ------
    InputError
        Where the name is unknown or has no module or no function, or the package behind it is not installed (the message
        says what to install).
    """
    if isinstance(name, Potential):
        potential = name
    elif name not in POTENTIALS and ":" in name:
        potential = Potential(name, name, f"The function {name}.", factory=name)
    else:
        try:
            potential = POTENTIALS[name]
        except InputError as error:
            raise InputError(f"{error} A function of your own is given as `module:function`.") from None
    module, _, function = potential.factory.partition(":")
    needed = module.split(".")[0]
    if not needed or not function:
        raise InputError(
            f"potential `{potential.name}`: give `module:function`, the module that Python imports and the function in it "
            "that returns an ASE calculator."
        )
    if needed == "imatgen_flows" and potential.package:
        needed = potential.package.replace("-", "_")
    if find_spec(needed) is None:
        cure = f"`pip install {potential.package}`" if potential.package else "put its folder on PYTHONPATH"
        raise InputError(f"potential `{potential.name}` needs the Python package `{needed}`, which is missing: {cure}.")
    return replace(potential, version=potential.version or _installed(potential.package))


def _installed(package: str) -> str:
    """Return the version of an installed package; empty where there is none."""
    try:
        return metadata.version(package) if package else ""
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return ""
