"""Crystal structures: templates, substitution, the standard cell, chemical limits, distances and repair."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imatgen_flows.crystals.charge_balance import is_charge_balanced

# spglib writes to stderr from C where it finds no symmetry; it returns nothing then, which is handled where it is called
os.environ.setdefault("SPGLIB_WARNING", "OFF")

__all__ = ["is_charge_balanced"]


def __getattr__(name: str) -> Any:
    """Load a name of the public API when it is first used: it needs pymatgen, which the registries here do not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.charge_balance"), name)
