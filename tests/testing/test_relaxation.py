"""The stand-in alone: ISIF, NSW, EDIFFG and STOPCAR are obeyed, and its numbers are consistent."""

from __future__ import annotations

import signal
import subprocess

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Outcar, Poscar, Vasprun, Xdatcar

from imatgen_flows.testing.potcars import stub
from imatgen_flows.testing.vasp import run


@pytest.fixture
def crystal():
    """A crystal without symmetry, in which all sites move."""
    lattice = Lattice.from_parameters(4.6, 4.5, 2.9, 88, 91, 92)
    return Structure(
        lattice,
        ["V", "V", "O", "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.52, 0.5], [0.3, 0.31, 0], [0.7, 0.7, 0.02], [0.8, 0.2, 0.5], [0.2, 0.79, 0.5]],
    )


def write(directory, structure, **incar):
    directory.mkdir(parents=True, exist_ok=True)
    tags = {"ISMEAR": 0, "ISPIN": 2, "MAGMOM": "2*5 4*0.6", "LORBIT": 11, "KSPACING": 1.0} | incar
    (directory / "INCAR").write_text("".join(f"{name} = {value}\n" for name, value in tags.items()))
    Poscar(structure).write_file(directory / "POSCAR")
    (directory / "POTCAR").write_text(stub("V_pv") + stub("O"))
    return directory


def relax(directory, structure, **incar):
    """Run the stand-in in this process; return its outputs as pymatgen reads them."""
    run(write(directory, structure, **({"NSW": 60, "IBRION": 2, "EDIFFG": -0.02} | incar)))
    return Vasprun(directory / "vasprun.xml")


def shape(structure):
    return structure.lattice.matrix / structure.lattice.volume ** (1 / 3)


@pytest.mark.parametrize("isif", range(9))
def test_isif_says_what_moves(isif, crystal, tmp_path):
    end = relax(tmp_path, crystal, ISIF=isif, NSW=6, EDIFFG=0).final_structure
    ions, cell_shape, volume = (
        not np.allclose(end.frac_coords, crystal.frac_coords, atol=1e-6),
        not np.allclose(shape(end), shape(crystal), atol=1e-5),
        not np.isclose(end.volume, crystal.volume, rtol=1e-5),
    )
    assert (ions, cell_shape, volume) == {
        0: (True, False, False),
        1: (True, False, False),
        2: (True, False, False),
        3: (True, True, True),
        4: (True, True, False),
        5: (False, True, False),
        6: (False, True, True),
        7: (False, False, True),
        8: (True, False, True),
    }[isif]


@pytest.mark.parametrize("ibrion", [1, 2, 3])
def test_a_negative_ediffg_bounds_the_forces(ibrion, crystal, tmp_path):
    found = relax(tmp_path, crystal, ISIF=2, IBRION=ibrion, NSW=200)
    assert found.converged
    assert np.linalg.norm(found.ionic_steps[-1]["forces"], axis=1).max() < 0.02
    assert np.linalg.norm(found.ionic_steps[-2]["forces"], axis=1).max() >= 0.02
    assert found.ionic_steps[-1]["e_0_energy"] < found.ionic_steps[0]["e_0_energy"]


def test_a_positive_ediffg_bounds_the_change_of_the_energy(crystal, tmp_path):
    found = relax(tmp_path, crystal, ISIF=3, EDIFFG=0.01)
    energies = np.array([step["e_0_energy"] for step in found.ionic_steps])
    changes = np.abs(np.diff(energies))
    assert found.converged
    assert changes[-1] < 0.01
    assert (changes[:-1] >= 0.01).all()


def test_steps_end_at_nsw_and_are_not_called_converged(crystal, tmp_path):
    found = relax(tmp_path, crystal, ISIF=3, NSW=4, EDIFFG=-1e-6)
    assert len(found.ionic_steps) == 4
    assert not found.converged_ionic
    assert len(Xdatcar(tmp_path / "XDATCAR").structures) == 4


def test_a_stopcar_stops_after_the_step(crystal, tmp_path):
    write(tmp_path, crystal)
    (tmp_path / "STOPCAR").write_text("LSTOP = .TRUE.\n")
    found = relax(tmp_path, crystal, ISIF=3, EDIFFG=-1e-6)
    assert len(found.ionic_steps) == 1
    outcar = Outcar(tmp_path / "OUTCAR")
    assert outcar.is_stopped


def test_pressure_is_minus_the_slope_of_the_energy(crystal, tmp_path):
    def at(strain):
        strained = crystal.copy()
        strained.apply_strain(strain)
        run(write(tmp_path / f"{strain:g}", strained, NSW=0))
        return Vasprun(tmp_path / f"{strain:g}" / "vasprun.xml"), strained.volume

    (low, small), (middle, _), (high, large) = at(-0.001), at(0.0), at(0.001)
    slope = (high.final_energy - low.final_energy) / (large - small)  # eV/A^3
    assert np.trace(middle.ionic_steps[0]["stress"]) / 3 == pytest.approx(-slope * 1602.1766208, rel=1e-3)


def test_the_files_of_a_run_agree(crystal, tmp_path):
    found, outcar = relax(tmp_path, crystal, ISIF=3), Outcar(tmp_path / "OUTCAR")
    contcar = Poscar.from_file(tmp_path / "CONTCAR").structure
    assert np.allclose(contcar.lattice.matrix, found.final_structure.lattice.matrix, atol=1e-6)
    assert contcar.distance_matrix == pytest.approx(found.final_structure.distance_matrix, abs=1e-5)
    assert outcar.final_energy == pytest.approx(found.final_energy, abs=1e-5)
    assert outcar.total_mag == pytest.approx(sum(ion["tot"] for ion in outcar.magnetization), abs=0.01)
    assert found.nionic_steps == len(Xdatcar(tmp_path / "XDATCAR").structures)
    assert found.eigenvalue_band_properties[0] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("magmom", ["5 -5 4*0.6", "2*5 4*0.6"])
def test_moments_keep_the_order_that_was_asked_for(magmom, crystal, tmp_path):
    run(write(tmp_path, crystal, NSW=0, MAGMOM=magmom))
    moments = [ion["tot"] for ion in Outcar(tmp_path / "OUTCAR").magnetization]
    assert moments[:2] == ([5, -5] if "-" in magmom else [5, 5])


def test_a_kill_leaves_whole_files_of_the_last_step(crystal, tmp_path, installed):
    write(tmp_path, crystal, NSW=50, IBRION=2, ISIF=3, EDIFFG=-1e-6, SYSTEM="fault:sigkill@1/3")
    command = [installed.directory / "vasp_std"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(Poscar.from_file(tmp_path / "CONTCAR").structure) == 6
    assert len(Xdatcar(tmp_path / "XDATCAR").structures) == 3
    assert not (tmp_path / "WAVECAR").exists()
    assert (tmp_path / "OSZICAR").read_text().count("F=") == 3


def test_the_gamma_version_refuses_a_mesh_and_the_noncollinear_one_everything(crystal, tmp_path, installed):
    for variant, incar, status in (("gam", {"KSPACING": 9}, 0), ("gam", {}, 1), ("ncl", {}, 1)):
        directory = write(tmp_path / f"{variant}{status}", crystal, NSW=0, **incar)
        command = [installed.directory / f"vasp_{variant}"]
        done = subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, timeout=60, check=False)
        assert done.returncode == status, done.stdout


def test_a_relaxation_under_pstress_ends_where_the_stress_balances_it(crystal, tmp_path):
    free = relax(tmp_path / "free", crystal, ISIF=3, EDIFFG=-0.05)
    pressed = relax(tmp_path / "pressed", crystal, ISIF=3, EDIFFG=-0.05, PSTRESS=200)
    assert pressed.final_structure.volume < 0.98 * free.final_structure.volume
    assert np.trace(pressed.ionic_steps[-1]["stress"]) / 3 == pytest.approx(200, abs=20)
    last = pressed.ionic_steps[-1]
    work = last["e_fr_energy"] - last["electronic_steps"][-1]["e_fr_energy"]
    assert work == pytest.approx(20 / 160.21766 * pressed.final_structure.volume, rel=1e-5)
