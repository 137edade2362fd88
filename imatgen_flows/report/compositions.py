"""The compositions that a run made most of: which are new, and where their structures lie above the hull."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from imatgen_flows.report.run_directory import Row, RunDirectory

SHOWN = 8  # compositions; the paper shows four of each sampling method
PHASES = 12  # published compositions between them; where there are more, only those on the hull are shown
ON_HULL = 1e-6  # eV/atom
PHASE = ("name", "formula", "kind", "source", "formation_energy", "e_above_hull")


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
        """What these compositions are."""
        if self.unseen:
            return "Most frequent new compositions"
        return "No composition is new: the most frequent ones of new structures"


@dataclass(frozen=True)
class View:
    """Structures of the chosen compositions on one energy scale; energies in eV/atom.

    Attributes
    ----------
    scale : the energy model, for people
    energy, distance : the columns of the candidates that hold formation energy and E_hull on this scale
    places : compositions along the axis, by atomic fraction; those of known phases lie between the chosen ones
    candidates : new structures of the chosen compositions that have an energy on this scale
    phases : reference phases of these compositions: published ones, and substituted ones that are on the hull
    hull : formation energy of the hull by composition, where it is known
    continuous : whether a straight line between neighbouring places is the hull
    band : the shortlist reaches so far above the hull; 0 where that hull did not choose it
    lanes : where each sampling method has its points, from the middle of a strip
    """

    scale: str
    energy: str
    distance: str
    places: list[str]
    candidates: list[Row]
    phases: list[Row] = field(default_factory=list)
    hull: dict[str, float] = field(default_factory=dict)
    continuous: bool = False
    band: float = 0.0
    lanes: dict[str, float] = field(default_factory=dict)


def choose(run: RunDirectory, at_most: int = SHOWN) -> Chosen | None:
    """Choose the compositions of which a run made most new structures; None where it relaxed no new structure.

    New compositions come first: those that neither a published phase nor a structure of the dataset has. What earlier
    rounds found and later ones learned from is no part of the dataset here. Where no composition is new, all count.
    """
    relaxed = {row["formula"] for row in run.new}
    made = Counter(row["formula"] for row in run.candidates if row["novelty"] == "new" and row["formula"] in relaxed)
    if not made:
        return None
    seen = {composition(formula) for formula in (*published_formulas(run), *dataset_formulas(run))}
    unseen = {formula: count for formula, count in made.items() if composition(formula) not in seen}
    most = sorted((unseen or made).items(), key=lambda item: (-item[1], item[0]))[:at_most]
    return Chosen(dict(sorted(most, key=lambda item: order(run, item[0]))), bool(unseen))


def lowest(run: RunDirectory, chosen: Chosen) -> list[Row]:
    """Return the new structure of lowest E_hull, by the potential, of each composition."""
    best: dict[str, Row] = {}
    for row in run.new:
        best.setdefault(row["formula"], row)
    return [best[formula] for formula in chosen.made]


def views(run: RunDirectory, chosen: Chosen) -> list[View]:
    """Lay out the compositions on the potential's scale, and on each scale of the validation that judged any of them."""
    rows = [row for row in run.new if row["formula"] in chosen.made]
    first = _of_potential(run, chosen, rows)
    judged: dict[str, list[Row]] = {}
    for row in rows:
        if row["validated_e_above_hull"] is not None:
            judged.setdefault(row["validated_scale"], []).append(row)
    others = []
    for scale, candidates in judged.items():
        energy, distance = "validated_formation_energy", "validated_e_above_hull"
        hull = _hull_below(candidates, energy, distance)
        others.append(View(scale, energy, distance, first.places, candidates, hull=hull, lanes=first.lanes))
    return [first, *others]


def compositions_data(run: RunDirectory, chosen: Chosen) -> dict[str, Any]:
    """Return what the page's script plots."""
    return {
        "made": chosen.made,
        "lowest": [row["id"] for row in lowest(run, chosen)],
        "views": [
            {
                "scale": view.scale,
                "energy": view.energy,
                "distance": view.distance,
                "places": view.places,
                "candidates": [row["sample"] for row in view.candidates],
                "phases": [{key: phase[key] for key in PHASE} for phase in view.phases],
                "hull": view.hull,
                "continuous": view.continuous,
                "band": view.band,
                "lanes": view.lanes,
            }
            for view in views(run, chosen)
        ],
    }


