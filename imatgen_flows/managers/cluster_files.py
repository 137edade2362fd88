"""Writer of the configuration directory of a cluster: files for FireWorks, jobflow, atomate2 and the shell.

All follow from its cluster file and the templates in `launchers/`. All are written, or none; files of other programs are
not overwritten.
"""

from __future__ import annotations

import json
import shlex
import string
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imatgen_flows.cluster import CLUSTER_FILE, OPTIONAL, PROFILES, ClusterConfig, Resources
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import writing
from imatgen_flows.managers.database_login import database_values
from imatgen_flows.profiles import Profile
from imatgen_flows.settings import MEMORY_OF_A_WORKER

MARK = f"Written by `imatgen init --cluster` from {CLUSTER_FILE}: change that file, not this one."
SECRET, PLAIN, PROGRAM = 0o600, 0o644, 0o700  # modes of files
# workers of the layout without reservation, with the profiles of their jobs
WORKERS = {
    "gpu": (Profile.GPU_TRAIN.value, Profile.GPU_RELAX.value),
    "cpu": (Profile.LIGHT.value, Profile.CPU_VASP.value),
}


@dataclass(frozen=True)
class ClusterFile:
    """Text and mode of a file."""

    text: str
    mode: int


def start_cluster_directory(directory: Path, embedded: bool) -> list[Path]:
    """Write a first cluster file where there is none, and all files that follow from it.

    Parameters
    ----------
    directory : made where it does not exist; readable by its owner alone afterwards
    embedded : use the database server of `imatgen launchpad start`, for one machine only

    Returns
    -------
    the files written

    Raises
    ------
    InputError
        Where the cluster file is wrong or says otherwise, or a file cannot be written.
    """
    directory = directory.expanduser().absolute()
    path = directory / CLUSTER_FILE
    if path.exists():
        if embedded and not ClusterConfig.from_directory(directory).database.embedded:
            raise InputError(f"{path} has `database.embedded: false`, but --embedded was given: change the file.")
        return write_cluster_files(directory)
    texts = {
        "directory": shlex.quote(str(directory)),
        "python": json.dumps(str(Path(sys.prefix) / "bin"), ensure_ascii=False),
        "embedded": json.dumps(embedded),
    } | {profile.value: profile.description for profile in Profile}
    _make_private(directory)
    started = _write({path: ClusterFile(_fill("slurm/cluster.yaml", texts), PLAIN)})
    return started + write_cluster_files(directory)


def write_cluster_files(directory: Path) -> list[Path]:
    """Write all files that follow from a directory's cluster file.

    Parameters
    ----------
    directory : holds `cluster.yaml`; readable by its owner alone afterwards

    Returns
    -------
    the files written

    Raises
    ------
    InputError
        Where the cluster file or the password file is wrong, or a file cannot be written or is of another program.
    """
    directory = directory.expanduser().absolute()
    files = cluster_files(ClusterConfig.from_directory(directory), directory)
    for name in files:
        path = directory / name
        if path.exists() and MARK not in path.read_text(errors="replace"):
            raise InputError(f"{path} was not written by imatgen, and was not touched: choose another directory.")
    _make_private(directory)
    return _write({directory / name: file for name, file in files.items()})


def cluster_files(cluster: ClusterConfig, directory: Path) -> dict[str, ClusterFile]:
    """Make all files that follow from a cluster file, by their names.

    Raises
    ------
    InputError
        Where the password cannot be read.
    """
    values = _values(cluster, directory) | database_values(cluster.database, directory)
    setup = {
        "setup": "\n".join(cluster.setup) or f"# {CLUSTER_FILE} names no `setup` lines",
        "potcars": f"export PMG_VASP_PSP_DIR={shlex.quote(str(cluster.potcars))}"
        if cluster.potcars
        else f"# {CLUSTER_FILE} names no `potcars`",
    }
    general = queue_adapter((Profile.LIGHT.value,), cluster, directory)
    # optional keys must not be in the general file, or those of one profile would apply to the others
    general = {key: general[key] for key in general if key not in ("queue", "sbatch", *OPTIONAL)}
    files = {
        ".gitignore": ClusterFile(f"# {MARK}\n*\n", PLAIN),
        "my_launchpad.yaml": _file("slurm/my_launchpad.yaml", values, SECRET),
        "jobflow.yaml": _file("slurm/jobflow.yaml", values, SECRET),
        "FW_config.yaml": _file("slurm/FW_config.yaml", values),
        "SLURM_template.txt": _file("slurm/SLURM_template.txt", values),
        "atomate2.yaml": _file("slurm/atomate2.yaml", values),
        "env.sh": _file("slurm/env.sh", values, PROGRAM, **setup),
        "my_fworker.yaml": _worker("imatgen", PROFILES),
        "my_qadapter.yaml": _adapter(values, f"rlaunch -c {shlex.quote(str(directory))} singleshot", general),
    }
    for worker, names in WORKERS.items():
        fworker = directory / f"my_fworker_{worker}.yaml"
        rlaunch = shlex.join(["rlaunch", "-c", str(directory), "-w", str(fworker), "singleshot"])
        files[fworker.name] = _worker(f"imatgen-{worker}", names)
        files[f"my_qadapter_{worker}.yaml"] = _adapter(values, rlaunch, queue_adapter(names, cluster, directory))
    return files | _scripts(cluster, values, directory)


