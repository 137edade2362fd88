"""Fixtures: a running LaunchPad, FireWorks' own launcher, and scripts in place of SLURM."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import rapidfire
from jobflow import SETTINGS, Flow, JobStore

from imatgen_flows import launchpad
from imatgen_flows.cluster import ClusterConfig
from imatgen_flows.managers import campaigns, slurm
from imatgen_flows.managers.cluster_files import write_cluster_files
from imatgen_flows.managers.fireworks import CampaignLaunchPad

PROFILE = {"partition": "work", "walltime": "01:00:00"}
PLAYED = """#!/bin/sh
# prints the file beside it
cat "$0.txt"
"""


class Machine:
    """A configuration directory with a running LaunchPad, and scripts in place of SLURM."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "cluster"
        self.directory.mkdir()
        self.programs = root / "programs"
        self.programs.mkdir()
        partition = slurm.RECORD + slurm.FIELD.join(["work", "infinite", "(null)", "1", "8", "32000", "up"])
        for name, answer in {"squeue": "", "sbatch": "", "scancel": "", "sinfo": partition}.items():
            (self.programs / f"{name}.txt").write_text(answer)
            (self.programs / name).write_text(PLAYED)
            (self.programs / name).chmod(0o755)
        content = {
            "python": str(Path(sys.executable).parent),
            "database": {"embedded": True},
            "profiles": dict.fromkeys(("light", "gpu_train", "gpu_relax", "cpu_vasp"), PROFILE),
        }
        ClusterConfig.model_validate(content).to_directory(self.directory)
        write_cluster_files(self.directory)
        launchpad.start(self.directory / "launchpad")

    def add(self, flow: Flow, name: str = "test", **metadata) -> str:
        """Add a flow to the LaunchPad, as a campaign."""
        number = f"{name}-{len(self.pad.campaigns())}"
        flow.update_metadata({"campaign_id": number})
        flow.update_config({"manager_config": {"_category": "light"}}, dynamic=True)
        about = {
            "campaign_id": number,
            "name": name,
            "directory": "/nowhere",
            "submitted": datetime.now(UTC).isoformat(),
        }
        self.pad.add(flow, number, about | {"campaign": {}, "version": "0", "format": campaigns.FORMAT} | metadata)
        return number

    @property
    def pad(self) -> CampaignLaunchPad:
        return CampaignLaunchPad(self.directory)

    @property
    def fireworks(self) -> LaunchPad:
        return self.pad.pad

    def launch(self, number: int = 0) -> None:
        """Run the ready fireworks with FireWorks' launcher; 0 means until none is left."""
        worker = FWorker(category=["light", "gpu_train", "gpu_relax"])
        here = Path.cwd()
        os.chdir(self.programs)
        try:
            rapidfire(self.fireworks, worker, nlaunches=number, sleep_time=0.1, strm_lvl="ERROR")
        finally:
            os.chdir(here)

    def dispatch(self, number: int = 2) -> int:
        """Submit ready fireworks with FireWorks' own `qlaunch`, and return its exit status."""
        blocks = self.directory / "blocks"
        blocks.mkdir(exist_ok=True)
        arguments = ["-r", "-c", str(self.directory), "--launch_dir", str(blocks), "rapidfire", "-m", "5"]
        environment = os.environ | {"FW_CONFIG_FILE": str(self.directory / "FW_config.yaml")}
        program = Path(sys.executable).parent / "qlaunch"
        return subprocess.run(
            [program, *arguments, "--nlaunches", str(number)], env=environment, timeout=120, check=False
        ).returncode

    def states(self, campaign_id: str) -> list[str]:
        return sorted(firework.state for firework in self.pad.workflow(campaign_id).fireworks)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    yield machine
    launchpad.stop(machine.directory / "launchpad")


@pytest.fixture
def new_machine(tmp_path, monkeypatch):
    """Set up a machine whose SLURM has never had a job."""
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{machine.programs}:{os.environ['PATH']}")
    yield machine
    launchpad.stop(machine.directory / "launchpad")


@pytest.fixture
def played_slurm(machine, monkeypatch):
    """Set the environment that `env.sh` sets."""
    monkeypatch.setenv("PATH", f"{machine.programs}:{os.environ['PATH']}")
    monkeypatch.setenv("IMATGEN_CLUSTER", str(machine.directory))
    store = JobStore.from_dict_spec(yaml.safe_load((machine.directory / "jobflow.yaml").read_text())["JOB_STORE"])
    monkeypatch.setattr(SETTINGS, "JOB_STORE", store)
