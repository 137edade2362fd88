from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.repair import repair
from imatgen_flows.crystals.standard import extent, standardise
from imatgen_flows.crystals.substitution import substitute
from imatgen_flows.crystals.templates import Template, load_templates
from imatgen_flows.errors import InputError


def template(name, spacegroup, lattice, species, coords):
    return Template(name, standardise(Structure.from_spacegroup(spacegroup, lattice, species, coords)), "test")


ROCKSALT = template("rs", "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
PRIMITIVE = Template("rs", standardise(ROCKSALT.structure.get_primitive_structure()), "test")
RUTILE = template("mp-7", "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "F"], [[0, 0, 0], [0.305, 0.305, 0]])
VO = ("V", "O")
PEROVSKITE = template("pv", "Pm-3m", Lattice.cubic(3.9), ["Ba", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]])
CALCITE = Template(
    "calcite",
    standardise(
        Structure.from_spacegroup(
            "R-3c", Lattice.hexagonal(4.99, 17.061), ["Ca", "C", "O"], [[0, 0, 0], [0, 0, 0.25], [0.2578, 0, 0.25]]
        ).get_primitive_structure()
    ),
    "test",
)


@pytest.fixture(scope="module")
def embedded():
    templates, _ = load_templates()
    return templates, *substitute(templates, VO)


def test_every_assignment_of_every_template_is_made_or_left_out_with_a_reason(embedded):
    templates, made, exclusions = embedded
    assert len(made) + len(exclusions) == 2 * len(templates)
    assert len({x.id for x in made} | {x.id for x in exclusions}) == 2 * len(templates)
    assert set(Counter(x.reason for x in exclusions)) <= {"duplicate", "overlap", "edge_too_long", "too_many_sites"}


def test_what_is_made_keeps_every_promise(embedded):
    _, made, _ = embedded
    for each in made:
        crystal = each.structure
        assert set(map(str, crystal.composition.elements)) == {"V", "O"}
        assert len(crystal) <= 20 and max(crystal.lattice.abc) <= 10
        assert extent(crystal) < 15
        assert repair(crystal).dropped == []
        assert np.abs(standardise(crystal).frac_coords - crystal.frac_coords).max() < 1e-6


@pytest.mark.parametrize(("cell", "system"), [(RUTILE, VO), (PEROVSKITE, ("Li", "V", "O"))])
def test_the_order_of_the_elements_changes_nothing(cell, system):
    made = [substitute([cell], order) for order in itertools.permutations(system)]
    assert all(each == made[0] for each in made)


def test_substitution_changes_nothing_but_names_and_scale():
    made, _ = substitute([RUTILE], VO)
    assert [m.id for m in made] == ["mp-7:F=V,Ti=O", "mp-7:F=O,Ti=V"]
    assert {m.template_id for m in made} == {"mp-7"}
    matcher = StructureMatcher(scale=True)
    for each in made:
        assert matcher.fit_anonymous(each.structure, RUTILE.structure)
    vo2 = made[1].structure
    assert vo2.composition.reduced_formula == "VO2"
    assert vo2.volume == pytest.approx(59, rel=0.2)  # A^3, rutile VO2


def test_the_volume_does_not_depend_on_that_of_the_template():
    swollen = Template("big", standardise(_scaled(RUTILE.structure, 3.0)), "test")
    volumes = [[m.structure.volume for m in substitute([t], VO, max_edge=99)[0]] for t in (RUTILE, swollen)]
    assert volumes[0] == pytest.approx(volumes[1], rel=1e-6)


def _scaled(structure, factor):
    lattice = structure.lattice.scale(structure.volume * factor)
    return Structure(lattice, structure.species, structure.frac_coords)


def test_both_assignments_of_a_symmetric_template_count_once():
    made, exclusions = substitute([PRIMITIVE], VO)
    assert len(made) == 1
    assert [(x.reason, x.detail) for x in exclusions] == [("duplicate", f"same structure as {made[0].id}")]


def test_a_template_that_is_given_twice_counts_once():
    made, exclusions = substitute([RUTILE, Template("copy", RUTILE.structure, "test")], VO)
    assert len(made) == 2
    assert [x.reason for x in exclusions] == ["duplicate", "duplicate"]


def test_three_elements_have_six_assignments():
    made, exclusions = substitute([PEROVSKITE], ("Sr", "Ti", "O"))
    assert len(made) + len(exclusions) == math.factorial(3)
    assert "SrTiO3" in {m.structure.composition.reduced_formula for m in made}


def test_a_carbonate_takes_other_metals():
    assert {m.structure.composition.reduced_formula for m in substitute([CALCITE], ("C", "Mg", "O"))[0]} >= {"MgCO3"}


def test_each_limit_has_its_own_reason():
    def reasons(**limits):
        return {x.reason for x in substitute([RUTILE], VO, **limits)[1]}

    assert reasons(max_sites=5) == {"too_many_sites"}
    assert reasons(max_edge=3) == {"edge_too_long"}
    assert reasons(box=2) == {"does_not_fit_box"}
    assert {x.reason for x in substitute([PEROVSKITE], VO)[1]} == {"wrong_number_of_elements"}


def test_templates_are_left_as_they_were():
    before = RUTILE.structure.copy()
    substitute([RUTILE], VO)
    assert RUTILE.structure == before


@pytest.mark.parametrize(("elements", "message"), [(("V", "Ox"), "`Ox` is not"), (("V", "V"), "twice")])
def test_a_system_that_makes_no_sense_is_refused(elements, message):
    with pytest.raises(InputError, match=message):
        substitute([RUTILE], elements)
