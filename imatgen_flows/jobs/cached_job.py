"""The two kinds of jobs: those whose result is cached by its inputs, and those that make other jobs."""

from __future__ import annotations

import errno
import functools
import importlib.metadata
import json
import logging
import os
import platform
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from jobflow import CURRENT_JOB, Job, Response
from jobflow import job as jobflow_job
from pydantic import BaseModel

from imatgen_flows.energetics.potential_registry import POTENTIALS
from imatgen_flows.errors import ImatgenError, InputError, Interrupted, JobFailed, Terminated
from imatgen_flows.io.artifacts import ArtifactStore, content_key
from imatgen_flows.io.files import write_atomic
from imatgen_flows.jobs.documents import JobDocument
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.jobs.registry import JOBS, JobSpec
from imatgen_flows.observer import observer
from imatgen_flows.profiles import Profile
from imatgen_flows.settings import get_settings
from imatgen_flows.version import __version__

logger = logging.getLogger(__name__)

CACHE_KEY_PACKAGES = ("torch", "pymatgen", "pymatgen-core", "spglib", "ase", "chgnet", "numpy", "scipy", "scikit-learn")
ENVIRONMENT_FILE = "environment.json"
FAIL_FAST: ContextVar[bool] = ContextVar("fail_fast", default=False)  # where a failed job ends the whole run
FOUND = "found, not repeated"  # what is said of a job whose result an earlier attempt has left
CONTINUATIONS = 200  # jobs that may take over from each other before a job counts as stuck


def cached_job(document: type[JobDocument], *, profile: Profile, label: str) -> Callable[[Callable[..., dict]], Any]:
    """Declare a job whose result is stored under a hash of its inputs, and found there when it is asked for again.

    The decorated function takes the artifact store, a scratch directory that survives a kill, and its inputs as keywords;
    it returns the fields of its document. The job takes the root of the store in place of the first two.

    Parameters
    ----------
    document : type of the document that the job returns
    profile : SLURM profile of the job
    label : its name in the log and in FireWorks; fields such as ``{role}`` are filled from its inputs
    """

    def wrap(function: Callable[..., dict]) -> Any:
        @functools.wraps(function)
        def run(root: str, **inputs: Any) -> JobDocument | Response:
            try:
                return attempt(root, **inputs)
            except Exception as error:
                if FAIL_FAST.get():
                    raise JobFailed(error) from error
                raise

        def attempt(root: str, **inputs: Any) -> JobDocument | Response:
            store = ArtifactStore(root)
            _check_environment(store.root)
            restored = {name: restore(value) for name, value in inputs.items()}
            versions = versions_of(CACHE_KEY_PACKAGES) | _potential_versions(restored)
            key = f"{function.__name__}-{content_key(versions, restored)}"
            title, watching = _current_name(run) or make.spec.title(restored), observer()
            name = function.__name__, make.spec.title(restored)
            finished = store.finished(key)
            if finished is not None:
                found = document(**finished)
                if watching:
                    watching.end(*name, found.seconds, FOUND)
                else:
                    logger.info("%s: %s", title, FOUND)
                return found
            if watching:
                watching.begin(*name)
            else:
                logger.info("%s ...", title)
            began, cpu_before = time.monotonic(), _cpu_seconds()
            try:
                with _interruptible(title), _full_disk(store.root):
                    fields = function(store, store.scratch(key), **restored)
            except Interrupted as stop:
                return _hand_over(make(root, **inputs), stop)
            seconds = round(time.monotonic() - began, 3)
            cost = {"seconds": seconds, "cpu_seconds": round(_cpu_seconds() - cpu_before, 3)}
            made = document(key=key, parents=parents_of(restored), versions=versions, **cost, **fields)
            counts = ", ".join(
                f"{number:,} {name.replace('_', ' ')}" for name, number in getattr(made, "counts", {}).items()
            )
            with _full_disk(store.root):
                store.finish(key, made.model_dump(mode="json"))
            if watching:
                watching.end(*name, seconds, counts)
            else:
                logger.info("%s: done in %.0f s%s", title, seconds, f" ({counts})" if counts else "")
            return made

        make = _declare(run, profile, label, document)
        return make

    return wrap


def dynamic_job(*, profile: Profile, label: str) -> Callable[[Callable[..., Any]], Any]:
    """Declare a job that makes other jobs while the campaign runs, or only hands plain values on.

    Its result is not cached: it costs next to nothing, and the jobs that it makes are.

    Parameters
    ----------
    profile, label : as for `cached_job`
    """
    return lambda function: _declare(function, profile, label, None)


def _declare(run: Callable[..., Any], profile: Profile, label: str, document: type[JobDocument] | None) -> Any:
    """Enter a job into the registry; return the function that makes jobflow's job, with its entry as `.spec`."""
    # jobflow compares job functions without their wrapper, once: a second layer would hide this one
    vars(run).pop("__wrapped__", None)
    make_job = jobflow_job(run, output_schema=document)

    @functools.wraps(run)
    def make(*args: Any, **inputs: Any) -> Job:
        made = make_job(*args, **inputs)
        made.name = spec.title(inputs)
        return made

    description = (run.__doc__ or "").partition("\n")[0]
    spec = JobSpec(run.__name__, label, description, profile, document, make)
    make.original, make.spec = run, spec  # type: ignore[attr-defined]  # jobflow looks for the first of them
    JOBS.add(spec)
    return make


