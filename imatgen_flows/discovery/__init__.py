"""What is new, and what it took."""

from imatgen_flows.discovery.ledger import Ledger, LedgerError
from imatgen_flows.discovery.novelty import Novelty, NoveltyJudge
from imatgen_flows.discovery.similarity import StructureIndex, group_duplicates, primitive_cells

__all__ = ["Ledger", "LedgerError", "Novelty", "NoveltyJudge", "StructureIndex", "group_duplicates", "primitive_cells"]
