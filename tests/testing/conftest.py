"""Fixtures for tests of the stand-in, which is run through atomate2 under real custodian."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    from imatgen_flows.testing.install import install

    return install(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def run_vasp_settings(tmp_path, monkeypatch):
    """Configure atomate2 for an installed stand-in; return the function that makes the keyword arguments of `run_vasp`."""

    def settings(installed):
        import pymatgen.core
        from atomate2.vasp.run import DEFAULT_HANDLERS

        # pymatgen reads the variable once, at import
        monkeypatch.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", installed.environment["PMG_VASP_PSP_DIR"])
        return {
            "vasp_cmd": installed.environment["ATOMATE2_VASP_CMD"],
            "vasp_gamma_cmd": installed.environment["ATOMATE2_VASP_GAMMA_CMD"],
            # the handlers are made once, and remember what they saw
            "handlers": [type(handler)() for handler in DEFAULT_HANDLERS],
            "custodian_kwargs": {"polling_time_step": 0.2, "monitor_freq": 10},
        }

    # a WalltimeHandler leaves its start, in the environment, to those after it
    monkeypatch.setenv("CUSTODIAN_WALLTIME_START", "")
    monkeypatch.delenv("CUSTODIAN_WALLTIME_START")
    monkeypatch.chdir(tmp_path)
    return settings


@pytest.fixture
def vasp(installed, run_vasp_settings):
    """Keyword arguments of `run_vasp` for the stand-in with the toy engine."""
    return run_vasp_settings(installed)


@pytest.fixture
def rutile():
    from pymatgen.core import Lattice, Structure

    return Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])


@pytest.fixture
def run_flow(tmp_path):
    """Run a flow in this process; return the documents of its jobs, by the name of the job."""

    def run(flow):
        from jobflow import JobStore, run_locally
        from maggma.stores import MemoryStore

        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        responses = run_locally(
            flow, store=store, create_folders=True, root_dir=tmp_path, raise_immediately=True, log=False
        )
        outputs = [response.output for each in responses.values() for response in each.values()]
        return {output.task_label: output for output in outputs if output is not None}

    return run
