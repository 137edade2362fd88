"""What several Makers need."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from imatgen_flows.settings import get_settings


def plain(section: BaseModel) -> dict[str, Any]:
    """Return a section of the campaign as plain values: jobs take data, not classes."""
    return section.model_dump(mode="json", by_alias=True)


def template_cache() -> str:
    """Return the directory where downloaded templates are cached."""
    return str(get_settings().cache_dir)
