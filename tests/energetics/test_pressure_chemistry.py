"""Known answers at a pressure, with CHGNet: which form of an element is stable, and how a metal is compressed."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.distances import shortest_distance
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.energetics.references import molecular_solids
from imatgen_flows.energetics.relax import RelaxSettings, relax_one

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def relax():
    calculator = get_potential("chgnet").calculator()

    def at(structure, pressure):
        result = relax_one(structure, calculator, RelaxSettings(0.05, 300, pressure=pressure))
        assert result.state == "relaxed", result
        return result

    return at


def test_nitrogen_is_molecular_until_it_becomes_a_network_near_110_gpa(relax):
    """Under pressure a molecular solid may itself become a network, so that what counts is the form of the lowest."""

    def shortest_bond_of_the_lowest(pressure):
        ends = [relax(phase.structure, pressure) for phase in molecular_solids(["N"])]
        return shortest_distance(min(ends, key=lambda end: end.energy_per_atom).structure)

    assert shortest_bond_of_the_lowest(20.0) == pytest.approx(1.10, abs=0.03)  # A, of the triple bond
    assert shortest_bond_of_the_lowest(150.0) > 1.25  # single bonds: 1.35 A in cubic gauche at 115 GPa


def test_oxygen_is_in_clusters_of_four_molecules_at_50_gpa(relax):
    enthalpies = {phase.name: relax(phase.structure, 50.0).energy_per_atom for phase in molecular_solids(["O"])}
    assert min(enthalpies, key=enthalpies.get) == "O8 epsilon"


def test_a_compression_is_that_of_the_measured_bulk_modulus(relax):
    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )
    free, pressed = (relax(rutile, pressure).structure.volume for pressure in (0.0, 10.0))
    # K = 211 GPa and K' = 6.5 of rutile (Gerward and Staun Olsen, J. Appl. Cryst. 30, 259 (1997)), Murnaghan
    assert pressed / free == pytest.approx((1 + 6.5 * 10 / 211) ** (-1 / 6.5), abs=0.015)
