"""Convex hull: laws that any hull obeys, and the vanadium oxides on CHGNet's scale."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Lattice

from imatgen_flows.energetics.hull import Hull, HullEntry, formation_energy
from imatgen_flows.energetics.references import reference_phases
from imatgen_flows.energetics.relax import RelaxSettings, relax_many
from imatgen_flows.errors import InputError

ENERGIES = {"V": -9.0, "O2": -4.8, "VO": -9.0, "V2O3": -9.07, "VO2": -8.76, "V2O5": -8.36}


def make(energies: dict[str, float]) -> Hull:
    return Hull([HullEntry(name, Composition(name), energy) for name, energy in energies.items()], "toy 1")


energies = st.fixed_dictionaries({name: st.floats(-10, 0) for name in ENERGIES})
counts = st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(any)


@settings(max_examples=30, deadline=None)
@given(energies, counts, st.floats(-12, 2))
def test_the_hull_is_the_lowest_mixture_of_any_two_phases(energies, count, energy):
    hull, composition = make(energies), Composition({"V": count[0], "O": count[1]})
    x = composition.get_atomic_fraction("O")
    points = [(Composition(name).get_atomic_fraction("O"), e) for name, e in energies.items()]
    lowest = min(
        e1 if x1 == x2 else e1 + (e2 - e1) * (x - x1) / (x2 - x1)
        for x1, e1 in points
        for x2, e2 in points
        if min(x1, x2) - 1e-12 <= x <= max(x1, x2) + 1e-12 and (x1 != x2 or abs(x - x1) < 1e-12)
    )
    assert hull.e_above_hull(composition, energy) == pytest.approx(energy - lowest, abs=1e-7)


@settings(max_examples=30, deadline=None)
@given(energies, counts)
def test_a_composition_falls_apart_into_itself(energies, count):
    hull, composition = make(energies), Composition({"V": count[0], "O": count[1]})
    parts = hull.decomposition(composition)
    assert sum(parts.values()) == pytest.approx(1)
    oxygen = sum(x * Composition(name).get_atomic_fraction("O") for name, x in parts.items())
    assert oxygen == pytest.approx(composition.get_atomic_fraction("O"), abs=1e-7)
    energy = sum(x * energies[name] for name, x in parts.items())
    assert hull.e_above_hull(composition, energy) == pytest.approx(0, abs=1e-7)


@given(st.floats(-20, 20), st.floats(-5, 5), st.floats(-5, 5))
def test_distances_ignore_the_zero_of_the_elements(energy, shift_v, shift_o):
    shift = {"V": shift_v, "O": shift_o}

    def shifted(name: str, value: float) -> float:
        amounts = Composition(name).fractional_composition.get_el_amt_dict()
        return value + sum(x * shift[symbol] for symbol, x in amounts.items())

    moved = make({name: shifted(name, value) for name, value in ENERGIES.items()})
    assert moved.e_above_hull("V3O4", shifted("V3O4", energy)) == pytest.approx(
        make(ENERGIES).e_above_hull("V3O4", energy)
    )
    assert moved.formation_energy("V3O4", shifted("V3O4", energy)) == pytest.approx(
        make(ENERGIES).formation_energy("V3O4", energy)
    )


def test_a_phase_below_the_hull_has_a_negative_distance():
    hull = make(ENERGIES)
    assert hull.e_above_hull("VO", -9.9) < 0
    assert hull.e_above_hull("V4O6", ENERGIES["V2O3"]) == pytest.approx(0)
    assert formation_energy(-6.9, "VO", {"V": -9.0, "O": -4.8}) == pytest.approx(0)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.floats(-2, 0.5)), max_size=6),
    st.integers(1, 6),
    st.integers(1, 6),
    st.floats(-3, 1),
)
def test_hull_distances_are_those_of_pymatgen_negative_ones_included(compounds, v, o, energy):
    entries = [HullEntry("V", Composition("V"), -9.0), HullEntry("O", Composition("O2"), -5.0)]
    for number, (x, y, formation) in enumerate(compounds):
        base = (-9.0 * x - 5.0 * y) / (x + y)
        entries.append(HullEntry(f"phase {number}", Composition({"V": x, "O": y}), base + formation))
    diagram = PhaseDiagram([PDEntry(e.composition, e.energy_per_atom * e.composition.num_atoms) for e in entries])
    composition = Composition({"V": v, "O": o})
    per_atom = (-9.0 * v - 5.0 * o) / (v + o) + energy
    candidate = PDEntry(composition, per_atom * (v + o))
    hull = Hull(entries)
    expected = diagram.get_e_above_hull(candidate, allow_negative=True)
    assert hull.e_above_hull(composition, per_atom) == pytest.approx(expected, abs=1e-9)
    formation = diagram.get_form_energy_per_atom(candidate)
    assert hull.formation_energy(composition, per_atom) == pytest.approx(formation, abs=1e-9)


def test_a_ternary_hull_mixes_three_phases():
    hull = make({"V": -9.0, "O2": -4.8, "Ti": -7.8, "VO2": -8.76, "TiO2": -9.4})
    assert hull.decomposition("VTiO4") == pytest.approx({"VO2": 0.5, "TiO2": 0.5})
    assert hull.e_above_hull("VTiO4", -9.08) == pytest.approx(0)
    assert hull.elements == ("O", "Ti", "V")


def test_a_hull_survives_json():
    hull = make(ENERGIES)
    again = Hull.from_dict(json.loads(json.dumps(hull.to_dict())))
    assert again.table() == hull.table()
    assert (again.potential, again.entries) == (hull.potential, hull.entries)


def test_the_table_lists_every_phase():
    table = make(ENERGIES).table()
    assert [row["name"] for row in table] == list(ENERGIES)
    assert min(row["e_above_hull"] for row in table) == pytest.approx(0)
    assert all(sum(row["fractions"].values()) == pytest.approx(1) for row in table)


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="element O"):
        make({"V": -9, "VO2": -8})
    with pytest.raises(InputError, match="has no Ti"):
        make(ENERGIES).e_above_hull("TiO2", -9)
    with pytest.raises(InputError, match="reference energy for O"):
        formation_energy(-9, "VO2", {"V": -9})
    with pytest.raises(InputError, match="two phases named V"):
        Hull([HullEntry("V", Composition("V"), -9), HullEntry("V", Composition("V"), -8)])
    with pytest.raises(InputError, match="nan"):
        make({"V": float("nan")})
    with pytest.raises(InputError, match="none was given"):
        Hull([])


def test_chgnet_places_the_vanadium_oxides():
    """Against a run of chgnet with other settings (fmax 0.03 eV/A): VO2 -2.520, V2O5 -2.329 eV/atom."""
    phases = {phase.name: phase for phase in reference_phases(["V", "O"])}
    chosen = [phases[name] for name in ("V bcc", "O2 molecule", "VO2 rutile", "V2O5")]
    fixed = [phase.molecule for phase in chosen]
    relaxed = relax_many(
        [phase.structure for phase in chosen], "chgnet", RelaxSettings(0.15), workers=1, fixed_cell=fixed
    )
    elemental = {"V": relaxed[0].energy_per_atom, "O": relaxed[1].energy_per_atom}
    found = [formation_energy(r.energy_per_atom, r.structure.composition, elemental) for r in relaxed[2:]]
    np.testing.assert_allclose(found, [-2.520, -2.329], atol=0.01)

    from chgnet.model import CHGNet

    rutile = relaxed[2].structure
    predicted = CHGNet.load(verbose=False, use_device="cpu").predict_structure(rutile)
    assert relaxed[2].energy_per_atom == pytest.approx(float(predicted["e"]), abs=1e-5)
    assert rutile.get_space_group_info(0.05)[0] == "P4_2/mnm"
    assert rutile.lattice.volume == pytest.approx(Lattice.tetragonal(4.523, 3.022).volume, rel=0.01)
