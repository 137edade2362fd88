from __future__ import annotations

import math

import pytest
from pymatgen.core import Element

from imatgen_flows.crystals.elements import electronegativity, is_metallic


@pytest.mark.filterwarnings("error")
def test_every_element_has_an_electronegativity_without_a_warning():
    values = {element.symbol: electronegativity(element.symbol) for element in Element}
    assert all(math.isfinite(value) and value >= 0 for value in values.values())
    assert max(values, key=lambda symbol: values[symbol]) == "F"


@pytest.mark.parametrize(("symbol", "metallic"), [("V", True), ("Si", True), ("Te", True), ("S", False), ("Xe", False)])
def test_metalloids_count_as_metals(symbol, metallic):
    assert is_metallic(symbol) is metallic
