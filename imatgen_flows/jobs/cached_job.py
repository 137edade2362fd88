"""A stage: a job that finds its own finished result and then does nothing."""

from __future__ import annotations

import errno
import functools
import importlib.metadata
import json
import logging
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from jobflow import CURRENT_JOB, Response, job
from pydantic import BaseModel

from imatgen_flows import __version__
from imatgen_flows.errors import ImatgenError, InputError, Interrupted, JobFailed
from imatgen_flows.io.artifacts import ArtifactStore, content_key
from imatgen_flows.io.files import write_atomic
from imatgen_flows.jobs.documents import JobDocument
from imatgen_flows.settings import get_settings

logger = logging.getLogger(__name__)

CACHE_KEY_PACKAGES = ("torch", "pymatgen", "pymatgen-core", "spglib", "ase", "chgnet", "numpy", "scipy")
ENVIRONMENT_FILE = "environment.json"
FAIL_FAST: ContextVar[bool] = ContextVar("fail_fast", default=False)  # where a failed stage ends the whole run
CONTINUATIONS = 200  # jobs that may take over from each other before a stage counts as stuck


def cached_job(schema: type[JobDocument]) -> Callable[[Callable[..., dict]], Any]:
    """Turn a function into a jobflow job whose result is found again by what went into it.

    The function takes the artifact store, a scratch directory that survives a kill, and its inputs; it returns the fields
    of its document. The job takes the store's root in place of the first two.

    Parameters
    ----------
    schema : the document of the stage
    """

    def wrap(function: Callable[..., dict]) -> Any:
        title = function.__name__.replace("_", " ")

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
            versions = versions_of(CACHE_KEY_PACKAGES)
            key = f"{function.__name__}-{content_key(versions, restored)}"
            finished = store.finished(key)
            if finished is not None:
                logger.info("%s: found, not repeated", title)
                return schema(**finished)
            logger.info("%s ...", title)
            began = time.monotonic()
            try:
                with _interruptible(title), _full_disk(store.root):
                    fields = function(store, store.scratch(key), **restored)
            except Interrupted as stop:
                return _hand_over(make(root, **inputs), stop)
            parents = [value.key for value in restored.values() if isinstance(value, JobDocument)]
            seconds = round(time.monotonic() - began, 3)
            document = schema(key=key, parents=parents, versions=versions, seconds=seconds, **fields)
            counts = ", ".join(f"{number:,} {name}" for name, number in getattr(document, "counts", {}).items())
            logger.info("%s: done in %.0f s%s", title, seconds, f" ({counts})" if counts else "")
            with _full_disk(store.root):
                store.finish(key, document.model_dump(mode="json"))
            return document

        make = job(run, output_schema=schema, name=title)
        return make

    return wrap


def versions_of(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of installed packages, and ours."""
    found = {"imatgen_flows": __version__}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write_environment(root: Path) -> None:
    """Say what a worker must have installed to take part in a campaign.

    Parameters
    ----------
    root : of the artifact store
    """
    write_atomic(root / ENVIRONMENT_FILE, json.dumps(_environment(), indent=1))


def _environment() -> dict[str, str]:
    return {"python": ".".join(platform.python_version_tuple()[:2])} | versions_of(CACHE_KEY_PACKAGES)


def _check_environment(root: Path) -> None:
    """Refuse to work beside other versions: the same stage would get another key, and be made twice."""
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


@contextmanager
def _interruptible(title: str) -> Iterator[None]:
    """Let SLURM's warning before the walltime end the work between two steps, with what is done kept in the scratch."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: Any) -> None:
        raise Interrupted(f"{title}: stopped by {signal.Signals(number).name}; it continues from its scratch.", number)

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        yield
    finally:
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
    """Say which disk is full: the plain error names neither place nor cure."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ImatgenError(
            f"{error.filename or root}: {os.strerror(error.errno)}. Make room, then `imatgen run --resume`, or "
            "`imatgen retry` on a cluster: finished stages are not repeated."
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
