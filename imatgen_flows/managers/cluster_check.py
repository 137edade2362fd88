"""Checks of a configuration directory: its files, the database, the environment of jobs, and SLURM."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.cluster import CLUSTER_FILE, PROFILES, ClusterConfig, Resources, count_gpus
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.managers.checks import Check
from imatgen_flows.managers.cluster_files import relaxation_workers, sbatch_options, stale_files
from imatgen_flows.profiles import Profile
from imatgen_flows.settings import MEMORY_OF_A_WORKER

if TYPE_CHECKING:
    from imatgen_flows.managers.slurm import Partition

PATIENCE = 3000  # ms to wait for the database
COMMANDS = ("sbatch", "squeue", "sinfo", "scancel")


def check_cluster(directory: Path, try_sbatch: bool = False) -> list[Check]:
    """Check what a campaign needs of a cluster.

    Parameters
    ----------
    directory : the configuration directory
    try_sbatch : submit a job that is held and cancelled at once, since only that shows whether its id can be read
    """
    from imatgen_flows.managers import slurm

    directory = directory.expanduser().absolute()
    try:
        cluster = ClusterConfig.from_directory(directory)
    except InputError as error:
        return [Check("cluster file", False, str(error))]
    checks = [Check("cluster file", True, str(directory / CLUSTER_FILE)), _check_files(directory)]
    checks += [*_check_fireworks(directory), _check_launchpad(directory), _check_stores(directory)]
    checks += _check_python(cluster.python)
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if cluster.database.embedded and (len(missing) == len(COMMANDS) or not (missing or slurm.is_set_up())):
        return [*checks, Check("SLURM", True, "none here; `start-local.sh` runs the jobs on this machine")]
    where = f"{', '.join(missing)} not on PATH: run this on a login node of the cluster" if missing else "on PATH"
    profiles = list(_check_profiles(cluster))
    checks += [Check("SLURM", not missing, where), *profiles]
    answers = any(check.name.startswith("profile") for check in profiles)
    if try_sbatch and answers and not missing:  # sbatch waits long for a controller that is down
        checks += [_check_options(cluster, directory), _check_sbatch(cluster, directory)]
    return checks


def _check_files(directory: Path) -> Check:
    try:
        stale = stale_files(directory)
    except ImatgenError as error:
        return Check("cluster directory", False, str(error))
    if stale:
        cure = f"`imatgen init --cluster {shlex.quote(str(directory))}` writes them from {CLUSTER_FILE}"
        return Check("cluster directory", False, f"not up to date: {', '.join(sorted(stale))}; {cure}")
    return Check("cluster directory", True, "up to date")


def _check_fireworks(directory: Path) -> Iterator[Check]:
    """Check for a settings file that FireWorks would read in place of this directory's."""
    other = Path.home() / ".fireworks" / "FW_config.yaml"
    if other.exists() and other.parent != directory:
        yield Check("FireWorks settings", False, f"{other} would be used in place of this directory's: move it away")


def _check_launchpad(directory: Path) -> Check:
    """Check that the database answers a query, with the user and password that jobs have."""
    from imatgen_flows.managers.database import address_of, connect, database_errors

    login, fault = _read_yaml(
        directory / "my_launchpad.yaml", ("host", "port", "name", "username", "password", "authsource", "uri_mode")
    )
    if fault:
        return Check("LaunchPad", False, fault)
    address, name = address_of(login), login["name"]
    try:
        with database_errors(address), connect(login, PATIENCE) as client:
            client[name]["fireworks"].find_one({}, {"_id": 1})  # needs the right to read
    except ImatgenError as error:
        return Check("LaunchPad", False, str(error))
    return Check("LaunchPad", True, f"database `{name}` at {address}")


def _check_stores(directory: Path) -> Check:
    settings, fault = _read_yaml(directory / "jobflow.yaml", ("JOB_STORE",))
    if fault:
        return Check("job stores", False, fault)
    stores = (settings["JOB_STORE"] or {}).get("additional_stores") or {}
    if "data" not in stores:
        cure = f"`imatgen init --cluster {shlex.quote(str(directory))}` writes one"
        return Check("job stores", False, f"no store `data`: large results would be lost after they are made; {cure}")
    return Check("job stores", True, "documents and data")


