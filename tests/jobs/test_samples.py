"""Which training structures new samples start from."""

import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.jobs.samples import _anchors, _starts


def rows(*formulas: str, known: tuple[int, ...] = ()) -> list[dict]:
    return [{"formula": formula, "known": index in known} for index, formula in enumerate(formulas)]


def test_anchors_are_known_phases_then_the_lowest_and_never_what_the_networks_did_not_see():
    dataset = rows("VO", "VO2", "V2O3", "V2O5", "VO2", known=(3,))
    energies = [0.3, 0.1, 0.2, 0.9, -1.0]
    assert _anchors(dataset, energies, seen=[0, 1, 2, 3]) == [3, 1, 2, 0]


def test_structures_without_an_energy_or_a_neutral_composition_start_nothing():
    dataset = rows("VO", "VO4", "V2O3", "VO2")
    assert _starts(dataset, [0.1, 0.0, None, 0.5], seen=[0, 1, 2, 3]) == [0, 3]


def test_where_no_composition_may_be_neutral_all_start_samples():
    assert _starts(rows("VO4", "V4O"), [0.1, 0.2], seen=[0, 1]) == [0, 1]


def test_one_structure_is_nothing_to_start_from():
    with pytest.raises(InputError, match="fewer than two"):
        _anchors(rows("VO", "VO2"), [0.1, None], seen=[0, 1])
