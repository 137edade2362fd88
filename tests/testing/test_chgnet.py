"""The stand-in with CHGNet: plausible energies on the scale of DFT, from one process that all runs share."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

IDLE_SECONDS = 3.0


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """Keep the server apart from one that a developer may have running; its socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="standin") as directory:
        yield Path(directory)
        deadline = time.monotonic() + 30
        while servers_in(Path(directory)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not servers_in(Path(directory))


@pytest.fixture
def chgnet(apart, tmp_path, monkeypatch):
    from imatgen_flows.testing.install import install

    monkeypatch.setenv("TMPDIR", str(apart))
    monkeypatch.setattr(tempfile, "tempdir", None)  # what tempfile found first
    return install(tmp_path / "chgnet", "chgnet", IDLE_SECONDS)


def servers_in(directory):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:  # it ended
            continue
        if b"imatgen_flows.testing.server" in command and str(directory).encode() in command:
            found.append(int(process.name))
    return found


def crystals():
    from pymatgen.core import Lattice, Structure

    yield Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]]
    )  # U and an oxide
    yield Structure.from_spacegroup(
        "P-3m1", Lattice.hexagonal(3.41, 5.7), ["Ti", "S"], [[0, 0, 0], [1 / 3, 2 / 3, 0.25]]
    )  # a sulfide, without U
    yield Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.03), ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    yield Structure(Lattice.cubic(3.03), ["V", "V"], [[0, 0, 0], [0.5, 0.5, 0.5]])  # no correction at all


@pytest.mark.parametrize("structure", crystals(), ids=lambda structure: structure.reduced_formula)
def test_corrections_applied_to_a_flow_give_chgnets_own_energy(structure, chgnet, run_flow, run_vasp_settings):
    from atomate2.vasp.flows.mp import MPGGADoubleRelaxStaticMaker
    from atomate2.vasp.jobs.base import BaseVaspMaker
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    maker = MPGGADoubleRelaxStaticMaker()
    kwargs = run_vasp_settings(chgnet)
    documents = run_flow(maker.update_kwargs({"run_vasp_kwargs": kwargs}, class_filter=BaseVaspMaker).make(structure))
    document = documents["MP GGA static"]
    (entry,) = MaterialsProject2020Compatibility().process_entries([document.structure_entry])
    own = own_energy(document.structure)
    assert entry.energy / len(structure) == pytest.approx(own.energy / len(structure), abs=1e-3)
    assert np.allclose(document.output.forces, own.forces, atol=1e-3)
    assert np.allclose(document.output.stress, -1602.1766208 * own.stress, atol=0.5)
    moments = [site.properties["magmom"] for site in document.structure]
    assert np.allclose(moments, own.moments, atol=2e-3)


def own_energy(structure):
    from imatgen_flows.energetics.potentials import get_potential
    from imatgen_flows.testing.engines import evaluate_ase

    symbols = [site.specie.symbol for site in structure]
    return evaluate_ase(get_potential("chgnet").calculator(), symbols, structure.lattice.matrix, structure.cart_coords)


def test_runs_that_start_at_once_share_one_server_which_ends_when_it_is_idle(
    apart, chgnet, tmp_path, rutile, run_vasp_settings
):
    from pymatgen.io.vasp.sets import MPStaticSet

    run_vasp_settings(chgnet)
    runs = []
    for number in range(3):
        directory = tmp_path / f"run{number}"
        MPStaticSet(rutile).write_input(directory)
        command = str(chgnet.directory / "vasp_std")
        runs.append(subprocess.Popen([command], cwd=directory, stdout=subprocess.DEVNULL))
    assert [run.wait(timeout=200) for run in runs] == [0, 0, 0]
    assert len(servers_in(apart)) == 1
    deadline = time.monotonic() + IDLE_SECONDS + 20
    while servers_in(apart) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not servers_in(apart)
    assert not list(apart.glob("*/socket"))


def test_a_server_that_is_killed_is_replaced_in_the_middle_of_a_run(apart, chgnet, rutile):
    from imatgen_flows.testing.client import ServerConnection

    crystal = {
        "symbols": [site.specie.symbol for site in rutile],
        "cell": rutile.lattice.matrix.tolist(),
        "positions": rutile.cart_coords.tolist(),
    }
    connection = ServerConnection(IDLE_SECONDS)
    try:
        first = connection.request("evaluate", **crystal)
        (server,) = servers_in(apart)
        os.kill(server, signal.SIGKILL)
        assert connection.request("evaluate", **crystal) == first
        assert servers_in(apart) != [server]
    finally:
        connection.close()
