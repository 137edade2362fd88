"""Who proposes candidates. Each source answers the same list of slots, so that their answers compare."""

from imatgen_flows.discovery.sources.generator import Generated, choose_generated
from imatgen_flows.discovery.sources.random_search import check_random_search, propose_random
from imatgen_flows.discovery.sources.rattled import propose_rattled
from imatgen_flows.discovery.sources.slots import Limits, Proposal, Slot, propose_unknown
from imatgen_flows.discovery.sources.substitution import propose_substituted

__all__ = [
    "Generated",
    "Limits",
    "Proposal",
    "Slot",
    "check_random_search",
    "choose_generated",
    "propose_random",
    "propose_rattled",
    "propose_substituted",
    "propose_unknown",
]
