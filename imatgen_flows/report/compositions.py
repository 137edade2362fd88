"""The most frequent compositions of a run: which are new, and where their structures lie above the hull."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypedDict

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.formulas import amounts, atomic_fraction
from imatgen_flows.candidates.table import count_by
from imatgen_flows.report.documents import DistanceColumn, EnergyColumn, Phase, RelaxedRow
from imatgen_flows.report.run_directory import RunDirectory

SHOWN = 8  # compositions; the paper shows four of each sampler
PHASES = 12  # published compositions between them; where there are more, only those on the hull are shown
ON_HULL = 1e-6  # eV/atom
SUBSTITUTED = "substituted"  # kind of a reference phase that substitution gave


@dataclass(frozen=True)
class Chosen:
    """The most frequent compositions among a run's new structures.

    Attributes
    ----------
    made : new structures of each, relaxed or not, by formula; ordered by atomic fraction
    unseen : whether the compositions are new: neither published nor in the dataset
    """

    made: dict[str, int]
    unseen: bool

    @property
    def title(self) -> str:
        """Heading of these compositions."""
        if self.unseen:
            return "Most frequent new compositions"
        return "No composition is new: the most frequent ones of new structures"


@dataclass(frozen=True)
class View:
    """Structures of the chosen compositions on one energy scale; energies in eV/atom.

    Attributes
    ----------
    scale : the energy model, for people
    energy, distance : columns of the candidates with the formation energy and E_hull on this scale
    places : compositions along the axis, by atomic fraction; those of known phases lie between the chosen ones
    candidates : new structures of the chosen compositions that have an energy on this scale
    phases : reference phases of these compositions: published ones, and substituted ones that are on the hull
    hull : formation energy of the hull by composition, where it is known
    continuous : whether a straight line between neighbouring places is the hull
    band : the shortlist reaches so far above the hull; 0 where that hull did not choose it
    lanes : offset of the points of each sampler from the middle of a strip
    """

    scale: str
    energy: EnergyColumn
    distance: DistanceColumn
    places: list[str]
    candidates: list[RelaxedRow]
    phases: list[Phase] = field(default_factory=list)
    hull: dict[str, float] = field(default_factory=dict)
    continuous: bool = False
    band: float = 0.0
    lanes: dict[str, float] = field(default_factory=dict)

    def points(self, rows: Iterable[RelaxedRow]) -> tuple[list[float], list[float]]:
        """Place structures in the strips: x by composition and sampler, y their formation energy on this scale."""
        placed = [(self.places.index(row["formula"]) + self.lanes[row["sampler"]], row[self.energy]) for row in rows]
        known = [(x, y) for x, y in placed if y is not None]
        return [x for x, _ in known], [y for _, y in known]


def choose(run: RunDirectory, at_most: int = SHOWN) -> Chosen | None:
    """Choose the compositions of which a run made most new structures; None where it relaxed no new structure.

    New compositions come first: those that neither a published phase nor a structure of the dataset has. What earlier
    rounds found and later ones learned from is no part of the dataset here. Where no composition is new, all count.
    """
    relaxed = {row["formula"] for row in run.new}
    counted = count_by(run.table, "formula", "novelty")
    made = {name: number for (name, novelty), number in counted.items() if novelty == Novelty.NEW and name in relaxed}
    if not made:
        return None
    seen = {composition(formula) for formula in (*published_formulas(run), *dataset_formulas(run))}
    unseen = {formula: count for formula, count in made.items() if composition(formula) not in seen}
    most = sorted((unseen or made).items(), key=lambda item: (-item[1], item[0]))[:at_most]
    return Chosen(dict(sorted(most, key=lambda item: order(run, item[0]))), bool(unseen))


def lowest(run: RunDirectory, chosen: Chosen) -> list[RelaxedRow]:
    """Return the new structure of lowest E_hull, by the potential, of each composition."""
    best: dict[str, RelaxedRow] = {}
    for row in run.new:
        best.setdefault(row["formula"], row)
    return [best[formula] for formula in chosen.made]


def views(run: RunDirectory, chosen: Chosen) -> list[View]:
    """Lay out the compositions on the scale of the potential, and on each scale on which any of them was validated."""
    rows = [row for row in run.new if row["formula"] in chosen.made]
    first = _of_potential(run, chosen, rows)
    validated: dict[str, list[RelaxedRow]] = {}
    for row in rows:
        if row["validated_e_above_hull"] is not None:
            validated.setdefault(row["validated_scale"], []).append(row)
    others = []
    for scale, candidates in validated.items():
        hull = _hull_below(
            (row["formula"], row["validated_formation_energy"], row["validated_e_above_hull"]) for row in candidates
        )
        columns: tuple[EnergyColumn, DistanceColumn] = "validated_formation_energy", "validated_e_above_hull"
        others.append(View(scale, *columns, first.places, candidates, hull=hull, lanes=first.lanes))
    return [first, *others]


class ViewData(TypedDict):
    """Data of the plot on one energy scale; candidates by sample."""

    scale: str
    energy: str
    places: list[str]
    candidates: list[str]
    phases: list[Phase]
    hull: dict[str, float]
    continuous: bool
    band: float
    lanes: dict[str, float]


class CompositionsData(TypedDict):
    """Data of the plot of the compositions; the candidates and lowest polymorphs by sample."""

    made: dict[str, int]
    lowest: list[str]
    views: list[ViewData]


def compositions_data(run: RunDirectory, chosen: Chosen) -> CompositionsData:
    """Return the data of the page's plot."""
    return {
        "made": chosen.made,
        "lowest": [row["sample"] for row in lowest(run, chosen)],
        "views": [
            {
                "scale": view.scale,
                "energy": view.energy,
                "places": view.places,
                "candidates": [row["sample"] for row in view.candidates],
                "phases": view.phases,
                "hull": view.hull,
                "continuous": view.continuous,
                "band": view.band,
                "lanes": view.lanes,
            }
            for view in views(run, chosen)
        ],
    }


