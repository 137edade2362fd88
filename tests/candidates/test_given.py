"""Examination of crystals from elsewhere: what can be relaxed is in its standard cell, and all else has a reason."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.given import examine_given
from imatgen_flows.candidates.schema import column_names
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.crystals.raw_crystal import RawCrystal
from imatgen_flows.crystals.standard import standardise

SYSTEM = ["V", "O"]


def examine(crystal, **options):
    return examine_given(RawCrystal("a crystal", "a file", crystal), SYSTEM, **options)


def crystal_of(*symbols, edge=4.0, coords=None):
    places = coords or [[number / len(symbols)] * 3 for number in range(len(symbols))]
    return Structure(Lattice.cubic(edge), symbols, places)


def test_a_valid_crystal_comes_in_its_standard_cell(prototypes, redescribe):
    for name, given in prototypes.items():
        row, crystal = examine(redescribe(given, np.random.default_rng(0)))
        assert row["state"] == "valid" and row["sample"] == "a crystal" and row["charge_balanced"], name
        assert crystal == standardise(crystal) and structure_id(crystal) == row["id"]
        assert set(row) <= set(column_names())


def test_the_limits_of_the_images_and_missing_elements_do_not_matter():
    _, metal = examine(crystal_of("V"))
    _, long = examine(Structure(Lattice.orthorhombic(4, 4, 40), ["V", "O"], [[0, 0, 0], [0, 0, 0.5]]))
    assert len(metal) == 1 and max(long.lattice.abc) == pytest.approx(40)


@pytest.mark.parametrize(
    ("crystal", "reason"),
    [
        (Exclusion("a crystal", "unreadable", "it is empty"), "unreadable"),
        (crystal_of("V", "N"), "other_elements"),
        (crystal_of("V", "D"), "other_elements"),
        (Structure(Lattice.cubic(4), [{"V": 0.5, "O": 0.5}], [[0, 0, 0]]), "disordered"),
        (crystal_of("V", coords=[[np.nan, 0, 0]]), "nan_coordinates"),
        (Structure(Lattice.cubic(4), [], []), "unreadable"),
        (crystal_of("V") * (1, 3, 67), "too_large"),
        (Structure(np.diag([3, 3, 1e-3]), ["V"], [[0, 0, 0]]), "zero_volume"),
        (crystal_of("V", edge=0.9), "volume"),
        (crystal_of("V", "O", coords=[[0, 0, 0], [0, 0, 0.1]]), "overlap"),
        (crystal_of("V", "O", "O", "O"), "charge_balance"),
    ],
)
def test_what_cannot_be_relaxed_has_one_reason(crystal, reason):
    row, structure = examine(crystal, charge="reject")
    assert structure is None and row["state"] == "rejected" and row["rejected_stage"] == "validity"
    assert row["rejected_reason"] == reason and row["rejected_detail"]


def test_the_charge_check_of_the_run_decides():
    for check in ("flag", "none"):
        row, structure = examine(crystal_of("V", "O", "O", "O"), charge=check)
        assert structure is not None and row["charge_balanced"] is False
