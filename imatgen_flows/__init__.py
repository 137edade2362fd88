"""Inverse design of crystals: learn known structures, generate new ones, rank them on a convex hull.

The names below are the public API. Each is loaded when it is first used, so that `import imatgen_flows` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from imatgen_flows.version import __version__ as __version__

if TYPE_CHECKING:
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.run import Run, run_campaign
    from imatgen_flows.toolkit import generate, load_model, relax, screen

_MODULES = {
    "CampaignConfig": "config",
    "Run": "run",
    "generate": "toolkit",
    "load_model": "toolkit",
    "relax": "toolkit",
    "run_campaign": "run",
    "screen": "toolkit",
}
__all__ = ["CampaignConfig", "Run", "generate", "load_model", "relax", "run_campaign", "screen"]


def __getattr__(name: str) -> Any:
    """Load a name of the public API."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public API, for completion in a notebook."""
    return sorted([*globals(), *__all__])
