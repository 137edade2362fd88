"""Two orderings of one parent are called variants; two structures that no exchange of elements makes equal are not."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.ordered_variants import DisorderedParent, VariantFinder, average_species, variants_among

make = Structure.from_spacegroup
LAYERED = make("R-3m", Lattice.hexagonal(2.92, 14.4), ["Li", "Fe", "O"], [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.25]])
TETRAGONAL = make(
    "I4_1/amd", Lattice.tetragonal(4.057, 8.759), ["Li", "Fe", "O"], [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.25]]
)
ROCKSALT = make("Fm-3m", Lattice.cubic(4.15), [{"Li": 0.5, "Fe": 0.5}, "O"], [[0, 0, 0], [0.5] * 3])
ILMENITE = make(
    "R-3", Lattice.hexagonal(4.905, 13.59), ["Ni", "Mn", "O"], [[0, 0, 0.352], [0, 0, 0.1445], [0.317, 0.024, 0.246]]
)
LINBO3_TYPE = make(
    "R3c", Lattice.hexagonal(5.0, 13.6), ["Ni", "Mn", "O"], [[0, 0, 0.283], [0, 0, 0], [0.05, 0.343, 0.065]]
)
CORUNDUM = make("R-3c", Lattice.hexagonal(4.95, 13.6), [{"Ni": 0.5, "Mn": 0.5}, "O"], [[0, 0, 0.352], [0.306, 0, 0.25]])
PEROVSKITE = make("Pm-3m", Lattice.cubic(3.7), ["Ni", "Mn", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]])
L1_0 = Structure(Lattice.tetragonal(3.9 / np.sqrt(2), 3.8), ["Cu", "Pt"], [[0, 0, 0], [0.5] * 3])
L1_1 = Structure(
    Lattice(3.83 * np.array([[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]])), ["Cu", "Pt"], [[0] * 3, [0.5] * 3]
)
B2 = Structure(Lattice.cubic(3.0), ["Cu", "Pt"], [[0, 0, 0], [0.5] * 3])
RUTILE = make(136, Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]])
ANATASE = make(141, Lattice.tetragonal(3.785, 9.514), ["Ti", "O"], [[0, 0, 0], [0, 0, 0.208]])


@pytest.mark.parametrize(
    ("first", "second"),
    [(LAYERED, TETRAGONAL), (ILMENITE, LINBO3_TYPE), (L1_0, L1_1)],
    ids=["rock salt", "corundum", "fcc"],
)
def test_orderings_of_one_parent_are_variants_however_they_are_described(first, second, redescribe):
    rng = np.random.default_rng(3)
    assert variants_among({"a": first, "b": second}) == {"b": "a"}
    assert variants_among(
        {"b": redescribe(second, rng), "a": redescribe(first.get_primitive_structure().perturb(0.05, seed=5), rng)}
    ) == {"a": "b"}


@pytest.mark.parametrize(
    ("first", "second"),
    [(RUTILE, ANATASE), (ILMENITE, PEROVSKITE), (L1_0, B2)],
    ids=["a binary oxide", "other sites", "fcc and bcc"],
)
def test_other_frameworks_are_no_variants_of_each_other(first, second):
    assert variants_among({"a": first, "b": second}) == {}


def test_a_crystal_is_no_variant_of_itself_nor_of_another_composition(redescribe):
    # displaced alike in each primitive cell: with noise of its own in each, a supercell is another crystal to the matcher
    again = redescribe(LAYERED.get_primitive_structure().perturb(0.05, seed=5), np.random.default_rng(5))
    richer = TETRAGONAL.copy()
    richer.replace(next(i for i, site in enumerate(richer) if site.specie.symbol == "Fe"), "Li")
    assert variants_among({"a": LAYERED, "same": again, "richer in Li": richer}) == {}


def test_a_binary_compound_has_nothing_to_average():
    assert average_species(RUTILE) is None
    assert average_species(Structure(Lattice.cubic(3), ["Cu"], [[0] * 3])) is None


def test_orderings_of_a_disordered_phase_are_named_after_it():
    finder = VariantFinder([DisorderedParent("disordered rock salt", ROCKSALT), DisorderedParent("corundum", CORUNDUM)])
    found = [finder.find(one) for one in (LAYERED, TETRAGONAL, ILMENITE, LINBO3_TYPE, PEROVSKITE, RUTILE)]
    assert found == ["disordered rock salt"] * 2 + ["corundum"] * 2 + ["", ""]


def test_a_disordered_phase_of_another_composition_or_with_vacancies_is_no_parent():
    poor = make("Fm-3m", Lattice.cubic(4.15), [{"Li": 0.3, "Fe": 0.7}, "O"], [[0, 0, 0], [0.5] * 3])
    vacant = make("Fm-3m", Lattice.cubic(4.15), [{"Li": 0.4, "Fe": 0.4}, "O"], [[0, 0, 0], [0.5] * 3])
    rounded = make("Fm-3m", Lattice.cubic(4.15), [{"Li": 0.48, "Fe": 0.52}, "O"], [[0, 0, 0], [0.5] * 3])
    assert [VariantFinder([DisorderedParent("p", one)]).find(LAYERED) for one in (poor, vacant, rounded)] == [
        "",
        "",
        "p",
    ]
