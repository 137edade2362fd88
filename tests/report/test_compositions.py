from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from imatgen_flows.report import RunDirectory, draw_figures
from imatgen_flows.report.compositions import atomic_fraction, choose, composition, lowest, views

ATOMS = st.dictionaries(st.sampled_from(["V", "O", "Ti", "Ca"]), st.integers(1, 9), min_size=1, max_size=3)


def hull_of(run, x):
    on_hull = sorted((ref["fractions"]["O"], ref["formation_energy"]) for ref in run.hull["references"][:6])
    return float(np.interp(x, *zip(*on_hull, strict=True)))


@pytest.fixture
def unseen(own_run, rewrite):
    """A run whose VO is V5O6 and whose V2O5 is V3O7: compositions that nothing else has."""
    run = RunDirectory.open(own_run)

    def change(row):
        name = {"VO": "V5O6", "V2O5": "V3O7"}.get(row["formula"]) if row["relaxed_id"] else None
        if not name:
            return row
        energy = hull_of(run, atomic_fraction(name, "O")) + row["e_above_hull"]
        return row | {"formula": name, "formation_energy": energy, "novelty": "new"}

    rewrite(own_run, change)
    return own_run


def learn(path, formula, name):
    latent = json.loads((path / "latent.json").read_text())
    latent["training"].append({**latent["training"][1], "id": name, "formula": formula})
    (path / "latent.json").write_text(json.dumps(latent))


@given(ATOMS, st.integers(1, 6))
def test_a_composition_is_the_same_in_any_multiple_and_order(atoms, times):
    text = "".join(f"{symbol}{amount}" for symbol, amount in atoms.items())
    other = "".join(f"{symbol}{amount * times}" for symbol, amount in reversed(atoms.items()))
    assert composition(text) == composition(other) == composition(Composition(other).reduced_formula)


def test_a_composition_is_new_where_neither_phase_nor_dataset_has_it(unseen):
    run = RunDirectory.open(unseen)
    chosen = choose(run)
    assert chosen.unseen
    assert chosen.made == {
        name: sum(row["formula"] == name for row in run.rows() if row["novelty"] == "new") for name in ("V5O6", "V3O7")
    }
    learn(unseen, "O12V10", "mp-1:Ti=V")
    assert list(choose(RunDirectory.open(unseen)).made) == ["V3O7"]


def test_what_earlier_rounds_found_makes_no_composition_old(unseen):
    learn(unseen, "V5O6", "found:r0-slerp-000004")
    assert list(choose(RunDirectory.open(unseen)).made) == ["V5O6", "V3O7"]


def test_without_a_new_composition_the_title_says_so(shared_run):
    run = RunDirectory.open(shared_run)
    chosen = choose(run)
    assert not chosen.unseen
    assert chosen.title.startswith("No composition is new")
    assert set(chosen.made) == {row["formula"] for row in run.new}


def test_a_run_without_a_new_structure_has_none(own_run, rewrite):
    rewrite(own_run, lambda row: row | {"novelty": ""})
    assert choose(RunDirectory.open(own_run)) is None


def test_most_made_compositions_come_first_and_stand_by_atomic_fraction(shared_run):
    run = RunDirectory.open(shared_run)
    every, two = choose(run).made, choose(run, at_most=2).made
    assert min(two.values()) >= max(every[name] for name in set(every) - set(two))
    for made in (every, two):
        fractions = [atomic_fraction(name, "O") for name in made]
        assert fractions == sorted(fractions)


def test_the_hull_under_every_strip_is_that_of_the_reference_phases(unseen):
    run = RunDirectory.open(unseen)
    (view,) = views(run, choose(run))
    assert view.continuous
    fractions = [atomic_fraction(name, "O") for name in view.places]
    assert fractions == sorted(fractions)
    for name, x in zip(view.places, fractions, strict=True):
        assert view.hull[name] == pytest.approx(hull_of(run, x)), name
    corners = {0.5, 0.6, 2 / 3, 5 / 7}  # all between the outermost strips, and one beyond each
    assert all(any(x == pytest.approx(corner) for x in fractions) for corner in corners)


def test_each_view_keeps_to_one_scale_and_shows_the_tables_energies(unseen, validate):
    validate(unseen)
    run = RunDirectory.open(unseen)
    first, second = views(run, choose(run))
    assert (first.scale, second.scale) == ("CHGNet 0.3.0", "MP2020 GGA/GGA+U")
    assert {id(row) for row in first.candidates} == {id(row) for row in run.new if row["formula"] in choose(run).made}
    assert second.candidates
    assert all(row["validated_scale"] == second.scale for row in second.candidates)
    assert (first.energy, second.energy) == ("formation_energy", "validated_formation_energy")
    assert not second.phases
    for row in second.candidates:
        below = row["validated_formation_energy"] - row["validated_e_above_hull"]
        assert second.hull[row["formula"]] == pytest.approx(below)
    assert set(second.hull) == {row["formula"] for row in second.candidates}


def test_the_polymorph_drawn_is_the_lowest_of_its_composition(shared_run):
    run = RunDirectory.open(shared_run)
    for row in lowest(run, choose(run)):
        same = [other["e_above_hull"] for other in run.new if other["formula"] == row["formula"]]
        assert row["e_above_hull"] == min(same)


@pytest.mark.parametrize("system", [("V", "O"), ("Ca", "Ti", "O")])
def test_both_figures_are_drawn_for_any_system_validated_or_not(make_run, validate, system):
    path = make_run(system=system)
    validate(path)
    names = {file.stem for file in draw_figures(RunDirectory.open(path))}
    assert {"compositions", "polymorphs"} <= names
