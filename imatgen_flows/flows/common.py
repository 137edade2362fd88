"""Functions that several Makers share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from imatgen_flows.jobs.documents import InputFile


def plain(section: BaseModel) -> dict[str, Any]:
    """Return a section of the campaign as plain values, which jobs take instead of classes."""
    return section.model_dump(mode="json", by_alias=True)


def with_files(section: BaseModel) -> dict[str, Any]:
    """Return a section as plain values, its paths as input files: the cache keys of jobs depend on their content alone."""
    paths = {name: value for name, value in section if isinstance(value, Path)}
    return plain(section) | {name: InputFile.of(path) for name, path in paths.items()}
