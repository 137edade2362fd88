"""Sources of candidates: all fill the same target cells, and each keeps to its own rule."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.distances import shortest_distance
from imatgen_flows.crystals.repair import repair
from imatgen_flows.crystals.shortest_distances import minimum_distances
from imatgen_flows.crystals.volumes import expected_volume
from imatgen_flows.errors import InputError
from imatgen_flows.sources.generator import choose_generated
from imatgen_flows.sources.proposal import Generated, Proposal, SourceContext, redraw_known
from imatgen_flows.sources.random_search import draw_crystals, propose_random_cells, volume_ratio
from imatgen_flows.sources.rattled import DISPLACEMENT, rattle, rattle_proposals
from imatgen_flows.sources.registry import RANDOM_SEARCH, SOURCES
from imatgen_flows.sources.search import RelaxedCrystal, SearchContext, SearchSpace
from imatgen_flows.sources.substitution import propose_substituted
from imatgen_flows.sources.target_cell import CellRange, TargetCell, anion_ratio


def target(**atoms):
    return TargetCell(tuple(sorted(atoms.items())))


def rutile(stretch=1.0, repeat=1):
    cell = Structure.from_spacegroup(
        136, Lattice.tetragonal(4.6, 2.9 * stretch), ["V", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    return cell * (1, 1, repeat)


def fluorite():
    return Structure.from_spacegroup(225, Lattice.cubic(5.0), ["V", "O"], [[0, 0, 0], [0.25] * 3])


# Target cells


def test_a_target_has_its_formula_and_its_strata():
    asked = target(V=4, O=7)
    assert (asked.formula, asked.n_sites, asked.ratio_class, asked.size_class) == ("V4O7", 11, "1.5 to 2", "10-14")
    assert TargetCell.of(rutile(repeat=3)) == target(V=6, O=12)
    assert target(V=6, O=12).ratio_class == "2 and over" and target(V=6, O=12).size_class == "15-20"
    assert target(V=3, O=4).ratio_class == "under 1.5" and target(V=3, O=4).size_class == "under 10"


def test_anions_are_the_most_electronegative_element_of_any_system():
    assert anion_ratio(target(Li=2, Ti=1, O=3).composition) == 1.0
    assert anion_ratio(target(Al=1, Ni=3).composition) == 3.0
    assert anion_ratio(target(O=4).composition) == float("inf")


def test_a_range_is_on_the_sites_and_on_the_anions():
    assert CellRange(6, 12, 2.0).admit(rutile()) and CellRange(6, 12, 2.0).admit(rutile(repeat=2))
    assert not CellRange(7, 12, 1.0).admit(rutile())
    assert not CellRange(2, 11, 1.0).admit(rutile(repeat=2))
    assert not CellRange(6, 12, 2.1).admit(rutile())


# The generator


def test_the_choice_among_generated_candidates_is_reproducible_grows_with_their_number_and_takes_no_duplicate():
    cells = [rutile(), fluorite(), rutile(1.001), rutile(repeat=2), fluorite()]
    for edge in np.linspace(3, 6, 8):
        cells.append(
            Structure(Lattice.orthorhombic(3, edge, 7), ["V", "O", "O"], [[0, 0, 0], [0.5] * 3, [0, 0.4, 0.2]])
        )
    candidates = [Generated(f"s{i}", "slerp", cell) for i, cell in enumerate(cells)]
    wide = CellRange(1, 30, 0)
    every = choose_generated(candidates, wide, 100, seed=1)
    assert {"s2", "s3", "s4"}.isdisjoint(item.sample for item in every)  # equal to s0, s0 and s1
    assert choose_generated(candidates, wide, 3, seed=1) == every[:3]
    assert choose_generated(candidates, wide, 100, seed=2) != every
    assert {item.sample for item in choose_generated(candidates, CellRange(6, 30, 0), 100, seed=1)} <= {"s0", "s1"}


def test_clean_decodes_come_first_where_that_is_asked_and_all_others_after_them():
    cells = [Structure(Lattice.cubic(edge), ["V", "O"], [[0] * 3, [0.5] * 3]) for edge in np.linspace(3, 6, 8)]
    candidates = [Generated(f"s{i}", "prior", cell, clean=i % 3 == 0) for i, cell in enumerate(cells)]
    wide = CellRange(1, 30, 0)
    plain = choose_generated(candidates, wide, 8, seed=1)
    ordered = choose_generated(candidates, wide, 8, seed=1, clean_first=True)
    assert [item.clean for item in ordered] == sorted((item.clean for item in plain), reverse=True)
    assert [item for item in plain if item.clean] == [item for item in ordered if item.clean]  # random among themselves
    assert choose_generated(candidates, wide, 3, seed=1, clean_first=True) == ordered[:3]


# Substitution


def test_substitution_proposes_the_same_cells_where_it_has_them():
    crystals = {"a": rutile(), "b": rutile(repeat=2), "c": fluorite(), "d": rutile(1.2)}
    asked = [target(V=2, O=4), target(V=4, O=8), target(V=2, O=4)]
    found = propose_substituted(asked, SourceContext(substituted=crystals), 0)
    assert [TargetCell.of(item.structure) for item in found] == asked
    assert {found[0].name, found[2].name} == {"a", "d"} and found[1].name in "bc"
    assert all(item.as_asked for item in found)
    assert propose_substituted(asked, SourceContext(substituted=crystals), 0) == found


def test_where_a_formula_runs_out_another_of_its_stratum_stands_in_and_none_is_taken_twice():
    crystals = {"big": fluorite(), "small": rutile(), "other": rutile(1.2)}
    asked = [target(V=2, O=5), target(V=2, O=4), target(V=1, O=2), target(V=1, O=2), target(V=3, O=4)]
    found = propose_substituted(asked, SourceContext(substituted=crystals), 0)
    stands_in, exact, *empty = found
    assert not stands_in.as_asked and exact.as_asked
    assert {stands_in.name, exact.name} == {"small", "other"}  # "big" is of another size
    assert empty == [None, None, None]


# Rattling


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_rattling_keeps_the_atoms_and_keeps_them_apart(seed):
    before = rutile()
    after = rattle(before, np.random.default_rng(seed))
    assert after.species == before.species and len(after) == len(before)
    assert 0.7 < after.volume / before.volume < 1.4
    assert repair(after).dropped == []


def test_rattling_displaces_by_half_an_angstrom_in_all():
    roomy = Structure(Lattice.cubic(40), ["V"] * 64, np.array(list(np.ndindex(4, 4, 4))) / 4)
    after = rattle(roomy, np.random.default_rng(0))
    moved = after.frac_coords - roomy.frac_coords
    lengths = np.linalg.norm((moved - np.rint(moved)) @ after.lattice.matrix, axis=1)
    assert abs(np.sqrt((lengths**2).mean()) - DISPLACEMENT) < 0.08


def test_rattling_follows_its_seed_and_the_proposals_before_it():
    given = [Proposal("a", rutile()), None, Proposal("b", rutile(), as_asked=False)]
    found = rattle_proposals(given, seed=3)
    assert [item and item.name for item in found] == ["a", None, "b"]
    assert not found[2].as_asked
    assert rattle_proposals(given, seed=3) == found
    assert found[0].structure != found[2].structure != given[2].structure
    assert rattle_proposals(given, seed=4)[0].structure != found[0].structure


def test_a_crystal_too_dense_to_be_rattled_is_given_up():
    dense = Structure(Lattice.cubic(1.5), ["V", "O"], [[0, 0, 0], [0.5] * 3]) * (2, 2, 2)
    assert rattle_proposals([Proposal("dense", dense)], seed=0) == [None]


# Random search

CELLS = [target(V=4, O=8), target(V=5, O=9), target(V=6, O=12), target(Cu=3, Al=9), target(Cs=2, Sn=1, Br=6)]


def test_random_crystals_have_the_formula_the_volume_and_the_distances_that_are_asked_for():
    pytest.importorskip("pyxtal")
    for asked, found in zip(CELLS, draw_crystals(CELLS, seed=7), strict=True):
        crystal = found.structure
        assert TargetCell.of(crystal) == asked and found.as_asked
        assert crystal.volume == pytest.approx(expected_volume(asked.composition), rel=1e-6)
        assert len(crystal.get_primitive_structure(tolerance=1e-3)) == asked.n_sites
        matrix = crystal.distance_matrix
        limits = minimum_distances([site.specie.symbol for site in crystal])
        apart = ~np.eye(len(crystal), dtype=bool)
        assert (matrix[apart] > limits[apart] - 1e-3).all()
        own = limits.diagonal().min()
        assert shortest_distance(crystal) > min(own, matrix[matrix > 0].min()) - 1e-3


@pytest.mark.parametrize(("pressure", "expected"), [(0.0, 1.0), (50.0, 0.8)])
def test_random_crystals_are_drawn_at_the_volume_of_crystals_relaxed_at_the_pressure(pressure, expected):
    pytest.importorskip("pyxtal")
    relaxed = []
    for number, ratio in enumerate((0.5, 0.8, 0.9)):
        crystal = rutile()
        crystal.scale_lattice(ratio * expected_volume(crystal.composition))
        relaxed.append(RelaxedCrystal(f"rutile {number}", crystal, 0.0))
    metal = Structure(Lattice.cubic(2.0), ["V"], [[0, 0, 0]])  # an element says nothing of compounds
    relaxed += [RelaxedCrystal(f"V {number}", metal, 0.0) for number in range(9)]
    space = SearchSpace(("V", "O"), pressure=pressure)
    context = SearchContext(
        space, {"fluorite": fluorite().get_primitive_structure(), "rutile": rutile()}, relaxed=relaxed
    )
    drawn = [candidate.structure for candidate in propose_random_cells(context, 4, seed=1)]
    assert [c.volume / expected_volume(c.composition) for c in drawn] == pytest.approx([expected] * 4, rel=1e-6)
    filled = SOURCES[RANDOM_SEARCH].load_filler()([target(V=2, O=4)], SourceContext(volume_ratio=expected), 1)[0]
    assert filled.structure.volume == pytest.approx(expected * expected_volume(filled.structure.composition), rel=1e-6)


def test_without_a_relaxed_compound_elements_say_how_a_pressure_changes_volumes():
    metal = Structure(Lattice.cubic(1.0), ["V"], [[0, 0, 0]])
    metal.scale_lattice(0.7 * expected_volume(metal.composition))
    assert volume_ratio(50.0, ["V", "O"], [metal]) == pytest.approx(0.7)
    assert volume_ratio(50.0, ["V", "O"], []) == 1.0


def test_random_crystals_follow_their_seed_and_differ_from_each_other():
    pytest.importorskip("pyxtal")
    asked = [target(V=4, O=8)] * 6
    found = draw_crystals(asked, seed=1)
    assert draw_crystals(asked[:3], seed=1) == found[:3]
    assert len({item.name for item in found}) > 3
    assert draw_crystals(asked, seed=2) != found


def test_every_source_fills_the_same_targets_and_follows_its_seed():
    pytest.importorskip("pyxtal")
    crystals = {"a": rutile(), "b": rutile(repeat=2), "c": fluorite(), "d": rutile(1.2)}
    asked = [target(V=2, O=4), target(V=4, O=8), target(V=4, O=8), target(V=2, O=4)]
    one, two = Generated("s0", "slerp", rutile()), Generated("s1", "prior", rutile(repeat=2))
    context = SourceContext([one, two, two, one], crystals)
    for source in (one for one in SOURCES if one.filler):
        propose = source.load_filler()
        found = propose(asked, context, 0)
        assert [TargetCell.of(item.structure) for item in found] == asked, source.name
        assert all(item.as_asked for item in found) and propose(asked, context, 0) == found, source.name


def test_a_source_that_draws_redraws_what_is_known():
    pytest.importorskip("pyxtal")
    crystals, asked = {"a": rutile(), "d": rutile(1.2)}, [target(V=2, O=4)] * 2
    first = {
        name: SOURCES[name].load_filler()(asked, SourceContext(substituted=crystals), 0)
        for name in ("rattled", RANDOM_SEARCH)
    }
    for name, found in first.items():
        known = {found[0].structure.volume}
        context = SourceContext(
            substituted=crystals, is_new=lambda structure, known=known: structure.volume not in known
        )
        again = SOURCES[name].load_filler()(asked, context, 0)
        assert again[0].structure != found[0].structure and again[1] == found[1]


def test_without_pyxtal_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyxtal", None)
    with pytest.raises(
        InputError, match=r"random search needs PyXtal: `pip install 'imatgen-flows\[search\]'`.*`random_search`"
    ):
        SOURCES[RANDOM_SEARCH].check()
    with pytest.raises(InputError, match="PyXtal"):
        draw_crystals(CELLS, seed=0)


def test_proposals_are_redrawn_until_they_are_new_and_given_up_where_none_is():
    one, two = rutile(), rutile(1.1)
    known = {one.volume}

    def propose(asked, seed):
        """Propose nothing for "none", and a known structure for the others in the first draw."""
        return [
            None if name == "none" else Proposal(name, one if name == "stuck" or seed < 100_000 else two)
            for name in asked
        ]

    found = redraw_known(propose, ["a", "none", "stuck"], 0, lambda structure: structure.volume not in known)
    assert [item and item.structure for item in found] == [two, None, None]
    assert [item and item.structure for item in redraw_known(propose, ["a"], 0, lambda _: True)] == [one]
