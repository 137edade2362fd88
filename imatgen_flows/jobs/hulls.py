"""The hull of a reference document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imatgen_flows.io.artifacts import read_json
from imatgen_flows.jobs.documents import ReferenceDocument

if TYPE_CHECKING:
    from imatgen_flows.energetics.hull import Hull


def load_hull(references: ReferenceDocument) -> Hull:
    """Read the hull of a reference document."""
    from imatgen_flows.energetics.hull import Hull

    return Hull.from_dict(read_json(references.hull))