def _check_python(folder: Path) -> Iterator[Check]:
    """Check that the environment of jobs has our programs and the same version of Python as this one."""
    wanted = ("python", "imatgen", "rlaunch", "qlaunch")
    missing = [name for name in wanted if not os.access(folder / name, os.X_OK)]
    if missing:
        cure = "install imatgen-flows there, or correct `python`"
        yield Check("environment of jobs", False, f"{folder} holds no {', '.join(missing)}: {cure} in {CLUSTER_FILE}")
        return
    command = [str(folder / "python"), "-c", "import platform; print(platform.python_version())"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        yield Check("environment of jobs", False, f"{folder / 'python'} does not run: {error}")
        return
    version, here = done.stdout.strip(), platform.python_version()
    same = version.rpartition(".")[0] == here.rpartition(".")[0]
    unlike = (
        ""
        if same
        else f", but this is Python {here}: finished jobs would not be found again. Use one environment for both"
    )
    yield Check("environment of jobs", same, f"Python {version} in {folder}{unlike}")


def _check_profiles(cluster: ClusterConfig) -> Iterator[Check]:
    from imatgen_flows.managers.slurm import partitions

    try:
        offered = partitions()
    except ImatgenError as error:
        yield Check("partitions", False, str(error))
        return
    for name in PROFILES:
        profile = cluster.profiles[name]
        faults = list(_faults(profile, offered))
        asked = f"{profile.slurm_walltime} on {profile.partition}"
        if name == Profile.GPU_RELAX:
            asked += f"; {_relaxations(profile)}"
        yield Check(f"profile {name}", not faults, "; ".join(faults) or asked)


def _relaxations(profile: Resources) -> str:
    """Say how many relaxations a job makes at a time, and what that leaves unused."""
    number = relaxation_workers(profile)
    short = (
        f" (`memory` holds no more, at {MEMORY_OF_A_WORKER / 1e9:.1f} GB each; {profile.cores - number} cores are unused)"
        if number < profile.cores
        else ""
    )
    on_cores = f"{number} relaxation process{'es' if number > 1 else ''}{short}"
    if not profile.gpus:
        return on_cores
    on_gpu = "one relaxation process, on the GPU"
    return f"{on_gpu}; without one, {on_cores}" if profile.gpu_optional else on_gpu


def _check_options(cluster: ClusterConfig, directory: Path) -> Check:
    """Ask SLURM whether it would take the jobs of each profile: account, QOS, constraint and further options included."""
    from imatgen_flows.managers import slurm

    try:
        faults = {name: slurm.refusal(sbatch_options(name, cluster, directory)) for name in PROFILES}
    except ImatgenError as error:
        return Check("sbatch options", False, str(error))
    # nodes that are only busy or down for now are no fault of the cluster file
    said = "; ".join(f"{name}: {fault}" for name, fault in faults.items() if fault and "busy" not in fault)
    return Check("sbatch options", not said, said or "SLURM would take the jobs of every profile")


def _check_sbatch(cluster: ClusterConfig, directory: Path) -> Check:
    """Submit a job that never starts, and cancel it: by the id that was read, or by its name where none could be."""
    from imatgen_flows.managers import slurm

    if "SLURM_JOB_ID" in os.environ:
        return Check("sbatch", True, "not tried, since this is a job itself; a login node tries it")
    name = f"imatgen-check-{uuid.uuid4().hex[:8]}"
    options = ["--hold", f"--job-name={name}", "--output=/dev/null"]
    options += sbatch_options(Profile.LIGHT.value, cluster, directory)
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
            script.write("#!/bin/sh\ntrue\n")
            script.flush()
            try:
                job_id = slurm.submit(script.name, options, timeout=slurm.TIMEOUT)
            except slurm.UnreadableAnswer as error:
                made = [job.id for job in slurm.live_jobs().values() if job.name == name]
                slurm.cancel(made)
                end = "was cancelled" if made else "is not in the queue"
                return Check("sbatch", False, f"{error}. The job `{name}` of this check {end}")
        slurm.cancel([job_id])
    except ImatgenError as error:
        return Check(
            "sbatch",
            False,
            f"{error} (tried with the job `{name}`, held, on partition `{cluster.profiles.light.partition}`)",
        )
    return Check("sbatch", True, f"job {job_id} was submitted, held, and cancelled")


def _faults(profile: Resources, offered: dict[str, Partition]) -> Iterator[str]:
    """List the resources of a profile that its partition does not offer."""
    found = offered.get(profile.partition)
    if found is None:
        yield f"no partition `{profile.partition}`; SLURM has {', '.join(sorted(offered)) or 'none'}"
        return
    where = f"partition `{found.name}`"
    if not found.up:
        yield f"{where} is down"
    if found.walltime is not None and profile.walltime > found.walltime:
        yield f"`walltime` is {profile.slurm_walltime}, {where} allows {found.walltime / 3600:.3g} h"
    if profile.nodes > found.nodes:
        yield f"`nodes` is {profile.nodes}, {where} has {found.nodes}"
    if profile.cores > found.cores:
        yield f"`cores` is {profile.cores}, a node of {where} has {found.cores}"
    if profile.megabytes > found.memory:
        yield f"`memory` is {profile.memory}, a node of {where} has {found.memory:,} MB"
    if not all(_offers(found, asked) for asked in profile.gres.split(",")):
        yield f"`gres` is {profile.gres}, a node of {where} offers {found.gres or 'none'}"


def _offers(partition: Partition, asked: str) -> bool:
    """Whether one kind of node in a partition has the requested number and type of GPUs."""
    kind = "".join(asked.split(":")[1:2])
    kind = "" if kind.isdigit() else kind
    return count_gpus(asked) <= max(count_gpus(node, kind) for node in partition.gres.split(","))


def _read_yaml(path: Path, keys: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """Read a file, and return its content and an empty text, or nothing and its fault."""
    import yaml

    cure = f"`imatgen init --cluster {shlex.quote(str(path.parent))}` writes it"
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not YAML"
        return {}, f"{path}: {cause}. {cure}"
    missing = [key for key in keys if not isinstance(found, dict) or key not in found]
    return (found, "") if not missing else ({}, f"{path} lacks {', '.join(missing)}. {cure}")
