"""The potential of a job as this machine runs it: in this interpreter, or in one that the settings name."""

from __future__ import annotations

from imatgen_flows.energetics.potential_registry import Potential
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.settings import get_settings


def installed_potential(name: str | Potential) -> Potential:
    """Find a potential by name, with the interpreter that the settings of this machine give it.

    Raises
    ------
    InputError
        As `get_potential`.
    """
    known_as = name.name if isinstance(name, Potential) else name
    interpreter = get_settings().interpreters.get(known_as)
    return get_potential(name, "" if interpreter is None else str(interpreter))
