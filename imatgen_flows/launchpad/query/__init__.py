"""MongoDB's query language: filters, updates, projections, sorting and aggregation pipelines.

Stored documents are never changed here: an update changes a copy, and a stage makes new documents.
"""

from imatgen_flows.launchpad.query.documents import CODEC, Document, copy
from imatgen_flows.launchpad.query.filters import compiled, matches
from imatgen_flows.launchpad.query.paths import values_at
from imatgen_flows.launchpad.query.pipelines import Find, run_stages
from imatgen_flows.launchpad.query.projections import compiled_projection
from imatgen_flows.launchpad.query.sorting import order
from imatgen_flows.launchpad.query.updates import check_id, is_replacement, seed, updated

__all__ = [
    "CODEC",
    "Document",
    "Find",
    "check_id",
    "compiled",
    "compiled_projection",
    "copy",
    "is_replacement",
    "matches",
    "order",
    "run_stages",
    "seed",
    "updated",
    "values_at",
]
