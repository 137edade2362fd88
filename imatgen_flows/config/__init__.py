"""The campaign file: the one file that a user writes, section by section."""

from imatgen_flows.config.campaign import CampaignConfig
from imatgen_flows.config.crystals import Known, Limits, Search, SourceSection, Templates, Validity
from imatgen_flows.config.energies import Labels, References, Rounds, Screen
from imatgen_flows.config.evidence import Committee, Elsewhere, Phonons, Validate
from imatgen_flows.config.networks import Model, Sampling
from imatgen_flows.config.sources import BATCHES, Sources

__all__ = [
    "BATCHES",
    "CampaignConfig",
    "Committee",
    "Elsewhere",
    "Known",
    "Labels",
    "Limits",
    "Model",
    "Phonons",
    "References",
    "Rounds",
    "Sampling",
    "Screen",
    "Search",
    "SourceSection",
    "Sources",
    "Templates",
    "Validate",
    "Validity",
]
