from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from imatgen_flows.energetics.hull import Hull, HullEntry
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.energetics.relax import RelaxSettings, relax_one
from imatgen_flows.errors import InputError
from imatgen_flows.studies.vacancies import (
    Compound,
    RelaxedCandidate,
    cation_and_anion,
    check_controls,
    check_vacancies,
    deficient_cell,
    fill,
    find_voids,
    is_deficient,
    lowest_of_each,
    relax_compounds,
)


class Toy:
    """Relaxations and single points by name with the toy potential, which are counted."""

    def __init__(self, fmax=0.05, max_steps=500):
        self.fmax, self.max_steps = fmax, max_steps
        self.seen: list[str] = []
        self.evaluations = 0

    def relax(self, structures):
        return {name: self._run(name, cell, self.max_steps) for name, cell in structures.items()}

    def single_point(self, structures):
        return {name: self._run(name, cell, 0) for name, cell in structures.items()}

    def _run(self, name, structure, max_steps):
        result = relax_one(structure, get_potential("toy").calculator(), RelaxSettings(self.fmax, max_steps))
        self.seen.append(name)
        self.evaluations += result.evaluations
        return result


def cubic(group, pair, edge, anion):
    return Structure.from_spacegroup(group, Lattice.cubic(edge), list(pair), [[0, 0, 0], [anion] * 3])


def rocksalt(pair=("Mg", "O"), edge=4.1):
    return cubic(225, pair, edge, 0.5)


def without_one(structure, symbol):
    cell = structure.copy()
    cell.remove_sites([next(i for i, site in enumerate(cell) if site.specie.symbol == symbol)])
    return cell


def candidate(structure, toy, name="gap"):
    result = toy.relax({name: structure})[name]
    return RelaxedCandidate(name, result.structure, result.energy_per_atom, 0.1)


def hull(pair=("Mg", "O")):
    return Hull([HullEntry(symbol, Composition(symbol), -1.0) for symbol in pair], potential="toy 1")


@pytest.mark.parametrize(("pair", "edge"), [(("Mg", "O"), 4.1), (("Li", "F"), 3.9), (("Na", "Cl"), 5.5)])
def test_rocksalt_without_a_cation_comes_back_as_rocksalt(pair, edge):
    toy = Toy()
    made = {
        "rocksalt": rocksalt(pair, edge),
        "caesium chloride": cubic(221, pair, edge * 0.65, 0.5),
    }
    compounds, counts = relax_compounds([Compound(name, False, cell) for name, cell in made.items()], toy.relax)
    cation, anion = cation_and_anion(pair[::-1])
    vacant = candidate(without_one(rocksalt(pair, edge), cation), toy)
    assert deficient_cell(vacant.structure, cation, anion) is not None
    before = toy.evaluations
    [check] = check_vacancies([vacant], compounds, hull(pair), cation, toy.relax, toy.single_point)

    assert (check.match, check.match_state, check.match_known) == ("rocksalt", "relaxed", False)
    assert check.rms < 0.02 and abs(check.energy_above_match) < 2e-3
    assert check.filled_formula == f"{cation}4{anion}4" and check.formula == Composition(
        f"{cation}3{anion}4"
    ).formula.replace(" ", "")
    assert check.filled_energy_per_atom < check.unrelaxed_energy_per_atom
    assert check.filled_e_above_hull == pytest.approx(
        hull(pair).e_above_hull(cation + anion, check.filled_energy_per_atom)
    )
    assert check.reason == "" and check.evaluations == toy.evaluations - before > 2
    assert counts.evaluations < before and counts.relaxed_now == 2
    assert Structure.from_str(check.to_dict()["structure"], fmt="cif").matches(rocksalt(pair, edge))


def test_an_anion_vacancy_is_no_cation_vacancy():
    assert deficient_cell(without_one(rocksalt(), "O"), "Mg", "O") is None
    assert deficient_cell(rocksalt(), "Mg", "O") is None


