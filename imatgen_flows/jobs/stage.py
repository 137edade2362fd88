"""A stage: a job that finds its own finished result and then does nothing."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobflow import job
from pydantic import BaseModel

from imatgen_flows import __version__
from imatgen_flows.artifacts import ArtifactStore, content_key
from imatgen_flows.schemas import StageDocument

logger = logging.getLogger(__name__)

DECIDING = ("torch", "pymatgen", "pymatgen-core", "spglib", "ase", "chgnet", "numpy", "scipy")


def stage(schema: type[StageDocument]) -> Callable[[Callable[..., dict]], Any]:
    """Turn a function into a jobflow job whose result is found again by what went into it.

    The function takes the artifact store, a scratch directory that survives a kill, and its inputs; it returns the fields
    of its document. The job takes the store's root in place of the first two.

    Parameters
    ----------
    schema : the document of the stage
    """

    def wrap(function: Callable[..., dict]) -> Any:
        @functools.wraps(function)
        def run(root: str, **inputs: Any) -> StageDocument:
            store = ArtifactStore(root)
            inputs = {name: _restore(value) for name, value in inputs.items()}
            versions = versions_of(DECIDING)
            key = f"{function.__name__}-{content_key(versions, inputs)}"
            finished = store.finished(key)
            title = function.__name__.replace("_", " ")
            if finished is not None:
                logger.info("%s: found, not repeated", title)
                return schema(**finished)
            logger.info("%s ...", title)
            began = time.monotonic()
            fields = function(store, store.scratch(key), **inputs)
            parents = [value.key for value in inputs.values() if isinstance(value, StageDocument)]
            seconds = round(time.monotonic() - began, 3)
            document = schema(key=key, parents=parents, versions=versions, seconds=seconds, **fields)
            counts = ", ".join(f"{number:,} {name}" for name, number in getattr(document, "counts", {}).items())
            logger.info("%s: done in %.0f s%s", title, seconds, f" ({counts})" if counts else "")
            store.finish(key, document.model_dump(mode="json"))
            return document

        return job(run, output_schema=schema)

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


def _restore(value: Any) -> Any:
    """Give a document its class back, where the workflow engine made it a dictionary."""
    if isinstance(value, BaseModel):
        return value
    if isinstance(value, dict):
        from imatgen_flows import schemas

        name = value.get("@class")
        if name in schemas.__all__:
            return getattr(schemas, name)(**{key: item for key, item in value.items() if not key.startswith("@")})
        return {key: _restore(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_restore(item) for item in value]
    return str(value) if isinstance(value, Path) else value
