"""The part of the plan that phonons are: how many supercells of which size the best candidates will take at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imatgen_flows.config import CampaignConfig

if TYPE_CHECKING:
    from pymatgen.core import Structure

LOOKED_AT = 12  # training structures, of all sizes, whose supercells stand for those of the candidates
DISPLACEMENTS_OF_AN_ATOM = (
    6  # of a crystal without symmetry, two ways along three directions; generated ones have little
)
# evaluations beside those of supercells: 11 of the tight relaxation and 42 of checks, means over ten shortlisted V-O
# candidates with CHGNet (notebook/2026-11-30-phonons.md)
TIGHT_RELAXATION = 53


@dataclass(frozen=True)
class PhononPlan:
    """What the phonons of one round take at most.

    Attributes
    ----------
    structures : whose phonons are computed
    evaluations : of all of them
    atoms : of a supercell, in the mean
    too_large : share of the structures looked at that are too large for `phonons.max_atoms`
    """

    structures: int
    evaluations: int
    atoms: int
    too_large: float

    @property
    def sentence(self) -> str:
        """Say it in words."""
        said = (
            f"at most {self.structures:,} structures a round, about {self.evaluations:,} evaluations of supercells of "
            f"about {self.atoms:,} atoms"
        )
        large = f"; {self.too_large:.0%} of the cells looked at are too large (`phonons.max_atoms`)"
        return said + (large if self.too_large else "")


def plan_phonons(config: CampaignConfig, structures: Sequence[Structure]) -> PhononPlan | None:
    """Estimate what phonons take from the supercells of some training structures; None where none are asked for."""
    from imatgen_flows.energetics.phonon_cells import PhononSettings, phonon_cost

    section = config.phonons
    if not section.at_most or not structures:
        return None
    ordered = sorted(structures, key=len)
    places = np.unique(np.linspace(0, len(ordered) - 1, LOOKED_AT).round().astype(int))
    settings = PhononSettings(supercell=section.supercell, max_atoms=section.max_atoms)
    costs = [phonon_cost(ordered[place], settings) for place in places]
    fitting = [cost for cost in costs if not cost.obstacle] or costs
    atoms = float(np.mean([cost.supercell_atoms for cost in fitting]))
    cells = float(np.mean([cost.atoms for cost in fitting]))
    number = min(section.at_most, config.screen.at_most)
    return PhononPlan(
        structures=number,
        evaluations=round(number * (TIGHT_RELAXATION + DISPLACEMENTS_OF_AN_ATOM * cells)),
        atoms=round(atoms),
        too_large=sum(cost.obstacle == "too_large" for cost in costs) / len(costs),
    )
