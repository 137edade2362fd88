"""Independent readers accept the inputs that pymatgen writes, and refuse those that VASP refuses."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

from imatgen_flows.testing.electrons import irreducible
from imatgen_flows.testing.faults import plan_fault
from imatgen_flows.testing.inputs import (
    VaspError,
    mesh_by_spacing,
    read_incar,
    read_inputs,
    read_kpoints,
    read_poscar,
    read_potcar,
)
from imatgen_flows.testing.potcars import known_symbols, stub, valence
from imatgen_flows.testing.settings import read_settings


def structures():
    from pymatgen.core import Lattice, Structure

    yield Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
    yield Structure(
        Lattice.from_parameters(4.1, 5.2, 6.3, 75, 98, 111),
        ["Li", "Mn", "O", "O", "S"],
        [[0, 0, 0], [0.4, 0.5, 0.6], [0.1, 0.45, 0.8], [0.7, 0.1, 0.3], [0.55, 0.9, 0.1]],
    )


@pytest.fixture(params=structures(), ids=lambda structure: structure.reduced_formula)
def written(request, tmp_path, run_vasp_settings, installed):
    """A directory as the Materials Project's set writes it, and the set."""
    from pymatgen.io.vasp.sets import MPRelaxSet

    run_vasp_settings(installed)
    chosen = MPRelaxSet(request.param)
    chosen.write_input(tmp_path)
    return tmp_path, chosen


def test_both_readers_agree_on_what_pymatgen_wrote(written):
    directory, chosen = written
    inputs = read_inputs(directory)
    settings = read_settings(inputs)
    assert inputs.crystal.symbols == [site.specie.symbol for site in chosen.structure]
    assert np.allclose(inputs.crystal.cell, chosen.structure.lattice.matrix)
    assert np.allclose(inputs.crystal.fractional, chosen.structure.frac_coords)
    assert settings.electrons == chosen.nelect
    assert list(settings.moments) == chosen.incar["MAGMOM"]
    assert [item.title.split()[1] for item in inputs.potcar] == chosen.potcar_symbols
    assert settings.hubbards == dict(zip(inputs.crystal.species, chosen.incar.get("LDAUU", []), strict=False))
    for name, value in chosen.incar.items():
        assert str(inputs.incar[name]).lower() == str(value).lower() or np.allclose(inputs.incar[name], value)


def test_the_irreducible_mesh_is_pymatgens(written):
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    directory, chosen = written
    inputs = read_inputs(directory)
    points = irreducible(inputs.crystal, inputs.mesh, symmetry=True)
    expected = SpacegroupAnalyzer(chosen.structure).get_ir_reciprocal_mesh(chosen.kpoints.kpts[0])
    assert len(points.weights) == len(expected)
    assert points.weights.sum() == pytest.approx(1)
    unreduced = irreducible(inputs.crystal, inputs.mesh, symmetry=False)
    assert len(unreduced.weights) >= len(points.weights)


def test_every_form_of_a_poscar_gives_the_same_crystal():
    direct = "x\n1.0\n4 0 0\n0 5 0\n0 0 6\nV O\n1 1\nDirect\n0 0 0 V\n0.5 0.5 0.25 O\n"
    cartesian = "x\n2.0\n2 0 0\n0 2.5 0\n0 0 3\nV O\n1 1\nCartesian\n0 0 0\n1 1.25 0.75\n"
    by_volume = "x\n-120\n2 0 0\n0 2.5 0\n0 0 3\nV O\n1 1\nDirect\n0 0 0\n0.5 0.5 0.25\n"
    first = read_poscar(direct)
    for text in (cartesian, by_volume):
        other = read_poscar(text)
        assert np.allclose(first.cell, other.cell)
        assert np.allclose(first.fractional, other.fractional)


