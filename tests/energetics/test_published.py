"""Published phases of several sources: each crystal once, each under its own name."""

from __future__ import annotations

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.published import merge_phases, number_names
from imatgen_flows.energetics.references import ReferencePhase, reference_phases

SHIPPED = {phase.name: phase for phase in reference_phases(["V", "O"])}
ZINCBLENDE = Structure.from_spacegroup("F-43m", Lattice.cubic(4.5), ["V", "O"], [[0, 0, 0], [0.25] * 3])


def own(name, structure):
    return ReferencePhase(name, structure, "a paper", "compound", origin="known.jsonl")


def merge(*phases):
    merged, exclusions = merge_phases([*SHIPPED.values(), *phases])
    return [phase.name for phase in merged[len(SHIPPED) :]], exclusions


@pytest.mark.parametrize("name", ["V4O7", "VO2 M1", "VO rocksalt", "O2 molecule"])
def test_a_shipped_phase_that_a_user_gives_again_is_a_duplicate(name, redescribe):
    import numpy as np

    again = redescribe(SHIPPED[name].structure, np.random.default_rng(1))
    names, (exclusion,) = merge(own("mine", again))
    assert names == [] and exclusion.reason == "duplicate"
    assert exclusion.detail == f"same structure as {name} (shipped with the program)"


def test_different_phases_of_one_name_are_numbered():
    names, exclusions = merge(own("VO rocksalt", ZINCBLENDE), own("VO rocksalt", ZINCBLENDE.copy()))
    assert names == ["VO rocksalt-2"] and [item.id for item in exclusions] == ["VO rocksalt"]


def test_a_distorted_polymorph_is_a_phase_of_its_own():
    rutile = SHIPPED["VO2 rutile"].structure
    distorted = rutile.copy()
    first = next(index for index, site in enumerate(rutile) if site.specie.symbol == "V")
    distorted.translate_sites([first], [0.08, 0, 0], to_unit_cell=False)
    assert StructureMatcher().fit(rutile, distorted)  # which alone would drop it
    assert merge(own("ferroelectric", distorted)) == (["ferroelectric"], [])


def test_numbers_skip_names_that_are_taken():
    phases = [own("a", ZINCBLENDE), own("a", ZINCBLENDE), own("b", ZINCBLENDE)]
    assert [phase.name for phase in number_names(phases, ["a", "a-2"])] == ["a-3", "a-4", "b"]
