"""Reference phases of the convex hull: published phases, and simple crystals for elements without one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import spglib
from pymatgen.core import Element, Lattice, Structure

from imatgen_flows.energetics.hull_basis import SHIPPED
from imatgen_flows.errors import InputError

# bond lengths in A, from Huber & Herzberg, Constants of Diatomic Molecules, Van Nostrand Reinhold (1979)
DIATOMIC = {"H": 0.7414, "N": 1.0977, "O": 1.2075, "F": 1.4119, "Cl": 1.9879}
MOLECULE_BOX = (10.0, 10.1, 10.2)  # A; unequal edges break the symmetry between the periodic images of a molecule
SAME_SITE = 1e-3  # fractional; symmetry images of a special position that are nearer are one site


@dataclass(frozen=True)
class ReferencePhase:
    """A known phase that is placed on the hull.

    Attributes
    ----------
    name : formula and modification, for example ``VO2 rutile``
    structure : primitive cell, as in the source, unrelaxed
    source : the publication, and how its structure was changed
    kind : ``element`` or ``compound``
    molecule : a molecule in a box, whose cell must not relax
    spacegroup : Hermann-Mauguin symbol; empty for molecules and guessed structures
    origin : where it was read: `SHIPPED`, the name of a file, or a database; empty for structures that are not published
    """

    name: str
    structure: Structure
    source: str
    kind: str
    molecule: bool = False
    spacegroup: str = ""
    origin: str = ""


def reference_phases(elements: Iterable[str]) -> list[ReferencePhase]:
    """Return the published phases, of those that ship with the program, that contain only the given elements."""
    wanted = {Element(symbol).symbol for symbol in elements}
    return [
        phase
        for phase in _shipped("reference_phases.json")
        if {e.symbol for e in phase.structure.composition.elements} <= wanted
    ]


def elemental_fallback(element: str) -> list[ReferencePhase]:
    """Return simple structures of an element at its molar volume; the lowest after relaxation is its reference.

    H, N, O, F and Cl are diatomic molecules in a box. Others take the structures of the elements among pymatgen's AFLOW
    prototypes with up to four atoms: close-packed, bcc, diamond, graphite, As, Ga, Se, black P and some 25 more. Where
    the ground state is larger (S8, B12, alpha-Mn), formation energies come out too low.

    Raises
    ------
    InputError
        Where neither volume nor radius of the element is known.
    """
    symbol = Element(element).symbol
    if symbol in DIATOMIC:
        return [_diatomic(symbol)]
    volume = _atomic_volume(Element(symbol))
    return [
        ReferencePhase(f"{symbol} {name}", _at_volume(structure, symbol, volume), source, "element")
        for name, structure, source in _simple_crystals()
    ]


def molecular_solids(elements: Iterable[str]) -> list[ReferencePhase]:
    """Return the solids that ship of those among some elements which are molecules at zero pressure.

    They are starts of relaxations at a pressure, and the lowest is the reference of its element. Above some 100 GPa, where
    molecules break, the list is no longer complete: formation enthalpies come out too low where the true phase is missing.
    """
    wanted = {Element(symbol).symbol for symbol in elements}
    return [phase for phase in _shipped("molecular_solids.json") if phase.structure.elements[0].symbol in wanted]


def replace_molecules(phases: Iterable[ReferencePhase], elements: Iterable[str]) -> list[ReferencePhase]:
    """Replace molecules in a box, which have no enthalpy at a pressure, by solids of the same elements.

    Raises
    ------
    InputError
        Where no solid of an element is known.

    Examples
    --------
    >>> [phase.name for phase in replace_molecules(reference_phases(["V", "O"]), ["V", "O"]) if phase.kind == "element"]
    ['V bcc', 'O2 alpha', 'O2 delta', 'O8 epsilon']
    """
    given = list(phases)
    found = [phase for phase in given if not phase.molecule] + molecular_solids(elements)
    solid = {phase.structure.composition.chemical_system for phase in found}
    for phase in given:
        if phase.molecule and phase.structure.composition.chemical_system not in solid:
            raise InputError(
                f"{phase.name}: a molecule has no enthalpy at a pressure, and no solid of it is known. Give `known` a "
                f"phase of {phase.structure.composition.chemical_system}."
            )
    return found


@lru_cache
def _shipped(name: str) -> tuple[ReferencePhase, ...]:
    records = json.loads(files(__package__).joinpath("data", name).read_text(encoding="utf-8"))["phases"]
    return tuple(_read(record) for record in records)


def _read(record: dict[str, Any]) -> ReferencePhase:
    species, positions = _orbits(record["hall"], record["sites"])
    conventional = Structure(Lattice.from_parameters(*record["lattice"]), species, positions)
    structure = conventional if record["molecule"] else conventional.get_primitive_structure(tolerance=0.01)
    return ReferencePhase(
        record["name"], structure, record["source"], record["kind"], record["molecule"], record["spacegroup"], SHIPPED
    )


def _orbits(hall: str, sites: list[list[Any]]) -> tuple[list[str], list[np.ndarray]]:
    """Apply the symmetry operations of a Hall symbol to the sites of the asymmetric unit."""
    operations: Any = spglib.get_symmetry_from_database(_hall_numbers()[hall])
    species: list[str] = []
    positions: list[np.ndarray] = []
    for symbol, *site in sites:
        images = (operations["rotations"] @ np.array(site, dtype=float) + operations["translations"]) % 1
        orbit: list[np.ndarray] = []
        for image in images:
            if all(np.abs((image - other + 0.5) % 1 - 0.5).max() > SAME_SITE for other in orbit):
                orbit.append(image)
        species += [symbol] * len(orbit)
        positions += orbit
    return species, positions


@lru_cache
def _hall_numbers() -> dict[str, int]:
    settings: list[Any] = [spglib.get_spacegroup_type(number) for number in range(1, 531)]
    return {setting.hall_symbol: setting.hall_number for setting in settings}


def _diatomic(symbol: str) -> ReferencePhase:
    box = Lattice.orthorhombic(*MOLECULE_BOX)
    atoms = Structure(box, [symbol] * 2, [[0.0, 0.0, 0.0], [0.0, 0.0, DIATOMIC[symbol]]], coords_are_cartesian=True)
    source = "K. P. Huber, G. Herzberg, Constants of Diatomic Molecules, Van Nostrand Reinhold (1979)"
    return ReferencePhase(f"{symbol}2 molecule", atoms, source, "element", molecule=True)


def _atomic_volume(element: Element) -> float:
    """Return the volume of an atom in the solid, A^3: the molar volume, else that of close-packed spheres."""
    molar = element.molar_volume  # cm^3/mol
    if molar:
        return float(molar) / 0.602214076
    radius = element.atomic_radius or element.atomic_radius_calculated
    if not radius:
        raise InputError(f"{element}: neither molar volume nor radius is known; give a reference phase for it.")
    return 4 * 2**0.5 * float(radius) ** 3


def _at_volume(structure: Structure, symbol: str, volume: float) -> Structure:
    """Replace all atoms of a structure by an element and scale it to a volume per atom, A^3."""
    lattice = structure.lattice.scale(volume * len(structure))
    return Structure(lattice, [symbol] * len(structure), structure.frac_coords)


@lru_cache
def _simple_crystals() -> tuple[tuple[str, Structure, str], ...]:
    """Return name, primitive cell and source of the AFLOW prototypes of elements with up to four atoms."""
    from imatgen_flows.crystals.prototypes import aflow_prototypes

    crystals = []
    for prototype in aflow_prototypes():
        structure = prototype["snl"].structure
        if len(structure.composition) == 1 and len(structure) <= 16:  # conventional cells of up to four atoms
            structure = structure.get_primitive_structure()
        if len(structure.composition) == 1 and len(structure) <= 4:
            name = f"{prototype['tags']['aflow']} ({structure.composition.elements[0].symbol})"
            crystals.append(
                (name, structure, f"AFLOW prototype {name}, Mehl et al., Comput. Mater. Sci. 136, S1 (2017)")
            )
    return tuple(crystals)
