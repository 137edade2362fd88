"""Reference phases: formula, space group and distances of each crystal are those that the file states."""

from __future__ import annotations

import pytest
from pymatgen.core import Composition, Element

from imatgen_flows.energetics.references import (
    DIATOMIC,
    ReferencePhase,
    elemental_fallback,
    molecular_solids,
    reference_phases,
    replace_molecules,
)
from imatgen_flows.errors import InputError

PHASES = reference_phases(["V", "O", "Ti", "Mn", "S"])
# shortest distances in A, to two digits, from the papers or from textbooks
SHORTEST = {
    "O2 molecule": 1.21,
    "V bcc": 2.62,
    "V2O3 corundum": 1.97,
    "VO2 M1": 1.76,
    "V2O5": 1.58,
    "Ti hcp": 2.90,
    "Ti2O3 corundum": 2.03,
    "TiO2 rutile": 1.95,
    "TiO2 anatase": 1.93,
    "TiO2 brookite": 1.86,
    "Mn alpha": 2.26,
    "S alpha": 2.04,
    "MnS2 pyrite": 2.09,
}


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_a_phase_is_what_it_is_called(phase):
    structure = phase.structure
    name = Composition(phase.name.split()[0])
    assert structure.composition.reduced_composition == name.reduced_composition
    assert (phase.kind == "element") == (len(structure.composition) == 1)
    assert structure == structure.get_primitive_structure() or phase.molecule
    if not phase.molecule:
        assert structure.get_space_group_info(0.01)[0] == phase.spacegroup
    shortest = min(n.nn_distance for near in structure.get_all_neighbors(3.2) for n in near)
    assert shortest == pytest.approx(SHORTEST.get(phase.name, shortest), abs=0.01)
    assert shortest > 0.8 * min(
        (a.atomic_radius + b.atomic_radius) for a in structure.composition for b in structure.composition
    )
    assert phase.source


def test_cells_hold_whole_formula_units():
    sites = {phase.name: len(phase.structure) for phase in PHASES}
    assert sites["V2O5"] == 14
    assert sites["VO2 M1"] == sites["MnS2 pyrite"] == 12
    assert (sites["Mn alpha"], sites["S alpha"], sites["V6O13"], sites["V4O7"], sites["V3O5"]) == (29, 32, 19, 22, 16)


def test_only_phases_within_the_system_are_given():
    names = {phase.name for phase in reference_phases(["O", "V"])}
    assert {"V bcc", "O2 molecule", "VO2 M1"} <= names
    assert all({e.symbol for e in p.structure.composition} <= {"V", "O"} for p in reference_phases(["V", "O"]))
    assert {phase.name for phase in reference_phases(["Mn", "S"])} == {
        "Mn alpha",
        "S alpha",
        "MnS rocksalt",
        "MnS2 pyrite",
    }


def test_an_element_without_a_published_phase_has_a_fallback():
    (nitrogen,) = elemental_fallback("N")
    assert nitrogen.molecule
    assert nitrogen.structure.get_distance(0, 1) == pytest.approx(1.0977)
    niobium = elemental_fallback("Nb")
    assert len({phase.name for phase in niobium}) == len(niobium) >= 20
    volume = float(Element("Nb").molar_volume) / 0.602214076
    assert all(phase.structure.volume / len(phase.structure) == pytest.approx(volume) for phase in niobium)
    assert any(phase.structure.get_space_group_info()[0] == "Im-3m" for phase in niobium)


SOLIDS = molecular_solids([*DIATOMIC, "V"])
# volume of an atom, A^3, of the papers or of textbooks: of solids at low temperature, of delta-O2 at 9.6 GPa
VOLUMES = {
    "O2 alpha": 17.4,
    "O2 delta": 10.4,
    "N2 alpha": 22.5,
    "H2 hexagonal": 19.0,
    "F2 alpha": 16.1,
    "Cl2 orthorhombic": 28.9,
}


@pytest.mark.parametrize("phase", SOLIDS, ids=lambda phase: phase.name)
def test_a_molecular_solid_has_its_symmetry_its_bonds_and_its_density(phase):
    structure = phase.structure
    assert (phase.kind, phase.molecule) == ("element", False) and phase.source
    assert structure == structure.get_primitive_structure()
    assert structure.get_space_group_info(0.01)[0] == phase.spacegroup
    symbol, gauche = structure.elements[0].symbol, phase.name == "N cubic gauche"
    near = [sorted(n.nn_distance for n in around) for around in structure.get_all_neighbors(4.0)]
    bond = 1.35 if gauche else DIATOMIC[symbol]  # of the network at 115 GPa, of the molecule
    assert all(ds[0] == pytest.approx(bond, rel=0.02) for ds in near)
    bonds = 3 if gauche else 1
    assert all(ds[bonds - 1] < 1.03 * bond and ds[bonds] > 1.5 * bond for ds in near)
    assert structure.volume / len(structure) == pytest.approx(
        VOLUMES.get(phase.name, structure.volume / len(structure)), rel=0.01
    )


def test_every_element_that_is_a_molecule_at_zero_pressure_has_a_solid():
    assert {phase.structure.elements[0].symbol for phase in SOLIDS} == set(DIATOMIC)


def test_solids_take_the_place_of_molecules():
    phases = replace_molecules(reference_phases(["V", "O"]), ["V", "O"])
    assert not any(phase.molecule for phase in phases)
    assert {phase.name for phase in phases} == {
        phase.name for phase in [*reference_phases(["V", "O"]), *molecular_solids(["O"])] if not phase.molecule
    }
    assert replace_molecules(reference_phases(["Mn", "S"]), ["Mn", "S"]) == reference_phases(["Mn", "S"])


def test_a_molecule_of_which_no_solid_is_known_is_refused():
    (nitrogen,) = elemental_fallback("N")
    bromine = ReferencePhase(
        "Br2 molecule", nitrogen.structure.copy().replace_species({"N": "Br"}), "", "element", True
    )
    with pytest.raises(
        InputError, match=r"Br2 molecule: a molecule has no enthalpy.*no solid of it is known.*phase of Br"
    ):
        replace_molecules([bromine], ["V", "Br"])