def composition(formula: str) -> frozenset[tuple[str, float]]:
    """Return the atomic ratios of a formula, equal for all formulas of one composition, in any order or multiple."""
    found = amounts(formula)
    unit = math.gcd(*map(round, found.values())) if all(value.is_integer() for value in found.values()) else 1
    return frozenset((symbol, value / max(1, unit)) for symbol, value in found.items())


def published_formulas(run: RunDirectory) -> list[str]:
    """Return the formula of each published phase of a run, whether or not the images hold it or it relaxed."""
    named = {phase["name"]: phase["formula"] for phase in run.hull["references"] if phase["kind"] != SUBSTITUTED}
    failed = run.hull.get("failed") or []
    named |= {
        phase["name"]: phase["formula"] for phase in failed if "formula" in phase and phase.get("kind") != SUBSTITUTED
    }
    trained = {row["id"].removeprefix("known:"): row["formula"] for row in run.latent["training"] if row.get("known")}
    return list((trained | named).values())


def dataset_formulas(run: RunDirectory) -> list[str]:
    """Return the formula of each training structure of a run, without the finds of its earlier rounds."""
    return [row["formula"] for row in run.latent["training"] if not str(row["id"]).startswith("found:")]


def _of_potential(run: RunDirectory, chosen: Chosen, rows: list[RelaxedRow]) -> View:
    names = {composition(formula): formula for formula in chosen.made}
    phases: list[Phase] = []
    for phase in run.hull["references"]:
        name = names.setdefault(composition(phase["formula"]), phase["formula"])
        if phase["kind"] != SUBSTITUTED or phase["e_above_hull"] < ON_HULL:
            phases.append({**phase, "formula": name})
    binary = len(run.system) == 2
    places = set(chosen.made) | (_between(run, chosen, phases) if binary else set())
    phases = [phase for phase in phases if phase["formula"] in places]
    hull = [(phase["formula"], phase["formation_energy"], phase["e_above_hull"]) for phase in phases]
    hull += [(row["formula"], row["formation_energy"], row["e_above_hull"]) for row in rows]
    return View(
        scale=run.scale,
        energy="formation_energy",
        distance="e_above_hull",
        places=sorted(places, key=lambda formula: order(run, formula)),
        candidates=rows,
        phases=phases,
        hull=_hull_below(hull),
        continuous=binary,
        band=run.threshold,
        lanes=_lanes([name for name in run.samplers if any(row["sampler"] == name for row in rows)]),
    )


def _between(run: RunDirectory, chosen: Chosen, phases: list[Phase]) -> set[str]:
    """Return the compounds of a binary from below the lowest chosen composition to above the highest, for the hull."""
    fraction = {phase["formula"]: atomic_fraction(phase["formula"], run.system[1]) for phase in phases}
    compounds = {formula for formula, x in fraction.items() if 0 < x < 1}
    if len(compounds) > PHASES:
        compounds &= {phase["formula"] for phase in phases if phase["e_above_hull"] < ON_HULL}
    ends = [atomic_fraction(formula, run.system[1]) for formula in chosen.made]
    low = max((fraction[name] for name in compounds if fraction[name] < min(ends)), default=0)
    high = min((fraction[name] for name in compounds if fraction[name] > max(ends)), default=1)
    return {name for name in compounds if low <= fraction[name] <= high}


def _lanes(samplers: list[str], width: float = 0.5) -> dict[str, float]:
    """Place samplers side by side in a strip, so that none covers another."""
    step = width / max(1, len(samplers))
    return {name: step * (number - (len(samplers) - 1) / 2) for number, name in enumerate(samplers)}


def _hull_below(structures: Iterable[tuple[str, float | None, float | None]]) -> dict[str, float]:
    """Return the energy of the hull at each composition, from formula, formation energy and E_hull of structures."""
    return {
        formula: energy - distance
        for formula, energy, distance in structures
        if energy is not None and distance is not None
    }


def order(run: RunDirectory, formula: str) -> tuple[list[float], str]:
    """Sort compositions along the axis by the fraction of the second element, the third, and so on."""
    return [atomic_fraction(formula, element) for element in run.system[1:]], formula
