"""Interface to jobflow-remote, for clusters whose nodes have no access to a database: a runner elsewhere submits the jobs."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.cluster import OPTIONAL, PROFILES, ClusterConfig
from imatgen_flows.config import CampaignConfig
from imatgen_flows.energetics.backends import NONE
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from jobflow import Flow

# The batch script is replaced by the job: SLURM sends its warning to the process of the script alone, and a waiting shell
# does not pass it on. A worker with a command of its own has no `jf` to replace, and must not be ended by the warning.
BECOME_THE_JOB = ("trap : USR1", 'jf() { exec jf "$@"; }')


def submit_remote(
    flow: Flow, cluster: ClusterConfig, worker: str, project: str | None = None, backend: str = NONE
) -> list[str]:
    """Submit a flow to the runner of a jobflow-remote project.

    Parameters
    ----------
    flow : its jobs, and those that they make, get the resources of their profiles
    cluster : the cluster file
    worker : of the project; it submits to SLURM on the cluster
    project : the only one, or the one that jobflow-remote's own settings name, where None
    backend : of the validation; its calculations run with its profile

    Returns
    -------
    ids of the jobs, as `jf job list` shows them

    Raises
    ------
    InputError
        Where jobflow-remote is missing, or has no such project or worker, or the worker cannot run our jobs.
    ImatgenError
        Where the project's queue store does not answer, or was never set up.
    """
    try:
        from jobflow_remote import submit_flow
    except ImportError as error:
        raise InputError(
            "jobflow-remote is missing here: pip install 'imatgen-flows[jobflow-remote]', in an environment of its own "
            "where pip says that pymongo is too new."
        ) from error
    from jobflow_remote.config.base import ConfigError
    from pymongo.errors import PyMongoError

    from imatgen_flows.flows.profiles import assign_profiles

    _check_worker(worker, project)
    assign_profiles(flow, {name: remote_config(name, cluster) for name in PROFILES}, backend)
    try:
        return submit_flow(flow, worker=worker, project=project)
    except PyMongoError as error:
        raise ImatgenError(
            f"the queue store of the project does not answer: {error}. `jf project check --errors` tells more."
        ) from error
    except (ConfigError, ValueError) as error:  # the latter for a store that was never set up
        raise ImatgenError(f"jobflow-remote refuses the flow: {error}") from error


def remote_config(profile_name: str, cluster: ClusterConfig) -> dict[str, Any]:
    """Return what jobflow passes to jobflow-remote with a job of a profile.

    No worker stands in it: jobs run on the one that the flow was submitted to, and so do those that they make.

    Parameters
    ----------
    profile_name : of `imatgen_flows.cluster.PROFILES`
    cluster : the cluster file

    Returns
    -------
    `resources`, in the words of qtoolkit's template for SLURM, and `exec_config`, the lines of the batch script before
    the job
    """
    return {"resources": _resources(profile_name, cluster), "exec_config": _exec_config(profile_name, cluster)}


def harvest_remote(directory: Path) -> Path:
    """Write the run directory of a campaign from its artifacts alone, without a database, on a machine that sees them.

    Parameters
    ----------
    directory : the run directory on the cluster, with its campaign file

    Raises
    ------
    InputError
        Where it holds no campaign.
    ImatgenError
        Where the campaign has not come to its end.
    """
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.documents import JobDocument, RoundDocument, job_of
    from imatgen_flows.jobs.finish_round import finish_round
    from imatgen_flows.jobs.round_tables import write_run_directory
    from imatgen_flows.managers.run_files import CAMPAIGN_FILE, write_provenance

    directory = directory.absolute()
    written, root = directory / CAMPAIGN_FILE, directory / "artifacts"
    if not (written.is_file() and root.is_dir()):
        raise InputError(
            f"{directory} is no run directory: it lacks {CAMPAIGN_FILE} or artifacts/. Give that of the submission."
        )
    config, store = CampaignConfig.from_file(written), ArtifactStore(root)
    files = sorted((root / "documents").glob("*.json"), key=lambda path: path.stat().st_mtime)
    found = [document for path in files if (document := store.finished(path.stem))]
    rounds = [RoundDocument(**document) for document in found if job_of(document["key"]) == finish_round.spec.name]
    if not rounds:
        raise ImatgenError(
            f"the campaign in {directory} has not come to its end: {len(found)} jobs are finished. "
            "`jf job list` shows where it stands."
        )
    write_run_directory(rounds[-1], directory)
    documents = [JobDocument(**{name: document[name] for name in JobDocument.model_fields}) for document in found]
    submitted = datetime.fromtimestamp(written.stat().st_mtime, UTC)
    write_provenance(config, directory, rounds[-1], documents, "SLURM, through jobflow-remote", submitted)
    return directory


def _check_worker(name: str, project_name: str | None) -> None:
    """Refuse a worker that jobflow-remote does not know, or that would ignore the profiles."""
    from jobflow_remote.config.base import ConfigError
    from jobflow_remote.config.manager import ConfigManager
    from qtoolkit.io.slurm import SlurmIO

    manager = ConfigManager()
    known = ", ".join(sorted(manager.projects)) or "none that it can read"
    try:
        project = manager.get_project(project_name)
    except ConfigError as error:
        which = f"no project `{project_name}`" if project_name else "no default project"
        raise InputError(
            f"jobflow-remote has {which} in {manager.projects_folder}; there: {known}. Choose one with --project; "
            "`jf project list --warn` says what is wrong with a file, `jf project generate NAME` writes one to start from."
        ) from error
    if name not in project.workers:
        raise InputError(
            f"project `{project.name}` has no worker `{name}`; it has: {', '.join(sorted(project.workers)) or 'none'}. "
            "Choose one with --worker."
        )
    worker = project.workers[name]
    faults = {
        "`scheduler_type` is not slurm, which profiles are written for": not isinstance(
            worker.get_scheduler_io(), SlurmIO
        ),
        "`batch` is set: it would ignore the resources of profiles": worker.is_batch,
        "`post_run` is set, and would never be run: the script becomes the job, so that SLURM's warning reaches it": bool(
            worker.post_run
        ),
    }
    for fault, found in faults.items():
        if found:
            raise InputError(f"worker `{name}` of project `{project.name}` cannot run a campaign: {fault}.")


def _resources(name: str, cluster: ClusterConfig) -> dict[str, Any]:
    profile = cluster.profiles[name]
    # VASP is one process a core, started by srun; all others are one process with threads or workers
    processes, threads = (profile.cores, 1) if name == Profile.CPU_VASP else (1, profile.cores)
    asked = {
        "partition": profile.partition,
        "nodes": profile.nodes,
        "ntasks_per_node": processes,
        "cpus_per_task": threads,
        "mem": profile.memory,
        "time": profile.slurm_walltime,
    }
    asked |= {key: value for key in OPTIONAL if (value := getattr(profile, key))}
    # the template has no fields for these two; a requeued job would run beside the one that replaced it
    lines = [f"--signal=B:USR1@{cluster.warning}", "--no-requeue", *profile.sbatch]
    asked["qverbatim"] = "\n".join(f"#SBATCH {line}" for line in lines)
    return asked


def _exec_config(name: str, cluster: ClusterConfig) -> dict[str, Any]:
    from imatgen_flows.managers.cluster_files import job_environment

    path = f'export PATH={shlex.quote(str(cluster.python))}:"$PATH"'
    variables = job_environment((name,), cluster.profiles[name]) | {
        "IMATGEN_ON_WALLTIME": "continue",
        "OMP_NUM_THREADS": "1",  # in each process; programs that use more threads have options of their own
    }
    if name == Profile.CPU_VASP:
        variables["ATOMATE2_VASP_CMD"] = cluster.vasp
        if cluster.potcars:
            variables["PMG_VASP_PSP_DIR"] = str(cluster.potcars)
    return {
        "pre_run": "\n".join([*cluster.setup, path, *BECOME_THE_JOB]),
        "export": {key: shlex.quote(value) for key, value in variables.items()},
    }
