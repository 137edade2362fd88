"""The genetic algorithm: what its population holds, what its children keep to, and that it finds something."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from imatgen_flows.crystals.charge_balance import is_charge_balanced
from imatgen_flows.crystals.distances import periodic_distances
from imatgen_flows.crystals.shortest_distances import minimum_distances
from imatgen_flows.crystals.standard import primitive_cell, standardise
from imatgen_flows.crystals.volumes import expected_volume
from imatgen_flows.energetics.relax import RelaxSettings, relax_one
from imatgen_flows.energetics.toy import ToyCalculator
from imatgen_flows.errors import InputError
from imatgen_flows.matching.grouping import group_duplicates
from imatgen_flows.sources.crossover import cut_and_splice
from imatgen_flows.sources.genetic import OPERATORS, VOLUME, bring_within, propose_offspring
from imatgen_flows.sources.mutations import move_softly, permute, rattle_some, strain, transmute
from imatgen_flows.sources.operator_limits import BoundedRandom, OperatorLimits, OutOfDrawsError
from imatgen_flows.sources.population import COLDEST, FEW, NICHE, SIZE, make_population
from imatgen_flows.sources.random_search import draw_crystals
from imatgen_flows.sources.search import RelaxedCrystal, SearchContext, SearchSpace
from imatgen_flows.sources.search_limits import nearest_permitted
from imatgen_flows.sources.target_cell import TargetCell

SPACE = SearchSpace(("V", "O"), min_sites=2, max_sites=16, max_edge=9.0)
MUTATIONS = [permute, strain, rattle_some, move_softly, transmute]


def crystal(group, lattice, symbols, places):
    return Structure.from_spacegroup(group, lattice, symbols, places)


def rutile(metal="V", anion="O"):
    return crystal(136, Lattice.tetragonal(4.6, 2.9), [metal, anion], [[0, 0, 0], [0.305, 0.305, 0]])


def halite(metal="V", anion="O"):
    return crystal(225, Lattice.cubic(4.2), [metal, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def corundum(metal="V", anion="O"):
    return crystal(167, Lattice.hexagonal(4.95, 14.0), [metal, anion], [[0, 0, 0.346], [0.312, 0, 0.25]])


def bcc(metal="V"):
    return crystal(229, Lattice.cubic(3.0), [metal], [[0, 0, 0]])


def fluorite():
    return crystal(225, Lattice.cubic(5.0), ["V", "O"], [[0, 0, 0], [0.25] * 3])


PHASES = (
    RelaxedCrystal("corundum", corundum(), 0.0),
    RelaxedCrystal("metal", bcc(), 0.0),
    RelaxedCrystal("rutile", rutile(), 0.01),
    RelaxedCrystal("halite", halite(), 0.08),
    RelaxedCrystal("fluorite", fluorite(), 0.2),
)
CONTEXT = SearchContext(SPACE, relaxed=PHASES)


@pytest.fixture(scope="module")
def children():
    return propose_offspring(CONTEXT, 60, seed=0)


def as_plain(candidates):
    return [
        (c.made_by, c.parents, c.structure.lattice.matrix.tolist(), c.structure.frac_coords.tolist())
        for c in candidates
    ]


def is_apart(structure):
    limits = minimum_distances([site.specie.symbol for site in structure])
    return bool((periodic_distances(structure.lattice, structure.cart_coords) >= limits).all())


# Choices of the seed alone


def test_the_seed_decides_every_choice(children):
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert as_plain(propose_offspring(CONTEXT, 60, seed=0)) == as_plain(children)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert as_plain(propose_offspring(CONTEXT, 60, seed=1)) != as_plain(children)


def test_the_order_of_what_was_relaxed_does_not_matter(children):
    assert as_plain(propose_offspring(replace(CONTEXT, relaxed=PHASES[::-1]), 60, seed=0)) == as_plain(children)


def test_proposing_leaves_the_context_and_the_working_directory_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = [phase.structure.copy() for phase in PHASES]
    propose_offspring(CONTEXT, 20, seed=3)
    assert [phase.structure for phase in PHASES] == before and not list(tmp_path.iterdir())


def test_an_operator_that_draws_too_often_is_stopped():
    random = BoundedRandom(np.random.default_rng(0), draws=3)
    assert len({random.random() for _ in range(3)}) == 3
    with pytest.raises(OutOfDrawsError):
        random.randint(3)


# Children


def test_children_lie_within_the_space(children):
    assert len(children) == 60
    for child in children:
        structure = child.structure
        assert {e.symbol for e in structure.composition} == {"V", "O"}
        assert SPACE.min_sites <= len(structure) <= SPACE.max_sites and max(structure.lattice.abc) <= SPACE.max_edge
        assert is_apart(structure)
        assert 1 / VOLUME <= structure.volume / expected_volume(structure.composition) * (1 + 1e-9) <= VOLUME * 1.001
        assert standardise(structure) == structure and len(primitive_cell(structure)) == len(structure)


def test_children_equal_neither_each_other_nor_what_was_relaxed(children):
    everything = [phase.structure for phase in PHASES] + [child.structure for child in children]
    assert group_duplicates(everything) == list(range(len(everything)))


def test_children_say_how_they_were_made_and_of_whom(children):
    names = {phase.name for phase in PHASES}
    for child in children:
        assert child.made_by in {operator.name for operator in OPERATORS} and set(child.parents) <= names
        assert len(set(child.parents)) == len(child.parents) == (2 if child.made_by == "cut and splice" else 1)


def test_children_of_the_lowest_parents_come_first(children):
    energy = {phase.name: phase.e_above_hull for phase in PHASES}
    means = [np.mean([energy[parent] for parent in child.parents]) for child in children]
    assert means == sorted(means)


def test_every_operator_occurs_in_its_share(children):
    counts = Counter(child.made_by for child in children)
    assert set(counts) == {operator.name for operator in OPERATORS}
    assert 18 <= counts["cut and splice"] <= 44  # half, with more than three standard deviations


def test_children_have_compositions_that_no_parent_has(children):
    known = {phase.structure.composition.reduced_formula for phase in PHASES}
    assert len({child.structure.composition.reduced_formula for child in children} - known) >= 5


def test_an_element_enters_by_a_mate_of_a_subsystem(children):
    assert any("metal" in child.parents for child in children)
    assert all(child.made_by == "cut and splice" for child in children if "metal" in child.parents)


@pytest.mark.parametrize("formulas", [("VO2",), ("V2O3", "V3O5")])
def test_a_list_of_compositions_holds(formulas):
    wanted = tuple(Composition(formula) for formula in formulas)
    found = propose_offspring(replace(CONTEXT, space=replace(SPACE, compositions=wanted)), 15, seed=0)
    assert len(found) == 15
    assert {child.structure.composition.reduced_formula for child in found} == set(formulas)


def test_unbalanced_children_are_left_out_where_charge_counts(children):
    strict = replace(CONTEXT, space=replace(SPACE, charge="reject"))
    assert all(is_charge_balanced(c.structure.composition) for c in propose_offspring(strict, 30, seed=0))
    assert not all(is_charge_balanced(c.structure.composition) for c in children)


def test_three_elements_come_together_though_most_phases_have_two():
    phases = [RelaxedCrystal("a", rutile("Ti"), 0.0), RelaxedCrystal("b", halite("Mg"), 0.0)]
    phases.append(RelaxedCrystal("c", halite("Ti"), 0.1))
    space = SearchSpace(("Mg", "Ti", "O"), max_sites=14, max_edge=10, charge="reject")
    found = propose_offspring(SearchContext(space, relaxed=phases), 12, seed=0)
    assert len(found) == 12
    assert all({e.symbol for e in c.structure.composition} == {"Mg", "Ti", "O"} for c in found)


def test_a_space_without_room_ends_with_nothing():
    assert propose_offspring(replace(CONTEXT, space=replace(SPACE, max_edge=2.0)), 5, seed=0) == []
    # halite fits, but nothing that is made of it: of two sites and three elements there is no crystal
    phases = [*PHASES, RelaxedCrystal("other", halite("Ti"), 0.0)]
    cramped = SearchSpace(("V", "Ti", "O"), max_sites=2, max_edge=3.1)
    assert propose_offspring(SearchContext(cramped, relaxed=phases), 5, seed=0) == []


def test_nothing_known_gives_nothing():
    assert propose_offspring(SearchContext(SPACE), 5, seed=0) == []
    assert propose_offspring(CONTEXT, 0, seed=0) == []
    other = SearchContext(SPACE, relaxed=[RelaxedCrystal("salt", halite("Na", "Cl"), 0.0)])
    assert propose_offspring(other, 5, seed=0) == []


def test_without_ase_ga_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ase_ga", None)
    with pytest.raises(InputError, match=r"ase-ga: `pip install 'imatgen-flows\[search\]'`"):
        propose_offspring(CONTEXT, 1, seed=0)


# Operators


@pytest.mark.parametrize("mutate", MUTATIONS)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), parent=st.sampled_from([rutile(), halite(), corundum()]))
def test_a_mutation_leaves_its_parent_and_holds_its_atoms(mutate, seed, parent):
    parent = standardise(primitive_cell(parent))
    before, limits = parent.copy(), OperatorLimits(SPACE)

    def once():
        try:
            return mutate(parent, limits, np.random.default_rng(seed))
        except OutOfDrawsError:
            return None

    child, again = once(), once()
    assert parent == before and child == again
    if child is not None:
        assert len(child) % len(parent) == 0 and len(child) <= SPACE.max_sites
        assert child.volume / len(child) == pytest.approx(parent.volume / len(parent))
        assert mutate is transmute or child.composition.reduced_formula == parent.composition.reduced_formula


def test_parents_of_one_formula_keep_it_and_others_mix():
    limits, formulas = OperatorLimits(SPACE), {"alike": set(), "other": set()}
    one, pairs = standardise(rutile()), {"alike": fluorite(), "other": corundum()}
    for seed in range(60):
        for name, other in pairs.items():
            mate = standardise(primitive_cell(other))
            child = cut_and_splice(one, mate, 10.0, limits, np.random.default_rng(seed))
            if child:
                formulas[name].add(child.composition.reduced_formula)
    assert formulas["alike"] == {"VO2"} and len(formulas["other"]) > 3


def test_soft_mutation_has_no_valence_of_lanthanides_and_then_gives_nothing():
    limits = OperatorLimits(SearchSpace(("Sm", "O")))
    assert move_softly(rutile("Sm"), limits, np.random.default_rng(0)) is None


def test_crystals_of_one_element_have_no_permutation_and_no_transmutation():
    limits = OperatorLimits(SearchSpace(("V",)))
    assert permute(bcc(), limits, np.random.default_rng(0)) is None
    assert transmute(bcc(), limits, np.random.default_rng(0)) is None
    alone = SearchContext(
        SearchSpace(("V",), max_sites=8),
        relaxed=[RelaxedCrystal("bcc", bcc(), 0.0)],
    )
    assert {child.made_by for child in propose_offspring(alone, 6, seed=0)} <= {"strain", "rattle", "soft mutation"}


def test_a_crystal_is_brought_within_the_space_or_left_out():
    found = bring_within(rutile() * (1, 1, 2), SPACE)
    assert len(found) == 6 and found.volume == pytest.approx(expected_volume(found.composition))
    assert bring_within(bcc(), SPACE) is None
    assert bring_within(rutile(), replace(SPACE, min_sites=7)) is None
    assert bring_within(rutile(), replace(SPACE, max_edge=4.0)) is None
    near = rutile()
    near.translate_sites([0], [0.25, 0.25, 0])
    assert bring_within(near, SPACE) is None


def test_contents_near_those_of_a_cut_are_found_with_the_fewest_changes():
    strict = replace(SPACE, charge="reject")
    assert nearest_permitted(SPACE, (4, 7)) == (4, 7)
    assert nearest_permitted(SPACE, (4, 0)) == (4, 1)
    assert strict.permits(Composition("V2O5")) and not strict.permits(Composition("VO3"))
    assert nearest_permitted(strict, (2, 7)) == (3, 7)  # neither V2O7 nor V2O6 is balanced
    assert nearest_permitted(replace(SPACE, compositions=(Composition("VO2"),)), (4, 7)) == (4, 8)
    assert nearest_permitted(replace(SPACE, min_sites=16), (1, 1)) is None


# Population


def test_equal_crystals_count_once_and_the_lowest_stands_for_them():
    again = [RelaxedCrystal(f"again {n}", rutile() * (1, 1, 1 + n % 2), 0.3 + n) for n in range(4)]
    lower = RelaxedCrystal("lower", rutile(), -0.01)
    names = [parent.name for parent in make_population(replace(CONTEXT, relaxed=(*again, *PHASES, lower))).members]
    assert names == ["lower", "corundum", "halite", "fluorite"]


def test_other_compositions_are_mates_and_other_systems_are_neither():
    salt = RelaxedCrystal("salt", halite("Na", "Cl"), 0.0)
    lost = RelaxedCrystal("lost", halite(), float("nan"))
    population = make_population(replace(CONTEXT, relaxed=(*PHASES, salt, lost)))
    assert [parent.name for parent in population.mates] == ["metal"]
    assert {parent.name for parent in population.members} == {"corundum", "rutile", "halite", "fluorite"}


def random_phases(number, cells=((2, 4),), seed=0):
    """Make crystals that nothing relaxed, no two of them equal."""
    random, found = np.random.default_rng(seed), []
    for index in range(number):
        metals, anions = cells[index % len(cells)]
        lattice = Lattice.from_parameters(*random.uniform(4, 6, 3), *random.uniform(75, 105, 3))
        places = random.random((metals + anions, 3))
        structure = Structure(lattice, ["V"] * metals + ["O"] * anions, places)
        found.append(RelaxedCrystal(f"random {index}", structure, float(random.uniform(0, 0.5))))
    return found


def test_no_composition_takes_over():
    crowd = random_phases(80)
    population = make_population(replace(CONTEXT, relaxed=(*PHASES, *crowd)))
    counts = Counter(parent.formula for parent in population.members)
    assert counts["VO2"] == NICHE and counts["V2O3"] == counts["VO"] == 1
    alone = make_population(SearchContext(replace(SPACE, compositions=(Composition("VO2"),)), relaxed=crowd))
    assert len(alone.members) == SIZE
    energies = [parent.energy for parent in alone.members]
    assert energies == sorted(energies) and max(energies) < max(phase.e_above_hull for phase in crowd)


def test_parents_near_the_hull_are_drawn_more_often_and_compositions_share():
    population = make_population(CONTEXT)
    random = np.random.default_rng(0)
    counts = Counter(population.draw(random).name for _ in range(4000))
    assert counts["corundum"] > counts["halite"] > counts["fluorite"] / 2 > 0
    weights = population.weights(population.members)
    assert weights.sum() == pytest.approx(1)
    expected = dict(zip((parent.name for parent in population.members), 4000 * weights, strict=True))
    for name, count in counts.items():
        assert abs(count - expected[name]) < 5 * np.sqrt(expected[name])  # five standard deviations
    # rutile is 0.01 above corundum, and shares its composition with fluorite
    temperature = max(COLDEST, np.median([0.0, 0.01, 0.08, 0.2]))
    assert weights[1] / weights[0] == pytest.approx(np.exp(-0.01 / temperature) / 2)


def test_the_dataset_fills_up_what_was_not_relaxed_the_lowest_first():
    phases = random_phases(40, cells=((2, 4), (2, 3), (1, 1), (4, 5), (1, 3), (3, 5)))
    dataset = {phase.name: phase.structure for phase in phases}
    energies = {phase.name: phase.e_above_hull for phase in phases[:30]}
    context = SearchContext(SPACE, dataset=dataset, energies=energies)
    members = make_population(context).members
    assert len(members) == FEW and all(parent.name in energies for parent in members)
    assert [parent.energy for parent in members] == sorted(energies[parent.name] for parent in members)
    assert min(energies, key=energies.get) == members[0].name
    found = propose_offspring(context, 10, seed=0)
    assert len(found) == 10 and {name for child in found for name in child.parents} <= set(dataset)
    both = make_population(replace(context, relaxed=PHASES)).members
    assert [parent.name for parent in both[:4]] == ["corundum", "rutile", "halite", "fluorite"] and len(both) == FEW


# A search


def relax(structures):
    """Relax with the toy potential; energies in eV/atom, after 40 steps at most."""
    calculator, short = ToyCalculator(), RelaxSettings(fmax=0.3, max_steps=40)
    results = [relax_one(structure, calculator, short) for structure in structures]
    return [(r.structure, r.energy_per_atom) for r in results if r.structure is not None]


@pytest.mark.slow
def test_children_relax_lower_than_random_crystals_at_an_equal_number_of_relaxations():
    cell = TargetCell((("O", 8), ("V", 4)))
    space = SearchSpace(("V", "O"), min_sites=12, max_sites=12, max_edge=15.0, compositions=(Composition("VO2"),))
    draws = relax([proposal.structure for proposal in draw_crystals([cell] * 28, seed=1) if proposal])
    first, others = draws[:12], [energy for _, energy in draws[12:]]
    found = list(first)
    for generation in range(2):
        known = [RelaxedCrystal(f"{place}", *result) for place, result in enumerate(found)]
        children = propose_offspring(SearchContext(space, relaxed=known), 8, seed=generation)
        found += relax([child.structure for child in children])
    offspring = [energy for _, energy in found[12:]]
    assert len(offspring) == len(others) == 16
    # the lowest of so few is luck; half of the children lie lower than half of the random crystals in every run that was made
    assert np.median(offspring) < np.median(others) - 0.1  # eV/atom