def amounts(formula: str) -> dict[str, float]:
    """Read a formula, for example V2O5 or Ca3(PO4)2."""
    found: dict[str, float] = {}
    while group := re.search(r"\(([^()]*)\)([\d.]*)", formula):
        each = {symbol: amount * float(group[2] or 1) for symbol, amount in amounts(group[1]).items()}
        formula = formula.replace(group[0], "".join(f"{symbol}{amount:g}" for symbol, amount in each.items()), 1)
    for symbol, amount in re.findall(r"([A-Z][a-z]?)([\d.]*)", formula):
        found[symbol] = found.get(symbol, 0.0) + float(amount or 1)
    return found


def atomic_fraction(formula: str, element: str) -> float:
    """Return the atomic fraction of an element in a formula, for example 0.714 for O in V2O5."""
    found = amounts(formula)
    return found.get(element, 0.0) / sum(found.values())


def composition(formula: str) -> frozenset[tuple[str, float]]:
    """Return what formulas of one composition have in common, in whatever order or multiple they are written."""
    found = amounts(formula)
    unit = math.gcd(*map(round, found.values())) if all(value.is_integer() for value in found.values()) else 1
    return frozenset((symbol, value / max(1, unit)) for symbol, value in found.items())


def published_formulas(run: RunDirectory) -> list[str]:
    """Return the formula of each published phase of a run, whether or not the images hold it or it relaxed."""
    failed = [phase for phase in run.hull.get("failed") or [] if "formula" in phase]  # a run of before has none
    phases = [phase for phase in (*run.hull["references"], *failed) if phase["kind"] != "substituted"]
    named = {phase["name"]: phase["formula"] for phase in phases}
    trained = {row["id"].removeprefix("known:"): row["formula"] for row in run.latent["training"] if row.get("known")}
    return list((trained | named).values())


def dataset_formulas(run: RunDirectory) -> list[str]:
    """Return the formula of each training structure of a run; what its earlier rounds found is none."""
    return [row["formula"] for row in run.latent["training"] if not str(row["id"]).startswith("found:")]


def _of_potential(run: RunDirectory, chosen: Chosen, rows: list[Row]) -> View:
    names = {composition(formula): formula for formula in chosen.made}
    phases = []
    for phase in run.hull["references"]:
        name = names.setdefault(composition(phase["formula"]), phase["formula"])
        if phase["kind"] != "substituted" or phase["e_above_hull"] < ON_HULL:
            phases.append({**phase, "formula": name})
    binary = len(run.system) == 2
    places = set(chosen.made) | (_between(run, chosen, phases) if binary else set())
    phases = [phase for phase in phases if phase["formula"] in places]
    energy, distance = "formation_energy", "e_above_hull"
    return View(
        scale=run.scale,
        energy=energy,
        distance=distance,
        places=sorted(places, key=lambda formula: order(run, formula)),
        candidates=rows,
        phases=phases,
        hull=_hull_below(phases, energy, distance) | _hull_below(rows, energy, distance),
        continuous=binary,
        band=run.threshold,
        lanes=_lanes([method for method in run.methods if any(row["method"] == method for row in rows)]),
    )


def _between(run: RunDirectory, chosen: Chosen, phases: list[Row]) -> set[str]:
    """Compounds of a binary from the one below the chosen compositions to the one above, so that the hull is whole."""
    fraction = {phase["formula"]: atomic_fraction(phase["formula"], run.system[1]) for phase in phases}
    compounds = {formula for formula, x in fraction.items() if 0 < x < 1}
    if len(compounds) > PHASES:
        compounds &= {phase["formula"] for phase in phases if phase["e_above_hull"] < ON_HULL}
    ends = [atomic_fraction(formula, run.system[1]) for formula in chosen.made]
    low = max((fraction[name] for name in compounds if fraction[name] < min(ends)), default=0)
    high = min((fraction[name] for name in compounds if fraction[name] > max(ends)), default=1)
    return {name for name in compounds if low <= fraction[name] <= high}


def _lanes(methods: list[str], width: float = 0.5) -> dict[str, float]:
    """Spread sampling methods over a strip, so that none covers another."""
    step = width / max(1, len(methods))
    return {method: step * (number - (len(methods) - 1) / 2) for number, method in enumerate(methods)}


def _hull_below(rows: Iterable[Row], energy: str, distance: str) -> dict[str, float]:
    """Return the energy of the hull at each composition of which some structure has both its energies."""
    return {
        row["formula"]: row[energy] - row[distance]
        for row in rows
        if row[energy] is not None and row[distance] is not None
    }


def order(run: RunDirectory, formula: str) -> tuple[list[float], str]:
    """Along the axis by the fraction of the second element, the third, and so on."""
    return [atomic_fraction(formula, element) for element in run.system[1:]], formula