def test_what_equals_no_relaxed_structure_is_compared_with_those_as_made():
    toy, made = Toy(), rocksalt()
    vacant = candidate(without_one(made, "Mg"), toy)
    [as_made] = check_vacancies([vacant], [Compound("B1", True, made)], hull(), "Mg", toy.relax, toy.single_point)
    [nothing] = check_vacancies(
        [vacant], [Compound("B2", True, cubic(221, ("Mg", "O"), 2.7, 0.5))], hull(), "Mg", toy.relax, toy.single_point
    )
    assert (as_made.match, as_made.match_state, as_made.match_known) == ("B1", "as made", True)
    assert as_made.energy_above_match is None
    assert nothing.match == "" and nothing.rms is None and nothing.filled_energy_per_atom is not None


def test_a_published_phase_is_named_before_a_substituted_one_that_equals_it():
    toy, cell = Toy(), rocksalt()
    compounds, counts = relax_compounds(
        [Compound("substituted", False, cell), Compound("published", True, cell * (1, 1, 2))], toy.relax
    )
    assert counts.equal == 1 and toy.seen == ["substituted"]  # each crystal is relaxed once
    relaxed = compounds[0]
    both = [relaxed, Compound("published", True, cell, relaxed.relaxed, relaxed.energy_per_atom)]
    [check] = check_vacancies(
        [candidate(without_one(cell, "Mg"), toy)], both, hull(), "Mg", toy.relax, toy.single_point
    )
    assert check.match == "published"


def test_relaxed_compounds_cost_nothing():
    toy = Toy()
    done = Compound("done", True, None, rocksalt(), -2.0)
    compounds, counts = relax_compounds([done], toy.relax)
    assert compounds == [done] and toy.evaluations == counts.evaluations == 0 and counts.relaxed == 1


def test_what_does_not_relax_gives_its_reason_and_costs_no_other():
    toy, hasty = Toy(), Toy(max_steps=1, fmax=1e-6)
    vacant = candidate(without_one(rocksalt(), "Mg"), toy)
    lone = RelaxedCandidate("lone", without_one(rocksalt() * (1, 1, 2), "Mg"), -2.0, 0.2)

    def relax(structures):
        return hasty.relax({k: v for k, v in structures.items() if k.startswith("gap")}) | toy.relax(
            {k: v for k, v in structures.items() if not k.startswith("gap")}
        )

    failed, fine = check_vacancies([vacant, lone], [], hull(), "Mg", relax, toy.single_point)
    assert failed.reason.startswith("not_converged: largest force") and failed.evaluations > 2
    assert failed.structure is failed.filled_energy_per_atom is failed.filled_e_above_hull is None
    assert failed.match == "" and failed.to_dict()["structure"] is None
    assert fine.reason == "" and fine.filled_energy_per_atom is not None


def test_octahedral_then_tetrahedral_holes_of_a_close_packing():
    a = 4.0
    metal = Structure.from_spacegroup(225, Lattice.cubic(a), ["V"], [[0, 0, 0]]).get_primitive_structure()
    holes = [distance for _, distance in find_voids(metal)]
    assert holes == pytest.approx([a / 2, a * np.sqrt(3) / 4, a * np.sqrt(3) / 4])
    assert [item.distance for item in fill(metal, "O")] == pytest.approx(
        [a / 2, a * np.sqrt(3) / 4]
    )  # two are equivalent


def test_the_place_of_a_missing_atom_is_the_first_void():
    cell = rocksalt() * (2, 1, 1)
    gone = cell[0].frac_coords
    best = fill(without_one(cell, "Mg"), "Mg")[0]
    assert cell.lattice.get_all_distances([best.site], [gone])[0, 0] < 1e-4
    assert best.distance == pytest.approx(2.05)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.floats(2.5, 9)] * 3),
    st.tuples(*[st.floats(60, 120)] * 3).filter(lambda angles: sum(angles) < 330),
    st.integers(1, 5),
    st.integers(0, 999),
)
def test_no_point_of_a_crystal_is_farther_from_its_atoms_than_the_first_void(edges, angles, atoms, seed):
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(*edges, *angles)
    if not np.isfinite(lattice.matrix).all() or lattice.volume < 5:
        return
    crystal = Structure(lattice, ["Mg"] * atoms, rng.random((atoms, 3)))
    voids = find_voids(crystal)
    points = rng.random((300, 3))
    assert lattice.get_all_distances(points, crystal.frac_coords).min(axis=1).max() <= voids[0][1] + 1e-6
    for place, distance in voids:
        assert lattice.get_all_distances([place], crystal.frac_coords).min() == pytest.approx(distance, abs=1e-4)


