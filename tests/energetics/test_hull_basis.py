"""What a hull rests on, in numbers and in words."""

from __future__ import annotations

from pymatgen.core import Composition

from imatgen_flows.energetics.hull import Hull, HullEntry
from imatgen_flows.energetics.hull_basis import SHIPPED, HullBasis

ELEMENTS = [("element", 1, "shipped"), ("element", 1, "")]


def test_compounds_are_counted_by_their_origin_and_nothing_else_is():
    phases = [*ELEMENTS, ("compound", 2, SHIPPED), ("compound", 2, "a.jsonl"), ("compound", 2, "a.jsonl")]
    basis = HullBasis.count(["V", "O"], [*phases, ("substituted", 2, "")])
    assert (basis.published, basis.total, basis.is_published) == ({SHIPPED: 1, "a.jsonl": 2}, 3, True)
    assert basis.sentence() == "The hull rests on 3 published compounds (1 shipped with the program, 2 from a.jsonl)."


def test_without_a_published_compound_nothing_can_lie_below():
    said = HullBasis.count(["Zr", "N"], [*ELEMENTS, ("substituted", 2, "")]).sentence()
    assert said.startswith("No published compound is on the hull") and said.endswith(
        "nothing can be said to lie below it."
    )


def test_compounds_of_smaller_systems_alone_do_not_make_a_discovery():
    basis = HullBasis.count(["Li", "V", "O"], [*ELEMENTS, ("compound", 2, "shipped")])
    assert not basis.is_published and "none of them holds all of Li, V, O" in basis.sentence()


def test_a_run_from_before_origins_were_recorded_is_counted_all_the_same():
    basis = HullBasis.count(["V", "O"], [("compound", 2, "")])
    assert basis.sentence() == "The hull rests on 1 published compound."


def test_a_hull_keeps_the_origin_of_its_phases():
    elements = [HullEntry(symbol, Composition(symbol), 0.0, kind="element") for symbol in ("V", "O")]
    hull = Hull([*elements, HullEntry("VO", Composition("VO"), -1.0, origin="a.jsonl")], "toy 1")
    for again in (Hull.from_dict(hull.to_dict()), Hull.from_table(hull.table(), "toy 1")):
        assert again.basis == hull.basis and again.basis.published == {"a.jsonl": 1}


def test_at_a_pressure_the_hull_is_one_of_enthalpies():
    published = HullBasis.count(["O", "V"], [("compound", 2, "a file")])
    assert published.sentence(10.0) == "The hull at 10 GPa rests on 1 published compound (1 from a file)."
    nothing = HullBasis.count(["O", "V"], [])
    assert nothing.sentence(2.5).startswith("No published compound is on the hull at 2.5 GPa: enthalpies above it")
    assert nothing.sentence(0.0) == nothing.sentence()


def test_where_nothing_was_substituted_it_does_not_compete():
    for phases in (ELEMENTS, [*ELEMENTS, ("compound", 2, "shipped")]):
        assert "substituted" not in HullBasis.count(["Li", "V", "O"], phases).sentence()
    assert "substituted" in HullBasis.count(["Li", "V", "O"], ELEMENTS, substituted=True).sentence()
