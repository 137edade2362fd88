"""The examination of decoded structures: each ends as a valid standard cell, or with one reason."""

from __future__ import annotations

import math

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.candidate import decode_order, spacegroup_of
from imatgen_flows.candidates.decoding import examine
from imatgen_flows.candidates.schema import MAX_RESIDUAL, column_names
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.crystals.standard import standardise
from imatgen_flows.representation import DecodeQuality


def quality(residual=0.1, mass=4.0):
    return DecodeQuality(residual, 0.01, {"V": mass, "O": 4.0}, {"V": 4, "O": 4}, 1.9)


def rocksalt(edge=4.1):
    return Structure.from_spacegroup(225, Lattice.cubic(edge), ["V", "O"], [[0] * 3, [0.5] * 3])


def examined(structure, decode=None, **limits):
    found = examine(structure, decode or quality(), ("V", "O"), **limits)
    assert set(found.row) <= set(column_names()) and found.is_valid == (found.row["state"] == State.VALID)
    return found, found.row


def test_a_valid_crystal_becomes_its_standard_cell():
    found, row = examined(rocksalt())
    standard = standardise(rocksalt())
    assert found.is_valid and found.crystal.structure() == standard and row["id"] == structure_id(standard)
    assert (row["spacegroup"], row["spacegroup_number"], row["formula"], row["nsites"]) == ("Fm-3m", 225, "VO", 8)
    assert row["volume_per_atom"] == pytest.approx(4.1**3 / 8)
    assert not {"rejected_stage", "rejected_reason", "rejected_detail"} & set(row)
    expected = quality()
    names = ("residual", "cell_residual", "count_matches", "min_distance")
    assert {name: row[name] for name in names} == {name: getattr(expected, name) for name in names}
    assert (row["repaired"], row["repaired_atoms"]) == (0, [])
    assert found.is_clean and row["clean"]


@pytest.mark.parametrize(
    ("structure", "reason"), [(None, "no_cell"), (Structure(Lattice.cubic(4), [], []), "no_atoms")]
)
def test_what_holds_no_crystal_is_rejected_at_the_decoding(structure, reason):
    found, row = examined(structure, DecodeQuality(1.0, 1.0, {}, {}, math.nan))
    assert (row["state"], row["rejected_stage"], row["rejected_reason"]) == (State.REJECTED, Stage.DECODE, reason)
    assert found.crystal is None and "id" not in row and row["min_distance"] is None
    assert not found.is_valid and not found.is_clean and not row["clean"]


@pytest.mark.parametrize(
    ("choice", "state"), [("none", State.VALID), ("flag", State.VALID), ("reject", State.REJECTED)]
)
def test_the_charge_balance_is_told_whatever_follows_from_it(choice, state):
    unbalanced = Structure(Lattice.cubic(4), ["V", "O", "O", "O"], [[0] * 3, [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    assert examined(rocksalt(), charge=choice)[1]["charge_balanced"] is True
    row = examined(unbalanced, charge=choice)[1]
    assert row["charge_balanced"] is False and row["state"] == state
    assert row.get("rejected_reason", "") == ("charge_balance" if state is State.REJECTED else "")
    assert examined(rocksalt(), max_sites=4, charge=choice)[1]["charge_balanced"] is True  # rejected for another reason


def test_what_is_not_valid_keeps_its_structure_and_gets_no_id():
    found, row = examined(rocksalt(), max_sites=4)
    assert (row["rejected_stage"], row["rejected_reason"]) == (Stage.VALIDITY, "too_many_sites")
    assert found.crystal.structure() == rocksalt() and (row["nsites"], row["formula"]) == (8, "VO")
    assert "id" not in row and not row["clean"] and not found.is_clean


def test_atoms_that_the_repair_drops_are_named_and_make_a_decode_unclean():
    crowded = rocksalt()
    crowded.append("O", [0.5, 0.5, 0.52])
    found, row = examined(crowded)
    assert row["state"] == State.VALID and row["repaired"] == len(row["repaired_atoms"]) == 1
    assert row["repaired_atoms"][0].startswith("O8") and found.crystal.structure() == standardise(rocksalt())
    assert not row["clean"] and not found.is_clean and decode_order(row) == (True, 0.1)


@pytest.mark.parametrize(
    ("decode", "clean"), [(quality(MAX_RESIDUAL), False), (quality(mass=4.6), False), (quality(), True)]
)
def test_a_clean_decode_has_matching_counts_and_a_small_residual(decode, clean):
    found, row = examined(rocksalt(), decode)
    assert row["clean"] == found.is_clean == clean


def test_the_space_group_is_found_within_a_tenth_of_an_angstrom():
    assert spacegroup_of(rocksalt().perturb(0.02, seed=1)) == ("Fm-3m", 225)
    assert spacegroup_of(rocksalt().perturb(0.5, seed=1))[1] < 225


def test_a_crystal_that_is_not_searched_for_is_rejected_by_its_primitive_cell():
    seen = []

    def search(structure):
        seen.append(structure)
        return ("other_size", "8 sites, 10 to 20 are searched") if len(seen) > 1 else None

    assert examined(rocksalt(), search=search)[0].is_valid
    found, row = examined(rocksalt(), search=search)
    assert (row["rejected_stage"], row["rejected_reason"]) == (Stage.VALIDITY.value, "other_size")
    assert found.crystal is not None and seen == [standardise(rocksalt())] * 2
    assert examined(rocksalt(0.5), search=search)[1]["rejected_reason"] != "other_size" and len(seen) == 2
