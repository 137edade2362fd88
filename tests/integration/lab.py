"""A cluster of one machine: SLURM, a configuration directory, and a running database."""

from __future__ import annotations

import os
import subprocess
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from fireworks import LaunchPad
from jobflow import Flow, Job, JobStore
from jobflow.managers.fireworks import flow_to_workflow
from private_slurm import PrivateSlurm, wait_until

from imatgen_flows import launchpad
from imatgen_flows.cluster import ClusterConfig
from imatgen_flows.managers.cluster_files import manager_config, write_cluster_files

HERE = Path(__file__).parent
BIN = Path(os.sys.executable).parent
JOBS_AT_ONCE = 8
ROUND = 12  # s that the dispatcher runs at a time; to start it takes 2.5 s of a core
FAILURES = 3  # of the dispatcher in a row, until it is called broken

# small enough that one of each fits on the node at once
PROFILES: dict[str, dict[str, Any]] = {
    "light": {"partition": "cpu", "cores": 1, "memory": "1G", "walltime": "00:05:00"},
    "gpu_train": {"partition": "gpu", "cores": 2, "memory": "3G", "walltime": "00:20:00", "gres": "gpu:1"},
    "gpu_relax": {"partition": "gpu", "cores": 1, "memory": "2G", "walltime": "00:10:00", "gres": "gpu:1"},
    "cpu_vasp": {"partition": "cpu", "cores": 4, "memory": "4G", "walltime": "01:00:00"},
}


