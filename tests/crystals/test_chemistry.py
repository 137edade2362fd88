from __future__ import annotations

import pytest

from imatgen_flows.crystals.chemistry import minimum_distance
from imatgen_flows.errors import InputError


@pytest.mark.parametrize(("a", "b", "published"), [("V", "V", 1.6), ("O", "O", 1.3), ("V", "O", 1.2)])
def test_limits_of_the_paper_are_reproduced(a, b, published):
    assert minimum_distance(a, b) == pytest.approx(published, abs=0.02)
    assert minimum_distance(a, b) == minimum_distance(b, a)


def test_an_element_that_does_not_exist_is_named():
    with pytest.raises(InputError, match="Xx"):
        minimum_distance("Xx", "O")
