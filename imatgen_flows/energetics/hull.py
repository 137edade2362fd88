"""Convex hull of formation energies: energies above the hull and decompositions, on one energy scale at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from pymatgen.core import Composition, Element

from imatgen_flows.energetics.hull_basis import HullBasis
from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    from pymatgen.analysis.phase_diagram import PhaseDiagram


@dataclass(frozen=True)
class HullEntry:
    """A reference phase of a convex hull.

    Attributes
    ----------
    name : unique
    composition : of any number of formula units
    energy_per_atom : eV/atom
    source : where its structure is published
    kind : ``element``, ``compound``, or what else the caller distinguishes
    origin : of a published phase: where it was read, for example the name of a file
    """

    name: str
    composition: Composition
    energy_per_atom: float
    source: str = ""
    kind: str = "compound"
    origin: str = ""


class EntryData(TypedDict):
    """Plain form of a `HullEntry`."""

    name: str
    composition: dict[str, float]
    energy_per_atom: float
    source: str
    kind: str
    origin: NotRequired[str]  # absent from files of earlier versions


class HullData(TypedDict):
    """Plain form of a `Hull`."""

    potential: str
    entries: list[EntryData]


class PhaseRow(TypedDict):
    """Row of `Hull.table`: energies in eV/atom, fractions of the atoms."""

    name: str
    formula: str
    fractions: dict[str, float]
    energy_per_atom: float
    formation_energy: float
    e_above_hull: float
    source: str
    kind: str
    origin: NotRequired[str]  # absent from files of earlier versions


def formation_energy(energy_per_atom: float, composition: Composition | str, elemental: Mapping[str, float]) -> float:
    """Return the energy of a phase with respect to its elements, eV/atom.

    Parameters
    ----------
    energy_per_atom : of the phase, eV/atom
    composition : of the phase
    elemental : energy of each element in its reference phase, eV/atom, on the same scale

    Raises
    ------
    InputError
        Where an element has no reference.
    """
    fractions = Composition(composition).fractional_composition.get_el_amt_dict()
    missing = [symbol for symbol in fractions if symbol not in elemental]
    if missing:
        raise InputError(f"{composition}: no reference energy for {', '.join(missing)}; add a phase of the element.")
    return energy_per_atom - sum(fraction * elemental[symbol] for symbol, fraction in fractions.items())


class Hull:
    """The lower convex hull of reference phases.

    Candidates are not part of it: the energy above the hull of one does not depend on the others, and is negative for a
    new stable phase.

    Parameters
    ----------
    entries : phases on one energy scale, with at least one of each element
    potential : name of that scale, for example ``chgnet 0.3.0``

    Raises
    ------
    InputError
        Where an element has no phase of its own, two phases have one name, or an energy is not a finite number.
    """

    def __init__(self, entries: Sequence[HullEntry], potential: str = "") -> None:
        self.entries = tuple(entries)
        self.potential = potential
        names = [entry.name for entry in self.entries]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(f"the hull has two phases named {', '.join(repeated)}; names must differ.")
        for entry in self.entries:
            if not abs(entry.energy_per_atom) < float("inf"):  # also catches NaN
                raise InputError(f"reference phase {entry.name}: its energy is {entry.energy_per_atom} eV/atom.")
        present = {element.symbol for entry in self.entries for element in entry.composition.elements}
        missing = sorted(present - set(self.elemental))
        if missing or not present:
            raise InputError(
                f"the hull has no reference phase of the element {', '.join(missing)}; add one."
                if missing
                else "a hull needs reference phases; none was given."
            )

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements, in alphabetical order."""
        return tuple(sorted(self.elemental))

    @cached_property
    def elemental(self) -> dict[str, float]:
        """Energy of each element in its lowest phase, eV/atom."""
        energies: dict[str, float] = {}
        for entry in self.entries:
            if len(entry.composition) == 1:
                symbol = entry.composition.elements[0].symbol
                energies[symbol] = min(entry.energy_per_atom, energies.get(symbol, float("inf")))
        return energies

    @cached_property
    def _diagram(self) -> PhaseDiagram:
        from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram  # brings matplotlib: 2 s for every worker

        return PhaseDiagram(
            [
                PDEntry(entry.composition, entry.energy_per_atom * entry.composition.num_atoms, name=entry.name)
                for entry in self.entries
            ],
            elements=[Element(symbol) for symbol in self.elements],
        )

    def formation_energy(self, composition: Composition | str, energy_per_atom: float) -> float:
        """Return the energy with respect to the elements, eV/atom."""
        return formation_energy(energy_per_atom, composition, self.elemental)

    def e_above_hull(self, composition: Composition | str, energy_per_atom: float) -> float:
        """Return the energy above the hull, eV/atom; negative below it.

        Raises
        ------
        InputError
            Where the composition is none, or has an element that the hull lacks.
        """
        return energy_per_atom - float(self._diagram.get_hull_energy_per_atom(self._known(composition)))

    def decomposition(self, composition: Composition | str) -> dict[str, float]:
        """Return the phases of the hull into which a composition decomposes: name -> fraction of the atoms."""
        parts: dict[Any, float] = self._diagram.get_decomposition(self._known(composition))
        return {entry.name: float(fraction) for entry, fraction in parts.items()}

    def table(self) -> list[PhaseRow]:
        """Return one row a phase, for reports: energies in eV/atom, fractions of the atoms."""
        return [
            {
                "name": entry.name,
                "formula": entry.composition.reduced_formula,
                "fractions": entry.composition.fractional_composition.get_el_amt_dict(),
                "energy_per_atom": entry.energy_per_atom,
                "formation_energy": self.formation_energy(entry.composition, entry.energy_per_atom),
                "e_above_hull": self.e_above_hull(entry.composition, entry.energy_per_atom),
                "source": entry.source,
                "kind": entry.kind,
                "origin": entry.origin,
            }
            for entry in self.entries
        ]

    @classmethod
    def from_table(cls, rows: Sequence[PhaseRow], potential: str) -> Hull:
        """Make a hull of what `table` returned, as `hull.json` of a run holds it; `potential` names the scale."""
        entries = [
            HullEntry(
                row["name"],
                Composition(row["fractions"]),
                row["energy_per_atom"],
                row["source"],
                row["kind"],
                row.get("origin", ""),
            )
            for row in rows
        ]
        return cls(entries, potential)

    def phase_diagram(self) -> PhaseDiagram:
        """Return pymatgen's phase diagram of the references, with energies in eV."""
        return self._diagram

    @property
    def basis(self) -> HullBasis:
        """The published compounds that it rests on."""
        phases = ((entry.kind, len(entry.composition), entry.origin) for entry in self.entries)
        return HullBasis.count(self.elements, phases)

    def to_dict(self) -> HullData:
        """Return plain data, for JSON."""
        return {
            "potential": self.potential,
            "entries": [
                {
                    "name": entry.name,
                    "composition": entry.composition.get_el_amt_dict(),
                    "energy_per_atom": entry.energy_per_atom,
                    "source": entry.source,
                    "kind": entry.kind,
                    "origin": entry.origin,
                }
                for entry in self.entries
            ],
        }

    @classmethod
    def from_dict(cls, data: HullData) -> Hull:
        """Make a hull of what `to_dict` returned."""
        entries = [
            HullEntry(
                entry["name"],
                Composition(entry["composition"]),
                entry["energy_per_atom"],
                entry["source"],
                entry["kind"],
                entry.get("origin", ""),
            )
            for entry in data["entries"]
        ]
        return cls(entries, data["potential"])

    def _known(self, composition: Composition | str) -> Composition:
        """Return a composition whose elements the hull has."""
        try:
            composition = Composition(composition)
        except (TypeError, ValueError) as error:
            raise InputError(f"`{composition}` is no composition, as VO2 is.") from error
        missing = [e.symbol for e in composition.elements if e.symbol not in self.elemental]
        if missing:
            raise InputError(
                f"{composition.formula}: the hull of {'-'.join(self.elements)} has no {', '.join(missing)}."
            )
        return composition
