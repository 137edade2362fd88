"""The examination of decoded structures: each ends as a valid standard cell, or with one reason."""

from __future__ import annotations

import math

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.candidate import MAX_RESIDUAL, Origin
from imatgen_flows.candidates.decoding import examine, spacegroup_of
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.crystals.standard import standardise, structure_id
from imatgen_flows.representation import DecodeQuality

ORIGIN = Origin(sampler="slerp", seed=1, row=5, x=0, y=0)


def quality(residual=0.1, mass=4.0):
    return DecodeQuality(residual, 0.01, {"V": mass, "O": 4.0}, {"V": 4, "O": 4}, 1.9)


def rocksalt(edge=4.1):
    return Structure.from_spacegroup(225, Lattice.cubic(edge), ["V", "O"], [[0] * 3, [0.5] * 3])


def candidate(structure, decode=None, **limits):
    examined = examine(structure, decode or quality(), ("V", "O"), **limits)
    return examined, examined.candidate("r1-slerp-000005", ORIGIN, 1)


def test_a_valid_crystal_becomes_its_standard_cell():
    examined, record = candidate(rocksalt())
    standard = standardise(rocksalt())
    assert (record.sample, record.round, record.origin, record.state) == ("r1-slerp-000005", 1, ORIGIN, State.VALID)
    assert Structure.from_dict(record.structure) == standard and record.id == structure_id(standard)
    assert record.spacegroup == ("Fm-3m", 225) and record.rejection is None
    assert record.decode_quality.model_dump() == quality().to_dict()
    assert record.is_clean and examined.is_clean


@pytest.mark.parametrize(
    ("structure", "reason"), [(None, "no_cell"), (Structure(Lattice.cubic(4), [], []), "no_atoms")]
)
def test_what_holds_no_crystal_is_rejected_at_the_decoding(structure, reason):
    examined, record = candidate(structure, DecodeQuality(1.0, 1.0, {}, {}, math.nan))
    assert (record.state, record.rejection.stage, record.rejection.reason) == (State.REJECTED, Stage.DECODE, reason)
    assert record.structure is None and record.id == "" and not record.is_clean and not examined.is_clean


def test_what_is_not_valid_keeps_its_structure_and_gets_no_id():
    _, record = candidate(rocksalt(), max_sites=4)
    assert (record.rejection.stage, record.rejection.reason) == (Stage.VALIDITY, "too_many_sites")
    assert len(record.structure["sites"]) == 8 and record.id == "" and not record.is_clean


def test_atoms_that_the_repair_drops_are_named_and_make_a_decode_unclean():
    crowded = rocksalt()
    crowded.append("O", [0.5, 0.5, 0.52])
    examined, record = candidate(crowded)
    assert record.state is State.VALID and len(record.repaired) == 1 and record.repaired[0].startswith("O8")
    assert not record.is_clean and not examined.is_clean and record.decode_order == (True, 0.1)


@pytest.mark.parametrize(
    ("decode", "clean"), [(quality(MAX_RESIDUAL), False), (quality(mass=4.6), False), (quality(), True)]
)
def test_a_clean_decode_has_matching_counts_and_a_small_residual(decode, clean):
    examined, record = candidate(rocksalt(), decode)
    assert record.is_clean == examined.is_clean == clean


def test_the_space_group_is_found_within_a_tenth_of_an_angstrom():
    assert spacegroup_of(rocksalt().perturb(0.02, seed=1)) == ("Fm-3m", 225)
    assert spacegroup_of(rocksalt().perturb(0.5, seed=1))[1] < 225
