from __future__ import annotations

import itertools

import pytest
from pymatgen.core import Composition, Element, Lattice, Structure

from imatgen_flows.crystals.volumes import expected_volume, smallest_volume
from imatgen_flows.errors import InputError

ELEMENTS = [Element.from_Z(z).symbol for z in range(1, 97)]


@pytest.mark.parametrize(
    ("formula", "measured"),  # A^3 a formula, from the cells in R. W. G. Wyckoff, Crystal Structures, unless noted
    [
        ("VO2", 29.5), ("V2O3", 49.8), ("V2O5", 89.6), ("TiO2", 31.2), ("MnS", 35.6), ("NaCl", 44.8), ("GaN", 22.8),
        ("AlCu", 28), ("V", 13.8), ("NaH", 29.1), ("CaF2", 40.9), ("BaTiO3", 64.4), ("TiN", 19.1),
        ("CsI", 95.1), ("Na2O2", 59.8), ("CaCO3", 61.3), ("UO2", 41.0), ("LaNi5", 86.6),
        ("PdH", 17.1), ("XeF2", 64.0),  # F. D. Manchester (2000); H. A. Levy, P. A. Agron, J. Am. Chem. Soc. 85, 241
    ],
)  # fmt: skip
def test_the_expected_volume_is_near_the_measured_one(formula, measured):
    assert expected_volume(Composition(formula)) == pytest.approx(measured, rel=0.25)


def test_the_volume_belongs_to_the_atoms_not_to_their_order_or_the_cell():
    assert expected_volume(Composition("Na4Cl4")) == pytest.approx(4 * expected_volume(Composition("ClNa")))


def test_every_compound_of_two_elements_up_to_curium_has_a_volume():
    for a, b in itertools.combinations(ELEMENTS, 2):
        for counts in ((1, 9), (1, 1), (9, 1)):
            volume = expected_volume(Composition({a: counts[0], b: counts[1]})) / sum(counts)
            assert 4 < volume < 120, (a, b, counts)


def test_an_element_beyond_the_table_is_named():
    with pytest.raises(InputError, match="Bk.*up to Cm"):
        expected_volume(Composition("BkO2"))


def test_the_smallest_volume_scales_with_nothing_but_the_shape():
    rocksalt = Structure.from_spacegroup(225, Lattice.cubic(4.1), ["V", "O"], [[0] * 3, [0.5] * 3])
    swollen = Structure(rocksalt.lattice.scale(3 * rocksalt.volume), rocksalt.species, rocksalt.frac_coords)
    assert smallest_volume(swollen) == pytest.approx(smallest_volume(rocksalt))
    assert smallest_volume(rocksalt * (2, 1, 1)) == pytest.approx(2 * smallest_volume(rocksalt))
    assert smallest_volume(rocksalt) < rocksalt.volume


def test_an_open_framework_needs_more_than_its_composition():
    carbon = Structure(Lattice.cubic(10), ["C", "C"], [[0, 0, 0], [0.12, 0, 0]])  # dimers, far from each other
    assert smallest_volume(carbon) > 10 * expected_volume(carbon.composition)
