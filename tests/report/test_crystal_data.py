from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from imatgen_flows.report.crystal_data import crystal_data, powder_pattern, symmetrised_cif
from imatgen_flows.report.drawing import DrawingError
from imatgen_flows.report.run_directory import RunDirectory, decode_note


def test_the_file_of_each_relaxed_crystal_has_the_space_group_of_its_row(shared_run):
    run = RunDirectory.open(shared_run)
    for row in run.relaxed:
        kept = Structure.from_str(crystal_data(run.cif(row), row["spacegroup_number"], draw=True)["cif"], fmt="cif")
        assert kept.get_space_group_info(symprec=1e-3)[1] == row["spacegroup_number"]
        assert StructureMatcher().fit(kept, Structure.from_str(run.cif(row), fmt="cif"))


def test_a_space_group_that_is_not_found_again_gives_no_file_that_claims_it():
    salt = Structure.from_spacegroup(225, Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert symmetrised_cif(salt, 194) is None


def test_lines_of_silicon_and_of_rock_salt_lie_where_the_textbook_has_them():
    """Cu K-alpha 1.54184 A; Si 111, 220, 311 at 28.4, 47.3 and 56.1 degrees, NaCl 200 strongest at 31.7."""
    silicon = Structure.from_spacegroup(227, Lattice.cubic(5.431), ["Si"], [[0, 0, 0]])
    rows = powder_pattern(silicon.get_primitive_structure())
    assert [row[0] for row in rows[:3]] == pytest.approx([28.46, 47.34, 56.17], abs=0.05)
    assert [row[1] for row in rows[:3]] == pytest.approx([100, 60, 35], abs=8)  # PDF 27-1402: 100, 55, 30
    salt = Structure.from_spacegroup(225, Lattice.cubic(5.640), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    strongest = max(powder_pattern(salt), key=lambda row: row[1])
    assert strongest[2] == "2 0 0" and strongest[0] == pytest.approx(31.73, abs=0.05)
    assert strongest[3] == pytest.approx(2.820, abs=1e-3)


def test_cell_and_shortest_distance_are_those_of_pymatgen(shared_run):
    run = RunDirectory.open(shared_run)
    for row in run.relaxed[:12]:
        structure = Structure.from_str(run.cif(row), fmt="cif")
        found = crystal_data(run.cif(row), row["spacegroup_number"], draw=False)
        cell = found["cell"]
        again = Structure(cell["lattice"], [site[0] for site in cell["sites"]], [site[1:] for site in cell["sites"]])
        assert StructureMatcher(ltol=1e-3, stol=1e-3, scale=False).fit(again, structure)
        distances = structure.distance_matrix + 100 * np.eye(len(structure))
        shortest = min(distances.min(), *structure.lattice.get_niggli_reduced_lattice().abc)
        assert found["shortest"] == pytest.approx(shortest, abs=2e-3)
        assert found["drawing"] is None and found["pattern"] is None


def test_text_that_is_no_crystal_is_named():
    with pytest.raises(DrawingError, match="not a CIF file"):
        crystal_data("no crystal", 1, draw=True)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"residual": 0.1, "clean": True, "repaired": 0, "repaired_atoms": [], "count_matches": True}, ""),
        ({"residual": None, "clean": False}, ""),
        ({}, ""),
        (
            {"residual": 0.5, "clean": False, "repaired": 2, "repaired_atoms": ["A1", "A2"], "count_matches": False},
            "repair removed 2 atoms: A1, A2; mass and peaks of its image disagree on the number of atoms; its image differs "
            "from its atoms by 0.50",
        ),
    ],
)
def test_the_note_on_a_decode_names_what_was_wrong_and_only_that(row, says):
    assert decode_note(row) == says