def test_the_cation_is_the_less_electronegative_element():
    assert cation_and_anion(["O", "V"]) == cation_and_anion(["V", "O"]) == ("V", "O")
    assert cation_and_anion(["N", "C"]) == ("C", "N")


@pytest.mark.parametrize(
    ("system", "said"), [("VON", "V-O-N: .* needs a binary system"), (["Xe", "F"], "do not tell"), ("V", "binary")]
)
def test_a_system_without_one_cation_and_one_anion_is_refused(system, said):
    with pytest.raises(InputError, match=said):
        cation_and_anion(system)


def test_only_a_composition_with_one_cation_less_counts():
    formulas = ("V3O4", "V6O8", "V5O6", "VO2", "V3O5", "VO", "V2O", "O2")
    found = {text: is_deficient(Composition(text), "V", "O") for text in formulas}
    assert [text for text, yes in found.items() if yes] == list(formulas[:4])


def test_a_supercell_is_reduced_and_a_cell_that_lacks_two_is_not_taken():
    vacant = without_one(rocksalt(), "Mg")
    assert deficient_cell(vacant, "Mg", "O").composition == Composition("Mg3O4")
    assert deficient_cell(vacant * (2, 1, 1), "Mg", "O").composition == Composition("Mg3O4")
    other = vacant * (2, 1, 1)
    other.translate_sites([0], [0.06, 0.0, 0.0])
    assert deficient_cell(other, "Mg", "O") is None


def test_the_nearest_to_the_hull_stands_for_its_composition():
    cell = without_one(rocksalt(), "Mg")
    found = [RelaxedCandidate(name, cell, 0.0, distance) for name, distance in (("far", 0.3), ("near", -0.1))]
    found.append(RelaxedCandidate("other", without_one(rocksalt() * (1, 1, 2), "Mg"), 0.0, 0.2))
    assert [item.id for item in lowest_of_each(found)] == ["near", "other"]


@pytest.fixture(scope="module")
def checked():
    """One candidate with its check, and single points in place of relaxations."""
    toy = Toy()
    cell = rocksalt().get_primitive_structure() * (1, 1, 2)
    vacant = RelaxedCandidate("gap", without_one(cell, "Mg"), -1.0, 0.1)
    return check_vacancies([vacant], [], hull(), "Mg", toy.single_point, toy.single_point)


def test_a_control_is_as_many_random_crystals_of_the_same_cell(checked):
    pytest.importorskip("pyxtal")
    toy, cells = Toy(), {}

    def single_point(structures):
        cells.update(structures)
        return toy.single_point(structures)

    one = check_controls(checked, [], hull(), single_point, each=1, seed=3)
    assert [cell.composition.formula for cell in cells.values()] == ["Mg2 O2"] * checked[0].sites
    assert (one[0].id, one[0].cells, one[0].evaluations) == ("gap", checked[0].sites, checked[0].sites)
    assert one[0].filled_energy_per_atom == min(toy.single_point(cells)[name].energy_per_atom for name in cells)
    two = check_controls(checked, [], hull(), single_point, each=2, seed=3)
    assert len(two) == 2 and two[0].to_dict() == one[0].to_dict() != two[1].to_dict() | {"id": "gap"}
    assert check_controls(checked, [], hull(), single_point, each=1, seed=4)[0].to_dict() != one[0].to_dict()


def test_a_control_that_ends_in_a_crystal_of_the_dataset_says_in_which(checked):
    pytest.importorskip("pyxtal")
    toy = Toy()
    [control] = check_controls(checked, [], hull(), toy.single_point, each=1, seed=3)
    compounds = [Compound("other", False, rocksalt(edge=9.0)), Compound("it", True, control.structure)]
    [again] = check_controls(checked, compounds, hull(), toy.single_point, each=1, seed=3)
    assert (control.match, again.match, again.match_known, again.match_state) == ("", "it", True, "as made")


def test_a_control_without_a_random_crystal_is_counted_with_its_reason(checked, monkeypatch):
    pytest.importorskip("pyxtal")
    monkeypatch.setattr("imatgen_flows.sources.random_search.ATTEMPTS", 0)
    [control] = check_controls(checked, [], hull(), Toy().single_point, each=1, seed=3)
    assert (control.cells, control.match, control.evaluations, control.reason) == (0, "", 0, "no_random_crystal")
