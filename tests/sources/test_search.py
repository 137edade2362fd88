"""The space of a search: what it admits, and the one reason why it does not."""

from __future__ import annotations

import pickle

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.config import CampaignConfig
from imatgen_flows.crystals.search_formulas import write_formula
from imatgen_flows.jobs.search_space import search_space
from imatgen_flows.sources.search import SearchSpace


def crystal(**atoms):
    species = [symbol for symbol, n in atoms.items() for _ in range(n)]
    places = [[0, 0, index / len(species)] for index in range(len(species))]
    return Structure(Lattice.tetragonal(3, 3 * len(species)), species, places)


def space(**search):
    return search_space(CampaignConfig(system=["V", "O"], search=search))


def test_without_a_restriction_everything_of_the_system_within_the_limits_is_admitted():
    whole = space()
    assert whole == SearchSpace(("V", "O"), charge="reject")
    assert space(pressure=10.0) == SearchSpace(("V", "O"), charge="reject", pressure=10.0)
    assert not any(whole.admit(one) for one in (crystal(V=1, O=1), crystal(V=3, O=4), crystal(V=8, O=12)))
    assert whole.admit(crystal(V=9, O=12)) == "other_size"
    assert whole.admit(crystal(V=3)) == "missing_element"
    assert whole.admit(crystal(V=1, O=1, Li=1)) == "other_composition"


def test_a_reduced_formula_admits_all_its_multiples_and_another_one_cell():
    searched = space(compositions=["V3O4", "V4O8"])
    assert not any(searched.admit(one) for one in (crystal(V=3, O=4), crystal(V=6, O=8), crystal(V=4, O=8)))
    assert searched.fault(crystal(V=2, O=4)) == ("other_composition", "V2O4 is none of V3O4, V4O8")


def test_sizes_hold_beside_formulas():
    searched = space(compositions=["V3O4"], sites="10-20")
    assert searched.fault(crystal(V=3, O=4)) == ("other_size", "7 sites, 10 to 20 are searched")
    assert searched.admit(crystal(V=6, O=8)) == ""


def test_targets_are_the_cells_that_the_space_admits():
    searched = space(compositions=["V3O4", "V4O8", "V2O3"], sites="6-15")
    formulas = {write_formula(one) for one in searched.targets()}
    assert formulas == {"V3O4", "V6O8", "V4O8", "V4O6", "V6O9"}
    for one in searched.targets():
        assert searched.admit(crystal(**{symbol: int(n) for symbol, n in one.get_el_amt_dict().items()})) == ""
    assert space(sites=4).targets() == []


def test_a_space_reaches_the_processes_that_decode():
    searched = space(compositions="V3O4")
    assert pickle.loads(pickle.dumps(searched.fault))(crystal(V=1, O=1)) == searched.fault(crystal(V=1, O=1))


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"compositions": ["TiO"]}, r"`search.compositions`: `TiO` has Ti, which the system V-O has not\.$"),
        ({"compositions": ["V2"]}, r"`search.compositions`: `V2` has no O: "),
        ({"compositions": ["V9O12"]}, r"`V9O12` has 21 atoms, and `limits.max_sites` allows 20\.$"),
        ({"compositions": ["V30O40"]}, r"`V30O40` has 70 atoms, and `limits.max_sites` allows 20\.$"),
        ({"compositions": ["V8O13"]}, r"`V8O13` has 21 atoms"),
        ({"compositions": ["V3Oo4"]}, r"^`search.compositions`: `V3Oo4` is no formula"),
        ({"compositions": [False]}, r'Write the word in quotes, for example "No"'),
        ({"compositions": ["V3O4"], "sites": "8-13"}, r"cells of 7, 14, \.\.\. sites, and none lies within"),
        ({"compositions": ["V6O8"], "sites": "7"}, r"cells of 14 sites, and none lies within `search.sites: 7`\.$"),
        ({"sites": "few"}, r"^`search.sites`: `few` is neither a number of sites, as 14, nor a range"),
        ({"sites": "5-30"}, r"^`search.sites` goes up to 30, and `limits.max_sites` allows 20"),
        ({"pressure": -1}, r"`search.pressure` is -1: .*greater than or equal to 0"),
        ({"pressure": float("nan")}, r"`search.pressure` is nan: input should be a finite number"),
        ({"pressure": float("inf")}, r"`search.pressure` is inf: "),
        ({"pressure": 1e4}, r"`search.pressure` is 10000.0: .*less than or equal to 1000"),
        ({"compositon": ["V3O4"]}, r"Did you mean `search.compositions`"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_in_a_sentence(search, said):
    from imatgen_flows.errors import InputError

    with pytest.raises(InputError, match=said):
        CampaignConfig(system=["V", "O"], search=search)