def manager_config(name: str, cluster: ClusterConfig, directory: Path) -> dict[str, Any]:
    """Return what jobflow passes to FireWorks with a job of a profile: its category and its queue parameters."""
    return {"_category": name, "_queueadapter": queue_adapter((name,), cluster, directory)}


def queue_adapter(names: Sequence[str], cluster: ClusterConfig, directory: Path) -> dict[str, Any]:
    """Return the queue parameters of jobs of some profiles, under the names of FireWorks.

    Parameters
    ----------
    names : of profiles; of several, the larger of each number is asked for
    cluster : the cluster file
    directory : the configuration directory
    """
    profile = _largest([cluster.profiles[name] for name in names])
    asked: dict[str, Any] = {"queue": profile.partition, "nodes": profile.nodes}
    if (
        Profile.CPU_VASP in names
    ):  # one process a core, started by srun; all others are one process with threads or workers
        asked |= {"ntasks": profile.nodes * profile.cores, "ntasks_per_node": profile.cores, "cpus_per_task": 1}
    else:
        asked |= {"ntasks": 1, "cpus_per_task": profile.cores}
    asked |= {"mem": profile.memory, "walltime": profile.slurm_walltime}
    asked |= {key: value for key in OPTIONAL if (value := getattr(profile, key))}
    if profile.sbatch:
        asked["sbatch"] = "\n".join(f"#SBATCH {option}" for option in profile.sbatch)
    asked["signal"] = f"B:USR1@{cluster.warning}"
    exports = " ".join(f"{key}={value}" for key, value in job_environment(names, profile).items())
    asked["pre_rocket"] = f". {shlex.quote(str(directory / 'env.sh'))}; export {exports}"
    return asked


def sbatch_options(name: str, cluster: ClusterConfig, directory: Path) -> list[str]:
    """Return what jobs of a profile ask of the queue, as options of `sbatch`."""
    asked = queue_adapter((name,), cluster, directory)
    words = {"queue": "partition", "walltime": "time"}
    options = {
        words.get(key, key.replace("_", "-")): asked[key] for key in asked if key not in ("pre_rocket", "sbatch")
    }
    return [f"--{option}={value}" for option, value in options.items()] + cluster.profiles[name].sbatch


def stale_files(directory: Path) -> list[str]:
    """List the files that are missing, out of date with the cluster file, or readable by others.

    Raises
    ------
    InputError
        Where the cluster file or the password file is wrong.
    """
    directory = directory.expanduser().absolute()
    files = cluster_files(ClusterConfig.from_directory(directory), directory)
    return [name for name, file in files.items() if not _is_current(directory / name, file)]


def launchers() -> Path:
    """Return the folder of the templates: beside the package in a checkout, under `share` where it is installed.

    Raises
    ------
    InputError
        Where they are not installed.
    """
    user = sysconfig.get_preferred_scheme("user")
    roots = [sysconfig.get_path("data"), sysconfig.get_path("data", user)]
    places = [Path(__file__).parents[2], *(Path(root) / "share" / "imatgen-flows" for root in roots)]
    for place in places:
        if (place / "launchers" / "slurm").is_dir():
            return place / "launchers"
    raise InputError("the templates of a configuration directory are not installed: install imatgen-flows again.")


def _values(cluster: ClusterConfig, directory: Path) -> dict[str, Any]:
    """Return the values of the fields of the templates, which quote them as YAML or the shell needs it."""
    return {
        "directory": str(directory),
        "launchpad": str(directory / "my_launchpad.yaml"),
        "fworker": str(directory / "my_fworker.yaml"),
        "qadapter": str(directory / "my_qadapter.yaml"),
        "template": str(directory / "SLURM_template.txt"),
        "fw_config": str(directory / "FW_config.yaml"),
        "jobflow": str(directory / "jobflow.yaml"),
        "atomate2": str(directory / "atomate2.yaml"),
        "python": str(cluster.python),
        "vasp": cluster.vasp,
        "vasp_gamma": cluster.vasp.replace("vasp_std", "vasp_gam"),
        "vasp_ncl": cluster.vasp.replace("vasp_std", "vasp_ncl"),
    }


