"""The Makers of a campaign: choices, and how jobs are chained."""

from imatgen_flows.flows.campaign import CampaignMaker
from imatgen_flows.flows.dataset import DatasetMaker
from imatgen_flows.flows.generate import GenerateMaker
from imatgen_flows.flows.screen import ScreenMaker
from imatgen_flows.flows.validate import ValidateMaker

__all__ = ["CampaignMaker", "DatasetMaker", "GenerateMaker", "ScreenMaker", "ValidateMaker"]