def test_an_incar_is_read_as_vasp_does():
    text = (
        "nsw = 3 ; EDIFF = 1.0d-5 # comment\nMAGMOM = 2*0.6 \\\n 5\nLDAU = .FALSE.\nSYSTEM = fault:none\n! LREAL = 1\n"
    )
    assert read_incar(text) == {
        "NSW": 3,
        "EDIFF": 1e-5,
        "MAGMOM": [0.6, 0.6, 5.0],
        "LDAU": False,
        "SYSTEM": "fault:none",
    }


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("POSCAR", "V O", "O V", "POSCAR and POTCAR are inconsistent"),
        ("INCAR", "2*5.0", "3*5.0", "MAGMOM .* 7 values for 6 ions"),
        ("INCAR", "LDAUU = 3.25 0", "LDAUU = 3.25", "LDAUU .* 1 values for 2 species"),
        ("INCAR", "IBRION = 2", "IBRION = 0", "IBRION = 0"),  # molecular dynamics
        ("INCAR", "IBRION = 2", "IBRION = 8", "IBRION = 8"),  # phonons
        ("INCAR", "IBRION = 2", "LSORBIT = True", "LSORBIT"),
        ("INCAR", "IBRION = 2", "LHFCALC = True", "LHFCALC"),
        ("INCAR", "IBRION = 2", "IBRON = 2", "IBRON is not known"),
        ("INCAR", "ISIF = 3", "ISIF = three", "Error reading item ISIF"),
        ("KPOINTS", "Gamma", "Line-mode", "Line-mode"),
    ],
)
def test_vasp_complains_and_ends_with_status_1(
    name, old, new, complaint, tmp_path, installed, run_vasp_settings, rutile
):
    from pymatgen.io.vasp.sets import MPRelaxSet

    run_vasp_settings(installed)
    MPRelaxSet(rutile).write_input(tmp_path)
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    command = [installed.directory / "vasp_std"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout
    assert re.search(complaint, done.stdout)
    assert not done.stderr
    assert not (tmp_path / "vasprun.xml").exists()


@pytest.mark.parametrize(
    "text",
    [
        "x\n1.0\n4 0 0\n",
        "x\n1.0\n4 0 0\n0 5 0\n0 0 6\nV O\n1 1\nDirect\n0 0 0\n",
        "x\n1\n1 0 0\n1 0 0\nnan\nV\n1\nD\n0 0 0",
    ],
)
def test_half_a_poscar_is_refused(text):
    with pytest.raises(VaspError, match="POSCAR"):
        read_poscar(text)


def test_a_list_of_points_keeps_its_weights():
    mesh = read_kpoints("x\n2\nReciprocal\n0 0 0 1\n0.5 0 0 3\n")
    assert mesh.style == "explicit"
    assert mesh.weights == pytest.approx([0.25, 0.75])
    with pytest.raises(VaspError, match="announced"):
        read_kpoints("x\n3\nReciprocal\n0 0 0 1\n0.5 0 0 3\n")


def test_a_smaller_spacing_never_gives_a_coarser_mesh():
    cell = np.array([[4.0, 0, 0], [0, 5, 0], [1, 0, 9]])
    meshes = [mesh_by_spacing(cell, spacing, True).divisions for spacing in (1.0, 0.5, 0.22, 0.1)]
    assert all(
        fine >= coarse
        for one, other in zip(meshes, meshes[1:], strict=False)
        for coarse, fine in zip(one, other, strict=True)
    )
    assert meshes[1] == (4, 3, 2)


def test_every_symbol_of_every_input_set_has_a_stub():
    symbols = known_symbols()
    assert {"V_pv", "V_sv", "O", "Ti_pv", "Mn_pv", "S", "Li_sv"} <= set(symbols)
    for symbol in symbols:
        (item,) = read_potcar(stub(symbol))
        assert item.title.split()[1] == symbol
        assert item.valence == valence(symbol) >= 1
    assert [valence(symbol) for symbol in ("V", "V_pv", "V_sv", "O", "Li_sv", "Ga_d", "Yb_2")] == [
        5,
        11,
        13,
        6,
        3,
        13,
        8,
    ]


def test_faults_are_found_without_regard_to_case():
    system = "Rutile Fault:BRMIX@1 fault:nsw@2/4 FAULT:metal@ALL"
    assert plan_fault(system, 1).name == "brmix"
    assert (plan_fault(system, 2).name, plan_fault(system, 2).step) == ("nsw", 4)
    assert plan_fault(system, 3).name == "metal"
    assert not plan_fault("rutile", 1)
    with pytest.raises(VaspError, match="brmixx"):
        plan_fault("fault:brmixx@1", 1)
