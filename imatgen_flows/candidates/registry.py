"""What is done about candidates that are not charge balanced, by name."""

from __future__ import annotations

from imatgen_flows.registry import Entry, Registry

REJECT_UNBALANCED = "reject"
KEEP_UNBALANCED = "none"
CHARGE_CHECKS = Registry(
    "choice for charge balance",
    Entry(KEEP_UNBALANCED, "Kept", "It decides nothing; the column `charge_balanced` alone tells."),
    Entry("flag", "Kept and marked", "They are kept, and the report counts and marks them."),
    Entry(REJECT_UNBALANCED, "Rejected", "They are rejected before they are compared and relaxed."),
)
# of the compounds of the Materials Project, 0.6 % of the binaries on its hull are not charge balanced, and 24 % of those 0.5
# eV/atom above it (`benchmarks/charge_balance.py`): what is rejected costs a relaxation, and is rarely stable
DEFAULT_CHARGE_CHECK = REJECT_UNBALANCED
