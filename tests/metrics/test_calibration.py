"""Calibration of potentials: errors, spread and thresholds of energies that are made up, and so known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from imatgen_flows.errors import InputError
from imatgen_flows.metrics.calibration import (
    MEAN,
    STEP,
    KnownCrystal,
    Member,
    calibrate,
    decide,
    e_above_others,
    measure_errors,
    suggest,
)

FORMULAS = ("VO", "V2O3", "VO2", "V2O5", "V3O5", "V4O7", "V6O13", "V3O7")
ELEMENTAL = {"V": -9.0, "O": -4.9}


@pytest.fixture
def crystals():
    """Two polymorphs of each formula: one on a convex curve, and one above it."""
    rows = []
    for formula in FORMULAS:
        x = Composition(formula).get_atomic_fraction("O")
        for name, above in ((formula, 0.0), (f"{formula} other", 0.02 + 0.2 * x**2)):
            rows.append(KnownCrystal(name, Composition(formula), -10 * x * (1 - x) + above))
    return rows


def member(crystals, name="potential", shift=lambda _: 0.0, leave_out=()):
    """Make a potential whose formation energies are the known ones with a shift."""
    energies = {}
    for item in crystals:
        fractions = item.composition.fractional_composition.get_el_amt_dict()
        plain = sum(part * ELEMENTAL[symbol] for symbol, part in fractions.items())
        energies[item.name] = plain + item.formation_energy + shift(item)
    left = {key: energy for key, energy in energies.items() if key not in leave_out}
    return Member(name, ELEMENTAL, left, dict.fromkeys(leave_out, "crashed"), 7)


def test_a_potential_that_is_right_has_no_errors_and_is_right_at_every_threshold(crystals):
    found = calibrate(crystals, [member(crystals)])
    for errors in (found.formation["potential"], found.hull["potential"]):
        assert (errors.mae, errors.bias, errors.rmse) == pytest.approx((0, 0, 0), abs=1e-9)
    assert all(decision.precision == decision.recall == 1 for decision in found.decisions)
    assert found.evaluations == {"potential": 7} and found.spread is None


def test_a_shift_of_all_is_a_bias_of_formation_energies(crystals):
    errors = calibrate(crystals, [member(crystals, shift=lambda _: 0.03)]).formation["potential"]
    assert (errors.mae, errors.bias, errors.rmse, errors.median) == pytest.approx((0.03,) * 4)
    assert errors.bias_interval == pytest.approx((0.03, 0.03))


def test_a_crystal_is_placed_on_the_hull_of_the_others_as_pymatgen_places_it(crystals):
    energies = {item.name: item.formation_energy for item in crystals}
    found = e_above_others(crystals, energies)
    elements = [PDEntry(symbol, 0.0) for symbol in ("V", "O")]
    entries = {
        item.name: PDEntry(item.composition, item.formation_energy * item.composition.num_atoms) for item in crystals
    }
    for name, entry in entries.items():
        diagram = PhaseDiagram([*elements, *(other for key, other in entries.items() if key != name)])
        theirs = entry.energy_per_atom - diagram.get_hull_energy_per_atom(entry.composition)
        assert found[name] == pytest.approx(theirs, abs=1e-9)
    assert found["V2O3"] < 0 < found["V2O3 other"]


@settings(deadline=None, max_examples=30)  # each draws 10,000 times
@given(st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=40))
def test_the_root_mean_square_is_the_largest_of_the_means_and_its_interval_holds_it(errors):
    measured = measure_errors(
        {str(i): error for i, error in enumerate(errors)}, {str(i): 0.0 for i in range(len(errors))}
    )
    assert measured.rmse + 1e-12 >= measured.mae >= abs(measured.bias) - 1e-12
    assert measured.rmse == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert measured.median == pytest.approx(np.median(np.abs(errors)))
    low, high = measured.bias_interval
    assert low <= high and min(errors) - 1e-12 <= low and high <= max(errors) + 1e-12


def test_decisions_count_what_is_called_and_what_is_right():
    truth = {"a": 0.0, "b": 0.04, "c": 0.2, "d": 0.3}
    found = decide("predictor", {"a": 0.02, "b": 0.2, "c": 0.01, "d": 0.5}, truth, 0.05)
    assert (found.called, found.right, found.near, found.precision, found.recall) == (2, 1, 2, 0.5, 0.5)
    nothing = decide("predictor", dict.fromkeys(truth, 1.0), truth, 0.05)
    assert nothing.precision is None and nothing.precision_interval == (0, 1) and nothing.recall == 0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-0.2, 0.4), min_size=1, max_size=60), st.floats(0.5, 1))
def test_the_suggested_threshold_keeps_the_share_and_a_smaller_one_does_not(energies, kept):
    named = {str(i): energy for i, energy in enumerate(energies)}
    found = suggest("predictor", named, dict.fromkeys(named, 0.0), kept=kept)
    wanted = math.ceil(kept * len(energies))
    assert sum(energy <= found.threshold + 1e-9 for energy in energies) >= wanted
    assert found.threshold == 0 or sum(energy <= found.threshold - STEP for energy in energies) < wanted
    assert found.interval[0] <= found.interval[1] and found.near == len(energies)


def test_crystals_far_from_the_hull_decide_no_threshold():
    truth = {"a": 0.0, "b": 0.4}
    assert suggest("predictor", {"a": 0.031, "b": 0.0}, truth).threshold == 0.035
    assert suggest("predictor", {"a": 0.1}, {"a": 0.4}) is None


def test_the_spread_covers_errors_of_members_that_err_to_both_sides_and_none_that_they_share(crystals):
    above = {item.name: 0.015 if "other" in item.name else 0.0 for item in crystals}
    apart = [
        member(crystals, "one", lambda item: above[item.name]),
        member(crystals, "two", lambda item: -above[item.name]),
    ]
    found = calibrate(crystals, apart)
    assert found.spread.inside == found.spread.covered == found.spread.number == len(crystals)
    shared = [member(crystals, name, lambda item: above[item.name]) for name in ("one", "two")]
    together = calibrate(crystals, shared)
    assert together.spread.mean_spread == pytest.approx(0, abs=1e-12)
    assert together.spread.covered <= len(FORMULAS)  # none of those that err
    assert found.hull[MEAN].mae < together.hull[MEAN].mae == pytest.approx(together.hull["one"].mae)


def test_a_crystal_that_a_member_lacks_counts_for_the_others_and_is_named(crystals):
    found = calibrate(crystals, [member(crystals, "one"), member(crystals, "two", leave_out=["VO other"])])
    assert found.missing == {"one": {}, "two": {"VO other": "crashed"}}
    assert found.hull["one"].number == len(crystals) == found.hull["two"].number + 1 == found.hull[MEAN].number + 1
    assert found.to_dict()["kept"] == 0.9


def test_too_few_crystals_are_refused(crystals):
    with pytest.raises(InputError, match="crystals with energies: 2, which are too few"):
        calibrate(crystals[:2], [member(crystals[:2])])
    with pytest.raises(InputError, match=f"two has energies of 1 of {len(crystals)} crystals"):
        calibrate(crystals, [member(crystals, "two", leave_out=[item.name for item in crystals[1:]])])
