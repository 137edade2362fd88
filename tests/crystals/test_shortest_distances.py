from __future__ import annotations

import itertools

import numpy as np
import pytest
from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
from pymatgen.core import Element

from imatgen_flows.crystals.shortest_distances import minimum_distances, shortest_distances
from imatgen_flows.errors import InputError

ELEMENTS = [Element.from_Z(z).symbol for z in range(1, 97)]
# A: CRC Handbook of Chemistry and Physics, Bond lengths in gas-phase molecules and in crystalline compounds
BONDS = {
    "H-H": 0.741, "C-H": 1.06, "N-H": 1.01, "O-H": 0.958, "F-H": 0.917, "B-H": 1.19, "S-H": 1.34, "Cl-H": 1.275,
    "N-N": 1.098, "C-N": 1.153, "C-O": 1.128, "N-O": 1.151, "C-C": 1.203, "O-O": 1.207, "F-F": 1.412, "Cl-Cl": 1.988,
    "Br-Br": 2.281, "I-I": 2.666, "S-S": 1.889, "Se-Se": 2.166, "P-O": 1.43, "S-O": 1.42, "Cl-O": 1.41, "I-O": 1.77,
    "P-S": 1.86, "C-S": 1.553, "C-F": 1.30, "N-F": 1.37, "O-F": 1.41, "S-F": 1.56, "Cl-F": 1.598, "I-Cl": 2.321,
    "Xe-F": 1.94, "Xe-O": 1.74, "Si-O": 1.60, "B-O": 1.31, "B-N": 1.28, "Be-O": 1.60, "V-O": 1.57, "Cr-O": 1.57,
    "Mn-O": 1.58, "Os-O": 1.71, "U-O": 1.76, "Re-Re": 2.22, "Mo-Mo": 2.1, "Cr-Cr": 1.83, "Fe-C": 1.81, "Pd-H": 1.8,
}  # fmt: skip
SUPEROXIDE, PEROXIDE = 1.28, 1.45  # A, O-O in KO2 and H2O2


def minimum_distance(a, b):
    """The limit of a pair in any compound: V-O, which has limits of its own, is asked for with a third element."""
    return minimum_distances([a, b, "Xe"])[0, 1]


def test_every_pair_of_elements_up_to_curium_has_a_limit_in_either_order():
    limits = minimum_distances(ELEMENTS)
    assert limits.shape == (96, 96) and np.array_equal(limits, limits.T)
    assert (limits > 0.6).all() and (limits < 3.5).all()
    for a, b in [("Li", "O"), ("H", "Cm"), ("Cs", "Cs")]:
        assert minimum_distance(a, b) == minimum_distance(b, a) == limits[ELEMENTS.index(a), ELEMENTS.index(b)]


@pytest.mark.parametrize("pair", BONDS)
def test_no_bond_is_an_overlap_and_what_is_half_as_long_is_one(pair):
    a, b = pair.split("-")
    assert 0.5 * BONDS[pair] < minimum_distance(a, b) < BONDS[pair]


def test_oxygen_molecules_superoxides_and_peroxides_keep_their_atoms():
    assert minimum_distance("O", "O") < 1.207 < SUPEROXIDE < PEROXIDE


def test_large_metals_have_large_limits():
    assert 2.3 < minimum_distance("Cs", "Cs") < 3.6  # shortest known contacts, about 3.7 A
    assert minimum_distance("Li", "Li") < minimum_distance("Na", "Na") < minimum_distance("K", "K")


def test_limits_follow_the_radii():
    pairs = list(itertools.combinations_with_replacement(ELEMENTS[2:], 2))
    sums = [CovalentRadius.radius[a] + CovalentRadius.radius[b] for a, b in pairs]
    assert np.corrcoef(sums, [minimum_distance(a, b) for a, b in pairs])[0, 1] > 0.9


def test_vanadium_oxides_have_the_published_limits_and_their_neighbours_those_of_the_pairs():
    assert minimum_distances(["O", "V", "O"]).tolist() == [[1.3, 1.2, 1.3], [1.2, 1.6, 1.2], [1.3, 1.2, 1.3]]
    general = [[minimum_distance(a, b) for b in ("Li", "V", "O")] for a in ("Li", "V", "O")]
    assert minimum_distances(["Li", "V", "O"]).tolist() == general
    assert minimum_distance("V", "V") == pytest.approx(1.6, abs=0.02)


@pytest.mark.parametrize(("symbol", "message"), [("Xx", "not the symbol"), ("Bk", "up to Cm")])
def test_an_element_without_a_limit_is_named(symbol, message):
    for look_up in (minimum_distances, shortest_distances):
        with pytest.raises(InputError, match=f"{symbol}.*{message}"):
            look_up(["O", symbol])
