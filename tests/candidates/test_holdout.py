"""What is held out is gone, under every name and every assignment; what is not stays."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.holdout import hold_out_compounds, hold_out_prototypes, mark_prototypes
from imatgen_flows.crystals.standard import standardise
from imatgen_flows.crystals.substitution import Substituted, substitute
from imatgen_flows.crystals.templates import Template
from imatgen_flows.matching.grouping import StructureIndex
from imatgen_flows.representation.crystal import pack_roles


def relabelled(structure, *symbols):
    mapping = dict(zip(("V", "O"), symbols, strict=True))
    return Structure(structure.lattice, [mapping[site.specie.symbol] for site in structure], structure.frac_coords)


@pytest.fixture
def templates(prototypes):
    elements = {"rutile": ("Ti", "O"), "fluorite": ("Ca", "F"), "rocksalt": ("Mg", "O"), "zincblende": ("V", "O")}
    return [
        Template(name, standardise(relabelled(prototypes[name], *symbols)), "by hand")
        for name, symbols in elements.items()
    ]


def test_compounds_of_the_system_are_held_out_and_no_others(templates):
    kept, exclusions = hold_out_compounds(templates, ["O", "V"])
    assert [item.id for item in kept] == ["rutile", "fluorite", "rocksalt"]
    assert [(item.id, item.reason) for item in exclusions] == [("zincblende", "held_out")]


def test_no_structure_that_is_left_equals_a_known_and_each_is_counted(templates, prototypes):
    made, _ = substitute(templates, ("V", "O"))
    known = [("rutile VO2", prototypes["rutile"])]
    kept, exclusions = hold_out_prototypes(made, known)
    assert len(kept) + len(exclusions) == len(made)
    index = StructureIndex(known, 0.3, 0.5, 10)
    assert kept and not any(index.find(item.structure) for item in kept)
    assert {item.reason for item in exclusions} == {"held_out_prototype"}
    assert all("equals rutile VO2" in item.detail for item in exclusions)


def test_the_other_assignments_of_a_held_out_template_go_too(templates):
    made, _ = substitute(templates, ("V", "O"))
    rutile = next(item for item in made if item.id == "rutile:O=O,Ti=V")
    _, exclusions = hold_out_prototypes(made, [("x", rutile.structure)])
    gone = {item.id for item in exclusions}
    assert gone == {item.id for item in made if item.template_id == "rutile"} and len(gone) == 2


def test_a_slightly_distorted_prototype_does_not_come_in(prototypes):
    strained = prototypes["rutile"].copy()
    strained.perturb(0.25, seed=1)
    item = Substituted(
        "a:b", Structure(Lattice(strained.lattice.matrix * 1.05), strained.species, strained.frac_coords), "a"
    )
    kept, _ = hold_out_prototypes([item], [("rutile VO2", prototypes["rutile"])])
    assert not kept


def test_prototypes_are_marked_in_any_elements_roles_and_volume(templates, prototypes):
    perovskite = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.9), ["Sr", "Ti", "O"], [[0.5] * 3, [0] * 3, [0.5, 0, 0]]
    )
    larger = relabelled(prototypes["rutile"], "Zr", "S")
    larger.scale_lattice(2 * larger.volume)
    anti = relabelled(prototypes["rutile"], "N", "Ti")
    structures = [template.structure for template in templates] + [perovskite, standardise(larger), standardise(anti)]
    assert mark_prototypes(pack_roles(structures, 5), [prototypes["rutile"]]).tolist() == [True] + 4 * [False] + 2 * [
        True
    ]
    assert mark_prototypes(pack_roles(structures, 5), [perovskite]).tolist() == 4 * [False] + [True] + 2 * [False]
    assert not mark_prototypes(pack_roles(structures, 5), []).any()
