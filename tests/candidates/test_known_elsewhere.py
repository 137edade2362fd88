"""What is known of a candidate: the nearest known crystal, its prototype, and what each provider says, if anything."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.known_elsewhere import (
    TIGHT,
    KnownCrystals,
    NearestKnown,
    classify_tightly,
    describe_known,
)
from imatgen_flows.candidates.novelty import NoveltyClassifier, classify_relaxed
from imatgen_flows.crystals.elsewhere import Answer
from imatgen_flows.crystals.prototype_index import PrototypeIndex


@pytest.fixture(scope="module")
def known(prototypes):
    return {name: prototypes[name] for name in ("rutile", "fluorite", "rocksalt", "zincblende")}


def test_another_description_of_a_known_crystal_has_it_as_the_nearest_at_no_distance(known, redescribe):
    rng, nearest = np.random.default_rng(2), NearestKnown(known)
    for name, structure in known.items():
        found, distance = nearest.find(redescribe(structure, rng))
        assert found == name and distance == pytest.approx(0, abs=1e-9)
        found, distance = nearest.find(structure.copy().perturb(0.03, seed=1))
        assert found == name and 0 < distance < 0.01


def test_the_nearest_is_of_the_same_formula_even_where_another_is_nearer(known, prototypes):
    name, distance = NearestKnown(known).find(prototypes["caesium chloride"])
    assert name in {"rocksalt", "zincblende"} and distance > 0.05


def test_without_a_crystal_of_the_formula_elements_take_the_roles_of_others(known):
    swapped = {"V": "O", "O": "V"}
    anti = known["fluorite"].copy()
    anti.replace_species(swapped)  # V2O as antifluorite: no known crystal has this formula
    name, distance = NearestKnown(known).find(anti)
    assert name == "fluorite" and distance == pytest.approx(0, abs=1e-9)
    assert NearestKnown(known).find(Structure(Lattice.cubic(3), ["V"], [[0] * 3])) is None


def test_tight_tolerances_tell_apart_what_the_defaults_call_equal(prototypes):
    rutile = prototypes["rutile"]
    stretched = rutile.copy()
    stretched.apply_strain([0, 0, 0.22])
    crystals = {"stretched": stretched, "itself": rutile.copy().perturb(0.02, seed=1)}
    plain = classify_relaxed(list(crystals.values()), list(crystals), NoveltyClassifier({"VO2": rutile}, {}))
    tight = classify_tightly(crystals, NoveltyClassifier({"VO2": rutile}, {}, **TIGHT))
    assert [row["novelty"] for row in plain] == ["known", "duplicate"]
    assert [(row["tight_novelty"], row["tight_match"]) for row in tight] == [("new", ""), ("known", "VO2")]


@pytest.fixture(scope="module")
def described(known, prototypes):
    """Two candidates, beside three providers: one holds the first, one answered, one did not."""
    candidates = {"one": prototypes["caesium chloride"], "two": prototypes["rutile"].copy().perturb(0.05, seed=2)}
    answers = [
        Answer("mp", ordered={"mp-19094": prototypes["rutile"]}),
        Answer("https://a.org", ordered={"https---a.org-7": prototypes["caesium chloride"]}, unread=3),
        Answer("oqmd", fault="OPTIMADE provider `oqmd` sent 3 of the 12 entries that it counts"),
    ]
    rows = describe_known(candidates, KnownCrystals(known, {}, {}, PrototypeIndex(["AB_cP2_221_a_b"]), answers))
    return {row["sample"]: row for row in rows}


def test_each_provider_says_what_it_holds_with_a_link_and_silence_is_no_absence(described):
    assert described["two"]["elsewhere"] == [
        "mp: mp-19094 https://next-gen.materialsproject.org/materials/mp-19094",
        "https://a.org: not among 1 crystals of the system; 3 entries cannot be read",
        "oqmd: not answered (OPTIMADE provider `oqmd` sent 3 of the 12 entries that it counts)",
    ]
    assert described["one"]["elsewhere"][:2] == [
        "mp: not among 1 crystals of the system",
        "https://a.org: https---a.org-7 https://a.org/v1/structures/7",
    ]


def test_crystals_of_providers_are_among_the_nearest(described):
    assert described["one"]["nearest"] == "https---a.org-7 (https://a.org)"
    assert described["one"]["nearest_distance"] == pytest.approx(0, abs=1e-9)
    assert described["two"]["nearest"] == "rutile"


def test_the_protostructure_is_looked_up_among_those_of_published_crystals(described):
    assert (described["one"]["protostructure"], described["one"]["prototype_known"]) == ("AB_cP2_221_a_b", True)
    assert (described["two"]["protostructure"], described["two"]["prototype_known"]) == ("AB2_tP6_136_a_f", False)


def test_a_known_disordered_phase_is_named_before_a_known_ordering_and_another_candidate():
    def cell(cations):
        return Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.15), [cations, "O"], [[0, 0, 0], [0.5] * 3])

    layered, tetragonal = (
        Structure.from_spacegroup(group, lattice, ["Li", "Fe", "O"], [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.25]])
        for group, lattice in (("R-3m", Lattice.hexagonal(2.92, 14.4)), ("I4_1/amd", Lattice.tetragonal(4.06, 8.76)))
    )
    candidates = {"one": layered, "two": tetragonal}
    mixed = cell({"Li": 0.5, "Fe": 0.5})
    index = PrototypeIndex([])
    alone = describe_known(candidates, KnownCrystals({}, {}, {}, index))
    assert [row["variant_of"] for row in alone] == ["", "one (candidate)"]
    beside = describe_known(candidates, KnownCrystals({"mp-1": tetragonal}, {}, {}, index))
    assert [row["variant_of"] for row in beside] == ["mp-1 (known)", "one (candidate)"]
    answer = Answer("oqmd", disordered={"oqmd-5": mixed})
    below = describe_known(candidates, KnownCrystals({}, {}, {}, index, [answer]))
    assert [row["variant_of"] for row in below] == ["oqmd-5 (disordered, oqmd)"] * 2


def test_where_no_crystal_of_the_stoichiometry_is_published_the_nearest_substituted_one_is_named(prototypes):
    candidate = prototypes["rutile"].copy().perturb(0.02, seed=1)
    made = {"mp-3:Ti=V": prototypes["rutile"], "mp-2:Ca=V,F=O": prototypes["fluorite"]}
    known = KnownCrystals({"VO": prototypes["rocksalt"]}, made, {}, PrototypeIndex([]))
    (row,) = describe_known({"one": candidate}, known)
    assert row["nearest"] == "mp-3:Ti=V (substituted)" and row["nearest_distance"] < 0.01
