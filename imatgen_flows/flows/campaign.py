"""The whole campaign."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jobflow import Flow, Maker

from imatgen_flows.config import CampaignConfig
from imatgen_flows.flows.dataset import DatasetMaker
from imatgen_flows.flows.rounds import round_flow


@dataclass
class CampaignMaker(Maker):
    """Build the dataset, and chain rounds of generation and screening until a stop rule holds."""

    config: CampaignConfig
    name: str = "campaign"
    walltime: float | None = None  # of a relaxation job, s; None where there is no limit

    def make(self, directory: str | Path) -> Flow:
        """Build the flow.

        Parameters
        ----------
        directory : the run directory; artifacts lie in it
        """
        config, root = self.config, str(Path(directory).absolute() / "artifacts")
        dataset = DatasetMaker(
            templates=config.templates,
            limits=config.limits,
            labels=config.labels,
            references=config.references,
            screen=config.screen,
        ).make(root, config.system)
        data = dataset.output
        first = round_flow(root, config, self.walltime, data | {"priced": data["labels"]})
        return Flow([dataset, first], output=first.output, name=f"{config.title}: {self.name}")
