"""Fixtures: a private SLURM for all tests, and a configuration directory with a database for each test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# modules of this folder import each other by name, here and in the jobs
sys.path.insert(0, str(Path(__file__).parent))

from private_slurm import PrivateSlurm, missing_programs


def pytest_configure(config):
    """Register the marker."""
    config.addinivalue_line("markers", "slurm: needs a running SLURM (make test-slurm starts its own)")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """Start a private SLURM once for all tests; without its programs they are skipped, unless it is demanded."""
    missing = missing_programs()
    if missing and not os.environ.get("DEMAND_SLURM"):
        pytest.skip(f"{', '.join(missing)} not installed: `make test-slurm` installs SLURM and munge")
    if missing:
        pytest.fail(f"{', '.join(missing)} not installed, but DEMAND_SLURM demands the tests of SLURM")
    private = PrivateSlurm(tmp_path_factory.mktemp("slurm"))
    private.start()
    try:
        yield private
    finally:
        private.stop()


@pytest.fixture
def lab(tmp_path, slurm):
    """Set up a configuration directory and its embedded database on the private SLURM."""
    from lab import Lab

    lab = Lab(tmp_path, slurm)
    try:
        lab.server_start()
        yield lab
    finally:
        lab.close()