class Lab:
    """A configuration directory with its own database, on a SLURM that tests share.

    Parameters
    ----------
    root : holds the configuration directory `cluster` and the `work` directory in which commands run
    slurm : a running one
    """

    def __init__(self, root: Path, slurm: PrivateSlurm) -> None:
        self.slurm = slurm
        self.directory = root / "cluster"
        self.work = root / "work"
        self.work.mkdir(parents=True)
        self.directory.mkdir()
        self.configure()
        (self.directory / "blocks").mkdir()

    def configure(self, profiles: dict[str, dict[str, Any]] | None = None, **sections: Any) -> None:
        """Write the cluster file anew, and all that follows from it.

        Parameters
        ----------
        profiles : what differs from `PROFILES`, by profile: {"light": {"walltime": "00:01:00"}}
        sections : other keys of the cluster file, for example warning=5
        """
        merged = {name: profile | (profiles or {}).get(name, {}) for name, profile in PROFILES.items()}
        content = {"python": str(BIN), "database": {"embedded": True}, "profiles": merged, "warning": 20} | sections
        ClusterConfig.model_validate(content).to_directory(self.directory)
        write_cluster_files(self.directory)

    @property
    def cluster(self) -> ClusterConfig:
        """The cluster file."""
        return ClusterConfig.from_directory(self.directory)

    @cached_property
    def launchpad(self) -> LaunchPad:
        """FireWorks' own view of the database."""
        content = yaml.safe_load((self.directory / "my_launchpad.yaml").read_text())
        return LaunchPad.from_dict(content | {"strm_lvl": "ERROR"})

    @cached_property
    def store(self) -> JobStore:
        """The connected JobStore that jobs write to."""
        spec = yaml.safe_load((self.directory / "jobflow.yaml").read_text())["JOB_STORE"]
        store = JobStore.from_dict_spec(spec)
        store.connect()
        return store

    def server_start(self) -> None:
        """Start the database."""
        launchpad.start(self.directory / "launchpad")

    def server_stop(self) -> None:
        """Stop the database."""
        launchpad.stop(self.directory / "launchpad")

    def server_restart(self) -> None:
        """Stop the database and start it again, as a reboot would; clients connect anew by themselves."""
        self.server_stop()
        self.server_start()

    def close(self) -> None:
        """Cancel this lab's jobs and stop its database."""
        try:
            self.slurm.cancel_all()
        finally:
            if "launchpad" in vars(self):
                self.launchpad.connection.close()
            if "store" in vars(self):
                self.store.close()
            self.server_stop()

    def run(
        self, *command: Any, check: bool = True, timeout: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a user does who has sourced `env.sh`, in the work directory.

        Raises
        ------
        AssertionError
            Where it fails and `check` is set; it shows what the command printed.
        """
        done = subprocess.run(
            ["bash", "-c", '. "$0" && exec "$@"', str(self.directory / "env.sh"), *map(str, command)],
            cwd=self.work,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a shell before `env.sh`; jobs inherit it, and so find the functions of the tests."""
        places = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
        return os.environ | self.slurm.environment | {"PYTHONPATH": places, "COLUMNS": "200"}

    def add(self, flow: Flow | Job, profile: str | None = None) -> list[int]:
        """Put a flow on the LaunchPad; return the numbers of its fireworks.

        Parameters
        ----------
        flow : its functions must be in a module of this folder, where jobs find them
        profile : of all its jobs; None where they have theirs already
        """
        if profile:
            config = manager_config(profile, self.cluster, self.directory)
            flow.update_config({"manager_config": config}, dynamic=False)
        if not self.launchpad.fw_id_assigner.count_documents({}):  # a database that FireWorks never saw
            self.launchpad.reset("", require_password=False)
        return list(self.launchpad.add_wf(flow_to_workflow(flow, store=None)).values())

    def states(self) -> dict[int, str]:
        """Return the state of each firework."""
        return {row["fw_id"]: row["state"] for row in self.launchpad.fireworks.find({}, {"fw_id": 1, "state": 1})}

    def slurm_id(self, fw_id: int) -> str | None:
        """Return the SLURM job of the last launch of a firework, where it was submitted."""
        row = self.launchpad.fireworks.find_one({"fw_id": fw_id}, {"launches": 1})
        launch = self.launchpad.launches.find_one({"launch_id": {"$in": row["launches"][-1:]}}) or {"state_history": []}
        ids = [str(entry["reservation_id"]) for entry in launch["state_history"] if entry.get("reservation_id")]
        return ids[-1] if ids else None

    def submit_ready(self) -> None:
        """Submit fireworks that are ready for some seconds, and return."""
        dispatcher = ("qlaunch", "-r", "-c", self.directory, "--launch_dir", self.directory / "blocks", "rapidfire")
        # without a time of its own it waits for the children of jobs that were killed
        self.run(*dispatcher, "-m", JOBS_AT_ONCE, "--nlaunches", 0, "--sleep", 1, "--timeout", ROUND)

    def dispatch(self, timeout: float = 120) -> dict[int, str]:
        """Run all that can be run; return the state of each firework.

        It ends where nothing is ready and SLURM has no job, so that work of which the job was killed does not hold it.

        Raises
        ------
        TimeoutError
            Where that takes longer than the timeout (s); it shows the states.
        AssertionError
            Where the dispatcher fails three times in a row; a server that restarts may cost it one.
        """
        end, failures = time.monotonic() + timeout, 0
        while True:
            if self.ready():
                try:
                    self.submit_ready()
                    failures = 0
                except AssertionError:
                    failures += 1
                    if failures == FAILURES:
                        raise
            # in this order: the last job releases its children before it leaves the queue
            idle = not self.slurm.queue()
            if idle and not self.ready():
                return self.states()
            if time.monotonic() > end:
                raise TimeoutError(f"after {timeout:g} s: {self.states()}, SLURM has {self.slurm.queue()}")
            time.sleep(0.3)

    def ready(self) -> int:
        """Count the fireworks that could be submitted now."""
        return self.launchpad.fireworks.count_documents({"state": "READY"})

    def wait_for_state(self, fw_id: int, *states: str, timeout: float = 60) -> str:
        """Wait until a firework is in one of these states."""
        return wait_until(lambda: (state := self.states()[fw_id]) in states and state, timeout, 0.3)