def _scripts(cluster: ClusterConfig, values: dict[str, Any], directory: Path) -> dict[str, ClusterFile]:
    here = str(directory)
    rapidfire = f"rapidfire -m {cluster.jobs} --nlaunches infinite --sleep 10"
    commands = {
        "dispatch": ("the dispatcher", f"qlaunch -r -c {shlex.quote(here)} --launch_dir blocks {rapidfire}"),
        "local": (
            "a worker",
            # each job prints into files of its own, as it goes
            f"(cd blocks && PYTHONUNBUFFERED=1 rlaunch -c {shlex.quote(here)} "
            "rapidfire --nlaunches infinite --sleep 5 --local_redirect)",
        ),
    }
    for worker in WORKERS:
        chosen = ["-c", here, "-w", f"{here}/my_fworker_{worker}.yaml", "-q", f"{here}/my_qadapter_{worker}.yaml"]
        command = f"qlaunch {shlex.join(chosen)} --launch_dir blocks {rapidfire}"
        commands[worker] = (f"the {worker.upper()} worker", command)
    scripts = {
        f"start-{name}.sh": _file("local/start.sh", values, PROGRAM, name=name, title=title, command=command)
        for name, (title, command) in commands.items()
    }
    return scripts | {"stop-dispatch.sh": _file("local/stop-dispatch.sh", values, PROGRAM)}


def _worker(name: str, categories: Sequence[str]) -> ClusterFile:
    return _file("slurm/my_fworker.yaml", {"categories": list(categories)}, name=name)


def _adapter(values: dict[str, Any], rlaunch: str, asked: dict[str, Any]) -> ClusterFile:
    import yaml

    resources = yaml.safe_dump(asked, sort_keys=False, width=1000, allow_unicode=True).rstrip()
    return _file("slurm/my_qadapter.yaml", values | {"rocket_launch": f"exec {rlaunch}"}, resources=resources)


def _largest(profiles: list[Resources]) -> Resources:
    """Return a profile with the largest resources of several; where they differ in kind, that of the longest walltime."""
    longest = max(profiles, key=lambda profile: (profile.walltime, profile.cores))
    room = {
        "nodes": max(profile.nodes for profile in profiles),
        "cores": max(profile.cores for profile in profiles),
        "memory": max(profiles, key=lambda profile: profile.megabytes).memory,
        "gres": max(profiles, key=lambda profile: (profile.gpus, bool(profile.gres))).gres,
        "gpu_optional": all(profile.gpu_optional for profile in profiles),
    }
    return longest.model_copy(update=room)


def job_environment(names: Sequence[str], profile: Resources) -> dict[str, str]:
    """Return the environment variables with our settings for jobs of some profiles."""
    # a job without GPUs may run on a node that has some, which belong to other jobs
    device = "auto" if profile.gpu_optional else "cuda" if profile.gpus else "cpu"
    environment = {"IMATGEN_DEVICE": device}
    if Profile.GPU_TRAIN in names:
        environment["IMATGEN_THREADS"] = str(profile.cores)
    if {Profile.GPU_RELAX.value, Profile.GPU_TRAIN.value, Profile.LIGHT.value} & set(names):
        relaxes = Profile.GPU_RELAX.value in names
        environment["IMATGEN_WORKERS"] = str(relaxation_workers(profile) if relaxes else profile.cores)
    return environment


def relaxation_workers(profile: Resources) -> int:
    """Return the number of relaxation processes of a job on a CPU: one for each core, as far as the memory suffices."""
    return max(1, min(profile.cores, profile.megabytes * 1024**2 // MEMORY_OF_A_WORKER))


class _Template(string.Template):
    delimiter = "@"  # the dollar sign is used by the shell and by FireWorks


def _file(template: str, values: dict[str, Any], mode: int = PLAIN, **texts: str) -> ClusterFile:
    """Fill a template with values, quoted for its language, and with texts as they are."""
    quote = shlex.quote if template.endswith(".sh") else _yaml
    quoted = {key: quote(value) for key, value in values.items() if quote is _yaml or isinstance(value, str)}
    return ClusterFile(_fill(template, quoted | texts), mode)


def _fill(template: str, texts: dict[str, str]) -> str:
    return _Template((launchers() / template).read_text()).substitute({"mark": MARK} | texts)


def _yaml(value: Any) -> str:
    """Write a value on one line; JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


def _is_current(path: Path, file: ClusterFile) -> bool:
    try:
        # on a directory shared by links a wider mode than ours is a leak, a narrower one is not
        return path.read_text() == file.text and not path.stat().st_mode & 0o777 & ~file.mode
    except (OSError, UnicodeDecodeError):
        return False


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
    except OSError as error:
        raise InputError(f"cannot write to {directory}: {error.strerror}. Choose another directory.") from error


def _write(files: dict[Path, ClusterFile]) -> list[Path]:
    """Write all files, or none where one cannot be written."""
    try:
        with ExitStack() as stack:  # each takes its place at the end, when all are complete
            for path, file in files.items():
                temporary = stack.enter_context(writing(path))
                temporary.touch(mode=SECRET)  # private before it has any content
                temporary.write_text(file.text)
                temporary.chmod(file.mode)
    except OSError as error:
        raise InputError(f"cannot write {error.filename}: {error.strerror}.") from error
    return list(files)
