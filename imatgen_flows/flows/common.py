"""What several Makers need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from imatgen_flows.io.artifacts import content_key, file_hash


def plain(section: BaseModel) -> dict[str, Any]:
    """Return a section of the campaign as plain values: jobs take data, not classes."""
    return section.model_dump(mode="json", by_alias=True)


def content_of(path: Path | None) -> str:
    """Name the content of a file or folder, so that a changed one is a different input."""
    if path is None or not path.exists():
        return ""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return content_key([(file.name, file_hash(file)) for file in files if file.is_file()])
