"""Entries of OPTIMADE as the specification has them, and as it does not."""

from __future__ import annotations

import pytest

from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.optimade_entry import read_entry


def species(name, symbols=None, shares=None, **others):
    return {"name": name, "chemical_symbols": symbols or [name], "concentration": shares or [1.0], **others}


def entry(**changes):
    """V at the origin and two O of a cubic cell, of 4 A."""
    attributes = {
        "lattice_vectors": [[4, 0, 0], [0, 4, 0], [0, 0, 4]],
        "species": [species("O"), species("V")],
        "species_at_sites": ["V", "O", "O"],
        "cartesian_site_positions": [[0, 0, 0], [2, 2, 0], [2, 0, 2]],
        "structure_features": [],
    }
    return {"id": "a", "type": "structures", "attributes": attributes | changes}


def test_a_site_has_the_species_of_its_name_not_of_its_place_in_the_list():
    crystal = read_entry("a", entry())
    assert crystal.composition.as_dict() == {"V": 1, "O": 2}
    assert crystal[0].specie.symbol == "V" and crystal.frac_coords[1].tolist() == [0.5, 0.5, 0]


def test_the_name_of_a_species_is_no_symbol():
    """The specification's own example: a species `C` may be titanium."""
    crystal = read_entry("a", entry(species=[species("V", ["Ti"]), species("O")]))
    assert crystal.composition.as_dict() == {"Ti": 1, "O": 2}


def test_a_site_that_is_vacant_in_part_is_disordered_and_one_that_is_vacant_is_none():
    partly = read_entry("a", entry(species=[species("V"), species("O", ["O", "vacancy"], [0.9, 0.1])]))
    assert not partly.is_ordered and partly[1].species.as_dict() == {"O": 0.9}
    without = read_entry("a", entry(species=[species("V"), species("O", ["vacancy"])]))
    assert without.is_ordered and without.composition.as_dict() == {"V": 1}


def test_rounded_concentrations_are_whole():
    crystal = read_entry("a", entry(species=[species("V"), species("O", ["O"], [0.9999])]))
    assert crystal.is_ordered and crystal.composition.as_dict() == {"V": 1, "O": 2}


def test_without_species_the_names_of_sites_are_symbols():
    assert read_entry("a", entry(species=None)).composition.as_dict() == {"V": 1, "O": 2}
    assert read_entry("a", entry(species=None, structure_features=["disorder"])).reason == "unreadable"


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"cartesian_site_positions": None}, "no_structure", "no cartesian_site_positions"),
        ({"lattice_vectors": None}, "no_structure", "no lattice_vectors"),
        ({"species_at_sites": []}, "no_structure", "no species_at_sites"),
        ({"structure_features": ["assemblies"]}, "disordered", "assemblies"),
        ({"structure_features": ["implicit_atoms"]}, "missing_atoms", "no position"),
        ({"structure_features": ["site_attachments"]}, "missing_atoms", "no position"),
        ({"species_at_sites": ["V", "O"]}, "unreadable", "2 species at sites and positions of shape (3, 3)"),
        ({"species_at_sites": ["V", "O", "Xa"]}, "unreadable", "no species 'Xa' is described"),
        ({"species": [species("V", ["X"]), species("O")]}, "unreadable", "X is not an element"),
        ({"species": [species("V", ["V"], [2.0]), species("O")]}, "unreadable", "concentrations"),
        ({"species": [species("V", ["V"], [float("nan")]), species("O")]}, "unreadable", "concentrations"),
        ({"species": [species("V", ["V"], ["1"]), species("O")]}, "unreadable", "TypeError"),
        ({"species": "VO"}, "unreadable", "TypeError"),
        ({"species": [species("V", ["vacancy"]), species("O", ["vacancy"])]}, "unreadable", "vacant"),
        ({"lattice_vectors": [[1, 0, 0]] * 3}, "unreadable", "Singular"),
        ({"lattice_vectors": [[10**400, 0, 0], [0, 4, 0], [0, 0, 4]]}, "unreadable", ""),
        ({"lattice_vectors": "cubic"}, "unreadable", ""),
    ],
)
def test_an_entry_without_a_crystal_says_why(changes, reason, detail):
    exclusion = read_entry("a", entry(**changes))
    assert isinstance(exclusion, Exclusion) and exclusion.id == "a"
    assert exclusion.reason == reason and detail in exclusion.detail


@pytest.mark.parametrize("nothing", [{}, {"attributes": None}, {"attributes": "none"}])
def test_an_entry_without_attributes_says_so(nothing):
    assert read_entry("a", nothing).reason == "no_structure"


def test_a_slab_without_its_third_vector_is_no_crystal():
    slab = read_entry("a", entry(lattice_vectors=[[4, 0, 0], [0, 4, 0], [None, None, None]]))
    assert slab.reason == "nan_coordinates"
