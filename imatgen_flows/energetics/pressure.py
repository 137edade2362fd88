"""Enthalpy: what takes the place of the energy at a pressure, and the energy scales that it makes."""

from __future__ import annotations

KILOBAR = 10.0  # kB of one GPa, in which VASP is told its pressure


def enthalpy_per_atom(energy: float, volume: float, pressure: float) -> float:
    """Return E + pV of an atom, eV.

    Parameters
    ----------
    energy : eV/atom
    volume : A^3 of an atom
    pressure : GPa

    Examples
    --------
    >>> round(enthalpy_per_atom(-8.0, 10.0, 16.02176634), 6)
    -7.0
    >>> enthalpy_per_atom(-8.0, 10.0, 0.0)
    -8.0
    """
    from ase.units import GPa

    return energy + pressure * GPa * volume


def scale_at(scale: str, pressure: float) -> str:
    """Name the scale of enthalpies at a pressure, GPa: none compares with energies, or with those at another pressure.

    Examples
    --------
    >>> scale_at("chgnet 0.3.0", 10), scale_at("chgnet 0.3.0", 0)
    ('chgnet 0.3.0 at 10 GPa', 'chgnet 0.3.0')
    """
    return f"{scale} at {pressure:g} GPa" if pressure else scale
