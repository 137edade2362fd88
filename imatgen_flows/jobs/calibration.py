"""Calibration of potentials on crystals of known energy: the file is read, and each potential relaxes what it holds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import Screen
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.io.artifacts import ArtifactStore, content_key
from imatgen_flows.jobs.cached_job import CACHE_KEY_PACKAGES, versions_of
from imatgen_flows.jobs.evaluators import structure_key
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.jobs.references import relax_published
from imatgen_flows.jobs.search_space import relax_inputs

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.references import ReferencePhase
    from imatgen_flows.metrics.calibration import Calibration, Member

ENERGY = "ef_mp2020"  # field of a row: formation energy, eV/atom, on the scale of the Materials Project's corrections of 2020

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KnownEnergies:
    """Crystals of a file, and their published energies.

    Attributes
    ----------
    structures : by name
    energies : formation energies by name, eV/atom
    without : number of crystals of the file that have none
    """

    structures: dict[str, Structure]
    energies: dict[str, float]
    without: int

    @property
    def elements(self) -> list[str]:
        """Symbols of all crystals, in alphabetical order."""
        return sorted({symbol for structure in self.structures.values() for symbol in structure.symbol_set})


def read_known_energies(path: Path, field: str = ENERGY) -> KnownEnergies:
    """Read the crystals of a file of JSON lines whose formation energy is known.

    Parameters
    ----------
    path : of the file, which may be compressed
    field : of its rows that holds the energy, eV/atom; where it is null or absent, a crystal is left out

    Raises
    ------
    InputError
        Where the file cannot be read, a crystal with an energy cannot, or no crystal has one.
    """
    from pymatgen.core import Element

    from imatgen_flows.crystals.exclusion import Exclusion
    from imatgen_flows.crystals.json_crystals import read_line
    from imatgen_flows.crystals.json_lines import text_lines

    structures: dict[str, Structure] = {}
    energies: dict[str, float] = {}
    without, unread = 0, list[int]()
    fields: set[str] = set()
    for number, line in enumerate(text_lines(path, "evaluate potentials"), start=1):
        if not line.strip():
            continue
        name, row, crystal = read_line(line, f"{path.name}:{number}")
        fields |= row.keys()
        if not row:
            unread.append(number)
            continue
        energy = row.get(field)
        if isinstance(energy, float) and not isfinite(energy):
            raise InputError(f"{path}, line {number}: `{field}` of {name} is {energy}, which is no energy.")
        if not isinstance(energy, int | float) or isinstance(energy, bool):
            without += 1
            continue
        if isinstance(crystal, Exclusion):
            raise InputError(f"{path}, line {number}: {name} has an energy, and no crystal: {crystal.detail}.")
        if not crystal.is_ordered or not all(isinstance(item, Element) for item in crystal.elements):
            raise InputError(
                f"{path}, line {number}: {name} ({crystal.formula}) has sites that hold no single element, for which no "
                "potential has an energy. Leave it out."
            )
        if name in structures:
            raise InputError(f"{path}, line {number}: `{name}` stands twice in the file; names must differ.")
        structures[name], energies[name] = crystal, float(energy)
    if not structures:
        there = ", ".join(sorted(item for item in fields if "energy" in item or item.startswith("ef_"))) or "none"
        raise InputError(
            f"{path}: none of its {without} rows has a number in `{field}`. Give, with --energy, the field that holds the "
            f"formation energy in eV/atom, all of one scale. Fields of energies in the file: {there}."
        )
    if unread:
        logger.warning("%s: %d lines are no JSON objects, the first of them line %d", path, len(unread), unread[0])
    return KnownEnergies(structures, energies, without)


def calibrate_potentials(
    path: Path,
    potentials: Sequence[str],
    cache: ArtifactStore,
    field: str = ENERGY,
    thresholds: Sequence[float] = (),
    fmax: float = 0.05,
) -> Calibration:
    """Relax the crystals of a file with each potential, and hold their energies against the published ones.

    Relaxations are kept, so that what was interrupted repeats none. Elements are those that ship with the program.

    Parameters
    ----------
    path, field : see `read_known_energies`
    potentials : names, each once
    cache : where relaxations are kept
    thresholds : eV/atom; where none are given, those in use
    fmax : largest force that is left, eV/A

    Raises
    ------
    InputError
        Where the file has no energies, or a potential is unknown or stands twice.
    ImatgenError
        Where a potential cannot be loaded, or no phase of an element could be relaxed.
    """
    from imatgen_flows.metrics.calibration import THRESHOLDS, KnownCrystal, calibrate, refuse_few

    if twice := {name for name in potentials if potentials.count(name) > 1}:
        raise InputError(f"{', '.join(sorted(twice))} is named twice; name each potential once.")
    for name in potentials:
        installed_potential(name)  # before any of them relaxes for an hour
    refuse_no_threshold(thresholds)
    known = read_known_energies(path, field)
    crystals = [
        KnownCrystal(name, structure.composition, known.energies[name]) for name, structure in known.structures.items()
    ]
    refuse_few(len(crystals))
    logger.info("%d crystals with energies, %d without", len(crystals), known.without)
    members = [_relax_with(name, known, cache, fmax) for name in potentials]
    return calibrate(crystals, members, thresholds or THRESHOLDS)


def refuse_no_threshold(thresholds: Sequence[float]) -> None:
    """Refuse thresholds that are no energies above a hull.

    Raises
    ------
    InputError
        Where one is not a finite number from 0 on.
    """
    if wrong := [value for value in thresholds if not 0 <= value < float("inf")]:
        raise InputError(f"a threshold of {wrong[0]:g} eV/atom is none: give energies above the hull, from 0 on.")


def _relax_with(potential: str, known: KnownEnergies, cache: ArtifactStore, fmax: float) -> Member:
    """Relax the crystals and the elements with a potential."""
    from imatgen_flows.energetics.references import ReferencePhase, reference_phases
    from imatgen_flows.metrics.calibration import Member

    phases = [phase for phase in reference_phases(known.elements) if phase.kind == "element"]
    phases += [ReferencePhase(name, structure, "", "compound") for name, structure in known.structures.items()]
    relax = relax_inputs(Screen(potential=potential, fmax=fmax), pressure=0.0)
    logger.info("%s: %d phases to relax", potential, len(phases))
    rows = relax_published(cache.scratch(f"calibration-{_key(phases, relax)}"), known.elements, phases, relax)
    energies = {row["name"]: row["energy_per_atom"] for row in rows if row["state"] == "relaxed"}
    elemental: dict[str, float] = {}
    for row in rows:
        if row["kind"] == "element" and row["name"] in energies:
            symbol = row["structure"]["sites"][0]["species"][0]["element"]
            elemental[symbol] = min(energies[row["name"]], elemental.get(symbol, float("inf")))
    if missing := [symbol for symbol in known.elements if symbol not in elemental]:
        raise ImatgenError(
            f"{potential}: no phase of {', '.join(missing)} could be relaxed, and there is no hull without."
        )
    compounds = {name: energies[name] for name in known.structures if name in energies}
    failures = {row["name"]: row["reason"] for row in rows if row["name"] not in energies}
    return Member(potential, elemental, compounds, failures, sum(row["evaluations"] for row in rows))


def _key(phases: Sequence[ReferencePhase], relax: Any) -> str:
    """Hash all that the energies depend on."""
    contents = {phase.name: (structure_key(phase.structure), phase.molecule) for phase in phases}
    found = installed_potential(relax["potential"])
    return content_key(contents, relax, found.scale, found.version, versions_of(CACHE_KEY_PACKAGES))
