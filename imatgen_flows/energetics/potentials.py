"""Potentials by name: how they are found, in which interpreter they run, and which of them share training data."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec

from imatgen_flows.energetics.interpreters import inspect_interpreter
from imatgen_flows.energetics.potential_registry import CORRECTIONS, POTENTIALS, Potential
from imatgen_flows.errors import InputError

MODULES = {
    "orb-models": "orb_models",
    "mace-torch": "mace",
}  # what a distribution is imported as, where not by its name
OWN = "`interpreters: {{{}: /path/to/python}}` in ~/.imatgen.yaml."


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


def get_potential(name: str | Potential, interpreter: str = "") -> Potential:
    """Find a potential by name, without loading it.

    Parameters
    ----------
    name : a name in `POTENTIALS`, or ``module:function`` for a function that takes ``device`` and returns an ASE
        calculator
    interpreter : Python in which it is to run, with its package and this program installed there; where empty, the one
        that it has, or else the one that runs this program

    Raises
    ------
    InputError
        Where the name is unknown or has no module or no function, the package behind it is not installed (the message
        says what to install), or the interpreter is missing or cannot import this program.
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
        needed = MODULES.get(potential.package, potential.package.replace("-", "_"))
    if interpreter := interpreter or potential.interpreter:
        found = inspect_interpreter(interpreter, needed, potential.package)
        found.refuse_faults(f"potential `{potential.name}`", potential.package)
        return replace(potential, interpreter=interpreter, version=found.version)
    if find_spec(needed) is None:
        cure = f"`pip install {potential.package}`" if potential.package else "put its folder on PYTHONPATH"
        own = (
            ""
            if name not in POTENTIALS.names
            else f" Or name, in the setting `interpreters`, a Python that has it: {OWN.format(name)}"
        )
        raise InputError(
            f"potential `{potential.name}` needs the Python package `{needed}`, which is missing: {cure}.{own}"
        )
    return replace(potential, version=potential.version or _installed(potential.package))


def shared_training(potentials: Sequence[str | Potential]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Say which of several potentials learnt from the same data: their agreement is not independent evidence.

    Parameters
    ----------
    potentials : names in `POTENTIALS`, or potentials; one whose training data are not on record shares nothing

    Returns
    -------
    label of one, label of another, and the data sets that both learnt from, for each such pair

    Examples
    --------
    >>> shared_training(["chgnet", "sevennet", "toy"])
    [('CHGNet', 'SevenNet', ('MPtrj',))]
    """
    found = [item if isinstance(item, Potential) else POTENTIALS[item] for item in potentials if _is_listed(item)]
    pairs = []
    for one, other in itertools.combinations(found, 2):
        if both := tuple(name for name in one.trained_on if name in other.trained_on):
            pairs.append((one.label, other.label, both))
    return pairs


def describe_shared_training(potentials: Sequence[str | Potential]) -> str:
    """Say in sentences which of several potentials share training data; empty where none do.

    Examples
    --------
    >>> describe_shared_training(["chgnet", "sevennet"])
    'CHGNet and SevenNet were both trained on MPtrj: their agreement is not independent evidence.'
    """
    return " ".join(
        f"{one} and {other} were both trained on {' and '.join(data)}: their agreement is not independent evidence."
        for one, other, data in shared_training(potentials)
    )


def describe_functionals(potentials: Sequence[str | Potential]) -> str:
    """Say in a sentence that potentials give energies of several functionals; empty where all are of one.

    Examples
    --------
    >>> describe_functionals(["chgnet", "chgnet-r2scan"])
    'Several functionals, CHGNet (PBE / PBE+U), CHGNet of r2SCAN (r2SCAN): their votes differ by the functional too.'
    """
    found = [item if isinstance(item, Potential) else POTENTIALS[item] for item in potentials if _is_listed(item)]
    trained = [potential for potential in found if potential.functional]
    if len({potential.functional for potential in trained}) < 2:
        return ""
    said = ", ".join(f"{potential.label} ({potential.functional})" for potential in trained)
    return f"Several functionals, {said}: their votes differ by the functional too."


def _is_listed(item: str | Potential) -> bool:
    return isinstance(item, Potential) or item in POTENTIALS


def _installed(package: str) -> str:
    """Return the version of an installed package; empty where there is none."""
    try:
        return metadata.version(package) if package else ""
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return ""
