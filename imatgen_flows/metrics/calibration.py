"""Calibration of potentials: their energies above the hull beside published ones of DFT, and what a threshold is worth.

Each crystal is placed on the hull of the elements and of all other crystals, as a candidate is, by DFT and by each potential
on its own energies. An energy above the hull may therefore be negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from imatgen_flows.energetics.hull import Hull, HullEntry, formation_energy
from imatgen_flows.errors import InputError
from imatgen_flows.metrics.statistics import Interval, percentiles, rate_interval, resample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pymatgen.core import Composition

THRESHOLDS = (0.05, 0.1, 0.15)  # eV/atom: of S.U.N., of the tables of finds, and the default of `screen.threshold`
# eV/atom; by DFT a crystal is near the hull up to here. Of metastable phases that were made, the median lies 0.015 above it
# and the 90th percentile 0.067 (Sun et al., Sci. Adv. 2, e1600225 (2016))
NEAR = 0.05
KEPT = 0.9  # share of the crystals near the hull that a threshold is to keep
STEP = 0.005  # eV/atom; a suggested threshold is rounded up to a multiple of it
ROUNDING = 1e-9  # eV/atom
FEWEST = 3  # crystals of a calibration
MEAN = "mean"  # of the members, as a predictor beside them


@dataclass(frozen=True)
class KnownCrystal:
    """A crystal whose formation energy is known.

    Attributes
    ----------
    name : unique
    composition : of any number of formula units
    formation_energy : of DFT, eV/atom, on one scale for all
    """

    name: str
    composition: Composition
    formation_energy: float


@dataclass(frozen=True)
class Member:
    """What a potential gives for the crystals.

    Attributes
    ----------
    name : of the potential
    elemental : energy of each element in its lowest phase, eV/atom
    energies : of the crystals by name, eV/atom; those that it could not relax are absent
    failures : of these, why
    evaluations : that it took
    """

    name: str
    elemental: Mapping[str, float]
    energies: Mapping[str, float]
    failures: Mapping[str, str] = field(default_factory=dict)
    evaluations: int = 0


@dataclass(frozen=True)
class Errors:
    """Errors of energies, eV/atom, with 95 % intervals of a bootstrap over the crystals.

    Attributes
    ----------
    number : of crystals
    mae, bias, rmse : mean absolute error, mean error (above zero where the energies are too high), root mean square error
    median : of the absolute errors: beside the mean it tells whether a few crystals make it
    mae_interval, bias_interval, rmse_interval : of each
    """

    number: int
    mae: float
    bias: float
    rmse: float
    median: float
    mae_interval: Interval
    bias_interval: Interval
    rmse_interval: Interval


@dataclass(frozen=True)
class Decision:
    """How often a predictor is right that calls crystals near the hull.

    Attributes
    ----------
    predictor : a member, or `MEAN` of all
    threshold : eV/atom, of the predictor's E_hull and of the reference's alike
    called : crystals that the predictor calls near
    right : of these, those that the reference calls near too
    near : crystals that the reference calls near
    precision, precision_interval : right of called, with Wilson's 95 % interval; None where none is called
    recall, recall_interval : right of near
    """

    predictor: str
    threshold: float
    called: int
    right: int
    near: int
    precision: float | None
    precision_interval: Interval
    recall: float | None
    recall_interval: Interval


@dataclass(frozen=True)
class Suggestion:
    """The smallest threshold of a predictor that keeps `KEPT` of the crystals that are `NEAR` the hull by the reference.

    Attributes
    ----------
    predictor : a member, or `MEAN` of all
    threshold : eV/atom, rounded up to a multiple of `STEP`
    interval : 95 %, by bootstrap over the crystals near the hull
    near : number of these
    """

    predictor: str
    threshold: float
    interval: Interval
    near: int


@dataclass(frozen=True)
class Spread:
    """How well the spread of the members, highest less lowest E_hull of a crystal, tells the error of their mean.

    Attributes
    ----------
    number : crystals that every member has
    mean_spread : eV/atom
    inside : crystals whose reference lies between the lowest and the highest member
    inside_interval : of their share
    covered : crystals where the error of the mean is at most the spread
    covered_interval : of their share
    """

    number: int
    mean_spread: float
    inside: int
    inside_interval: Interval
    covered: int
    covered_interval: Interval


@dataclass(frozen=True)
class Calibration:
    """Result of a calibration.

    Attributes
    ----------
    crystals : name -> E_hull of the reference, eV/atom
    e_above_hull : member -> name -> E_hull, eV/atom, of the crystals that it has
    formation, hull : errors of formation energies and of E_hull, by member; `hull` has those of `MEAN` too
    low : as `hull`, of the crystals alone that lie within the largest threshold by the reference
    missing : crystals that a member could not relax, by member, and why
    spread : of the members; None where there is one
    decisions : of each predictor at each threshold
    suggestions : of each predictor; none where no crystal is near the hull
    evaluations : of each member
    """

    crystals: dict[str, float]
    e_above_hull: dict[str, dict[str, float]]
    formation: dict[str, Errors]
    hull: dict[str, Errors]
    low: dict[str, Errors]
    missing: dict[str, dict[str, str]]
    spread: Spread | None
    decisions: list[Decision]
    suggestions: list[Suggestion]
    evaluations: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return asdict(self) | {"near": NEAR, "kept": KEPT}


def calibrate(
    crystals: Sequence[KnownCrystal],
    members: Sequence[Member],
    thresholds: Sequence[float] = THRESHOLDS,
    seed: int = 0,
) -> Calibration:
    """Hold the energies of potentials against published ones of the same crystals.

    Parameters
    ----------
    crystals : three at least, whose names differ
    members : potentials, one at least
    thresholds : eV/atom
    seed : of the bootstrap

    Raises
    ------
    InputError
        Where there are fewer than three crystals, or a member has fewer than three of them.

    Examples
    --------
    >>> from pymatgen.core import Composition
    >>> energies = {"VO": -2.0, "VO2": -2.4, "V2O5": -2.3}
    >>> known = [KnownCrystal(name, Composition(name), energy) for name, energy in energies.items()]
    >>> shifted = Member("shifted", {"V": 0.0, "O": 0.0}, {item.name: item.formation_energy + 0.1 for item in known})
    >>> round(calibrate(known, [shifted]).formation["shifted"].bias, 6)
    0.1
    """
    refuse_few(len(crystals))
    for member in members:
        if len(there := [item for item in crystals if item.name in member.energies]) < FEWEST:
            raise InputError(
                f"{member.name} has energies of {len(there)} of {len(crystals)} crystals; a calibration needs {FEWEST}."
            )
    formation = {member.name: _formation_energies(crystals, member) for member in members}
    truth = e_above_others(crystals, {item.name: item.formation_energy for item in crystals})
    found = {name: e_above_others(crystals, energies) for name, energies in formation.items()}
    common = [name for name in truth if all(name in energies for energies in found.values())]
    predictors = dict(found)
    if len(members) > 1:
        predictors[MEAN] = {name: sum(e[name] for e in found.values()) / len(found) for name in common}
    known = {item.name: item.formation_energy for item in crystals}
    return Calibration(
        crystals=truth,
        e_above_hull=found,
        formation={name: measure_errors(energies, known, seed) for name, energies in formation.items()},
        hull={name: measure_errors(energies, truth, seed) for name, energies in predictors.items() if energies},
        low={
            name: measure_errors(low, truth, seed)
            for name, energies in predictors.items()
            if (low := {key: energy for key, energy in energies.items() if truth[key] <= max(thresholds)})
        },
        missing={
            member.name: {
                item.name: member.failures.get(item.name, "") for item in crystals if item.name not in member.energies
            }
            for member in members
        },
        spread=_spread(found, truth, common) if len(members) > 1 and common else None,
        decisions=[decide(name, e, truth, at) for name, e in predictors.items() for at in thresholds],
        suggestions=[item for name, e in predictors.items() if (item := suggest(name, e, truth, seed=seed))],
        evaluations={member.name: member.evaluations for member in members},
    )


def e_above_others(crystals: Sequence[KnownCrystal], energies: Mapping[str, float]) -> dict[str, float]:
    """Place each crystal on the hull of the elements and of the others, eV/atom.

    Parameters
    ----------
    crystals : of one system
    energies : formation energies by name, eV/atom; a crystal without one is not there
    """
    there = [item for item in crystals if item.name in energies]
    symbols = sorted({element.symbol for item in there for element in item.composition.elements})
    entries = [HullEntry(f"element {symbol}", _element(symbol), 0.0, kind="element") for symbol in symbols]
    entries += [HullEntry(item.name, item.composition, energies[item.name]) for item in there]
    found = {}
    for item in there:
        hull = Hull([entry for entry in entries if entry.name != item.name])
        found[item.name] = hull.e_above_hull(item.composition, energies[item.name])
    return found


def measure_errors(energies: Mapping[str, float], reference: Mapping[str, float], seed: int = 0) -> Errors:
    """Summarise the errors of energies, eV/atom, with intervals by bootstrap over the crystals."""
    import numpy as np

    errors = np.array([energy - reference[name] for name, energy in energies.items()])
    weights = resample(len(errors), seed)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return weights @ values / len(values)

    measures = mean(np.abs(errors)), mean(errors), np.sqrt(mean(errors**2))
    mae, bias, rmse = (float(values[0]) for values in measures)
    median = float(np.median(np.abs(errors)))
    return Errors(len(errors), mae, bias, rmse, median, *(percentiles(values[1:]) for values in measures))


def decide(predictor: str, energies: Mapping[str, float], reference: Mapping[str, float], threshold: float) -> Decision:
    """Count how often a predictor that calls crystals near the hull, up to a threshold in eV/atom, is right."""
    near = {name for name in energies if reference[name] <= threshold}
    called = {name for name in energies if energies[name] <= threshold}
    right = len(near & called)
    return Decision(
        predictor,
        threshold,
        len(called),
        right,
        len(near),
        right / len(called) if called else None,
        rate_interval(right, len(called)),
        right / len(near) if near else None,
        rate_interval(right, len(near)),
    )


def suggest(
    predictor: str,
    energies: Mapping[str, float],
    reference: Mapping[str, float],
    near: float = NEAR,
    kept: float = KEPT,
    seed: int = 0,
) -> Suggestion | None:
    """Choose the smallest threshold that keeps a share of the crystals near the hull; None where there is no such crystal.

    Parameters
    ----------
    predictor : name of the predictor
    energies, reference : E_hull of the predictor and of DFT by name, eV/atom
    near : E_hull of DFT up to which a crystal is near the hull, eV/atom
    kept : the share, from 0 to 1
    seed : of the bootstrap
    """
    import numpy as np

    values = np.sort([energies[name] for name in energies if reference[name] <= near])
    if not len(values):
        return None
    drawn = np.cumsum(resample(len(values), seed), axis=1)  # of the lowest crystals together, in each draw
    places = (drawn >= math.ceil(kept * len(values))).argmax(axis=1)
    chosen = values[places]
    low, high = percentiles(chosen[1:])
    return Suggestion(predictor, _round_up(chosen[0]), (_round_up(low), _round_up(high)), len(values))


def _round_up(energy: float) -> float:
    return round(max(0.0, math.ceil(round(energy / STEP, 6)) * STEP), 6)


def _spread(found: Mapping[str, Mapping[str, float]], truth: Mapping[str, float], common: Sequence[str]) -> Spread:
    rows = {name: [energies[name] for energies in found.values()] for name in common}
    inside = sum(min(row) - ROUNDING <= truth[name] <= max(row) + ROUNDING for name, row in rows.items())
    covered = sum(
        abs(sum(row) / len(row) - truth[name]) <= max(row) - min(row) + ROUNDING for name, row in rows.items()
    )
    number = len(common)
    return Spread(
        number,
        sum(max(row) - min(row) for row in rows.values()) / number,
        inside,
        rate_interval(inside, number),
        covered,
        rate_interval(covered, number),
    )


def _formation_energies(crystals: Sequence[KnownCrystal], member: Member) -> dict[str, float]:
    of: Callable[[KnownCrystal], float] = lambda item: formation_energy(  # noqa: E731
        member.energies[item.name], item.composition, member.elemental
    )
    return {item.name: of(item) for item in crystals if item.name in member.energies}


def _element(symbol: str) -> Composition:
    from pymatgen.core import Composition

    return Composition(symbol)


def refuse_few(crystals: int) -> None:
    """Raise an InputError where a number of crystals is too small for a calibration."""
    if crystals < FEWEST:
        raise InputError(f"crystals with energies: {crystals}, which are too few for a calibration. It needs {FEWEST}.")
