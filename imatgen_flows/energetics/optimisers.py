"""Optimisers of relaxations by name, and which of them relaxes the structures of a campaign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imatgen_flows.registry import Entry, Registry, load_object

if TYPE_CHECKING:
    from ase.optimize.optimize import Optimizer


@dataclass(frozen=True)
class OptimiserEntry(Entry):
    """An optimiser. The label stands in the methods paragraph of a report.

    Parameters
    ----------
    factory : ``module:class`` of an ASE optimiser
    """

    factory: str = ""

    def start(self, target: Any) -> Optimizer:
        """Set it up for ASE's atoms, or a cell filter on atoms."""
        optimiser: Optimizer = load_object(self.factory)(target, logfile=None)
        return optimiser


FIRE, BFGS, SPRING_BFGS = "FIRE", "BFGS", "spring_bfgs"

OPTIMISERS = Registry(
    "optimiser",
    OptimiserEntry(FIRE, "ASE's FIRE", "Damped dynamics.", "ase.optimize:FIRE"),
    OptimiserEntry(BFGS, "ASE's BFGS", "From 70 eV/A^2 for each coordinate.", "ase.optimize:BFGS"),
    OptimiserEntry(
        SPRING_BFGS,
        "ASE's BFGS from a model Hessian of springs between neighbours",
        "From springs between neighbours, without updates of negative curvature.",
        "imatgen_flows.energetics.spring_bfgs:SpringBFGS",
    ),
)
OPTIMISER = SPRING_BFGS  # the fewest evaluations in `python benchmarks/relaxation.py OUT.json --data DATA --run RUN`
