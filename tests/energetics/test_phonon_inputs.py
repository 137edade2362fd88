"""Inputs of phonons by VASP: what phonopy reads back is what was displaced."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp.inputs import Incar, Kpoints

from imatgen_flows.energetics.phonon_cells import PhononSettings
from imatgen_flows.energetics.phonon_inputs import write_vasp_inputs
from imatgen_flows.energetics.phonons import relax_tightly
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.errors import InputError

SETTINGS = PhononSettings(supercell=7.0)


@pytest.fixture
def alloy():
    start = Structure.from_spacegroup("P4/mmm", Lattice.tetragonal(2.7, 3.5), ["Cu", "Au"], [[0] * 3, [0.5] * 3])
    return relax_tightly(start, get_potential("emt").calculator(), SETTINGS).structure


def test_phonopy_reads_back_what_was_written(alloy, tmp_path):
    import phonopy

    folders = write_vasp_inputs(alloy, tmp_path / "phonons", SETTINGS)
    assert [folder.name for folder in folders] == ["disp-001", "disp-002"]
    again = phonopy.load(tmp_path / "phonons" / "phonopy_disp.yaml", produce_fc=False)
    assert len(again.supercells_with_displacements) == len(folders)
    perfect = again.supercell.scaled_positions
    for folder, displaced in zip(folders, again.supercells_with_displacements, strict=True):
        written = Structure.from_file(folder / "POSCAR")
        assert [site.specie.symbol for site in written] == displaced.symbols  # the order of the forces to come
        np.testing.assert_allclose(written.lattice.matrix, displaced.cell, atol=1e-6)
        moved = written.frac_coords - perfect
        moved = (moved - np.rint(moved)) @ written.lattice.matrix
        assert np.sort(np.linalg.norm(moved, axis=1))[-2:] == pytest.approx([0, 0.01], abs=1e-6)


def test_settings_are_those_of_a_static_calculation_with_accurate_forces(alloy, tmp_path):
    (first, *_) = write_vasp_inputs(alloy, tmp_path, SETTINGS)
    incar = Incar.from_file(first / "INCAR")
    assert incar["NSW"] == 0 and incar["EDIFF"] <= 1e-8 and incar["LREAL"] is False and incar["ENCUT"] == 520
    assert Kpoints.from_file(first / "KPOINTS").kpts[0][0] >= 1
    assert not (first / "POTCAR").exists()
    assert "phonopy" in (tmp_path / "README.txt").read_text()


def test_inputs_are_not_written_twice_or_for_a_molecule(alloy, tmp_path):
    write_vasp_inputs(alloy, tmp_path, SETTINGS)
    with pytest.raises(InputError, match="holds displaced supercells already"):
        write_vasp_inputs(alloy, tmp_path, SETTINGS)
    with pytest.raises(InputError, match="in a box"):
        write_vasp_inputs(Structure(Lattice.cubic(12), ["O", "O"], [[0] * 3, [0.1, 0, 0]]), tmp_path / "other")
    with pytest.raises(InputError, match="no pseudopotential of 'Po'"):
        write_vasp_inputs(Structure(Lattice.cubic(3.35), ["Po"], [[0] * 3]), tmp_path / "other")
    assert not (tmp_path / "other").exists()