def _current_name(run: Callable[..., Any]) -> str:
    """Return the name of the jobflow job that runs a function now; empty where it was called without one."""
    current = CURRENT_JOB.job
    function = getattr(current, "function", None)
    return current.name if current and getattr(function, "original", function) is run else ""


def parents_of(inputs: Any) -> list[str]:
    """List the keys of all documents among the inputs of a job, each once, in their order."""
    if isinstance(inputs, JobDocument):
        return [inputs.key]
    if isinstance(inputs, dict):
        inputs = list(inputs.values())
    found = [key for item in inputs for key in parents_of(item)] if isinstance(inputs, list | tuple) else []
    return list(dict.fromkeys(found))


def versions_of(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of installed packages, and ours."""
    found = {"imatgen_flows": __version__}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def potential_versions(name: str) -> dict[str, str]:
    """Return the version of the package of a potential, where `CACHE_KEY_PACKAGES` has it not.

    It decides the results of this potential alone: to add it to that list would change the keys of all other campaigns. Where
    the package is missing, as where results are only harvested, there is no version; a job that needs it says so.
    """
    if name not in POTENTIALS or (package := POTENTIALS[name].package) in (*CACHE_KEY_PACKAGES, "imatgen-flows"):
        return {}
    try:
        return {package: installed_potential(name).version}
    except InputError:
        return {}


def _potential_versions(inputs: Mapping[str, Any]) -> dict[str, str]:
    """Return the same of the potentials that a job's inputs name, if any."""
    sections = [inputs, *(inputs.get(name) for name in ("relax", "phonons"))]
    named = [section.get("potential") for section in sections if isinstance(section, Mapping)]
    found: dict[str, str] = {}
    for name in (*named, inputs.get("member")):
        found |= potential_versions(name) if isinstance(name, str) else {}
    return found


def write_environment(root: Path) -> None:
    """Write down which versions a worker must have installed to take part in a campaign.

    Parameters
    ----------
    root : of the artifact store
    """
    write_atomic(root / ENVIRONMENT_FILE, json.dumps(_environment(), indent=1))


def _environment() -> dict[str, str]:
    return {"python": ".".join(platform.python_version_tuple()[:2])} | versions_of(CACHE_KEY_PACKAGES)


def _check_environment(root: Path) -> None:
    """Refuse to work beside other versions: the same job would get another key, and be run twice."""
    path = root / ENVIRONMENT_FILE
    if not path.is_file():
        return
    wanted, here = json.loads(path.read_text()), _environment()
    differing = [
        f"{name} {here.get(name, 'none')} instead of {wanted[name]}"
        for name in wanted
        if here.get(name) != wanted[name]
    ]
    if differing:
        raise InputError(
            f"this worker has {', '.join(differing)}, unlike where the campaign was submitted. "
            "Set `python` in cluster.yaml to the environment that submits, then `imatgen retry`."
        )


def _cpu_seconds() -> float:
    """Return the CPU time (s) of this process and of all that it has started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextmanager
def _interruptible(title: str) -> Iterator[None]:
    """End the work between two steps on SLURM's warning before the walltime and on Ctrl-C; the scratch keeps what is done."""

    def interruption(number: int) -> Interrupted:
        return Interrupted(f"{title}: stopped by {signal.Signals(number).name}; it continues from its scratch.", number)

    def stop(number: int, _frame: Any) -> None:
        raise interruption(number)

    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGUSR1, stop) if in_main_thread else None
    try:
        yield
    except KeyboardInterrupt as error:  # Ctrl-C, which nothing on the way here takes for the failure of one structure
        raise interruption(signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT) from error
    finally:
        if in_main_thread:
            signal.signal(signal.SIGUSR1, before)


def _hand_over(again: Any, stop: Interrupted) -> Response:
    """Replace this job by one that continues it, where the walltime and nothing else ended it."""
    current = CURRENT_JOB.job
    if stop.signal != signal.SIGUSR1 or get_settings().on_walltime == "stop" or current is None:
        raise stop
    if current.index > CONTINUATIONS:
        raise ImatgenError(f"{stop} This was continuation {CONTINUATIONS}: give its profile a longer walltime.")
    logger.info("%s Another job takes over.", stop)
    again.name, again.config = current.name, current.config
    return Response(replace=again)


@contextmanager
def _full_disk(root: Path) -> Iterator[None]:
    """Name the disk that is full: the plain error gives neither the place nor the cure."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ImatgenError(
            f"{error.filename or root}: {os.strerror(error.errno)}. Make room, then `imatgen run --resume`, or "
            "`imatgen retry` on a cluster: finished jobs are not repeated."
        ) from error


def restore(value: Any) -> Any:
    """Give a document its class back, where the workflow engine made it a dictionary."""
    if isinstance(value, BaseModel):
        return value
    if isinstance(value, dict):
        from imatgen_flows.jobs import documents

        name = value.get("@class")
        if name in documents.__all__:
            return getattr(documents, name)(**{key: item for key, item in value.items() if not key.startswith("@")})
        return {key: restore(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [restore(item) for item in value]
    return str(value) if isinstance(value, Path) else value
