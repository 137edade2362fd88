"""What the evaluations of a campaign cost, by their purpose, for its plan."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from imatgen_flows.config import CampaignConfig
from imatgen_flows.managers.trial import MachineRates
from imatgen_flows.settings import get_settings

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.managers.phonon_plan import PhononPlan

# evaluations of 7net-0 from where CHGNet left 37 V-O references (21 each) and 60 candidates (13), to 0.05 eV/A
# (notebook/2026-11-30-committee.md)
EVALUATIONS_OF_A_MEMBER = 17


def committee_evaluations(config: CampaignConfig, references: int) -> dict[str, int]:
    """Estimate the evaluations of all members of the committee, once and in a round; empty where there is none."""
    committee = config.committee
    if not committee.potentials:
        return {}
    of_each = {"committee references": references, "committee": min(committee.at_most, config.screen.at_most)}
    return {name: len(committee.potentials) * n * EVALUATIONS_OF_A_MEMBER for name, n in of_each.items()}


def sites_by_purpose(
    structures: Sequence[Structure], phases: Sequence[Structure], phonons: PhononPlan | None
) -> dict[str, float]:
    """Say how many sites an evaluation has in the mean, by its purpose.

    Parameters
    ----------
    structures : of the dataset: labels are of these, and candidates are of their size
    phases : published ones, which the hull relaxes beside substituted structures
    phonons : their plan; None where none are asked for
    """
    candidates, references = (statistics.fmean(map(len, group)) for group in (structures, [*phases, *structures]))
    sites = {"labels": candidates, "references": references, "screen": candidates}
    sites |= {"committee references": references, "committee": candidates}
    return sites | ({"phonons": phonons.atoms} if phonons else {})


def seconds_by_purpose(
    evaluations: Mapping[str, int], rates: MachineRates, sites: Mapping[str, float]
) -> dict[str, float]:
    """Estimate the time of evaluations by their purpose, s.

    Parameters
    ----------
    evaluations : their number by purpose
    rates : of this machine; the members of the committee share its evaluations
    sites : of an evaluation by its purpose
    """

    def seconds(purpose: str) -> float:
        if purpose == "labels":
            return rates.potential.seconds_of_energy(sites[purpose])
        asked = rates.members if purpose.startswith("committee") else [rates.potential]
        return statistics.fmean(each.seconds(sites[purpose]) for each in asked) if asked else 0.0

    return {purpose: number * seconds(purpose) / get_settings().n_workers for purpose, number in evaluations.items()}
