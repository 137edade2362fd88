"""The flow of a whole campaign."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobflow import Flow, Maker

from imatgen_flows.config import CampaignConfig
from imatgen_flows.flows.dataset import DatasetMaker
from imatgen_flows.flows.rounds import round_flow
from imatgen_flows.flows.validate import ValidateMaker


@dataclass
class CampaignMaker(Maker):
    """Build the dataset, and chain rounds of generation and screening until a stop rule holds."""

    config: CampaignConfig
    name: str = "campaign"
    walltime: float | None = None  # of a relaxation job, s; None where there is no limit
    dft_walltime: float | None = None  # of a DFT job, s

    def make(self, directory: str | Path) -> Flow:
        """Build the flow.

        Parameters
        ----------
        directory : the run directory; artifacts lie in it
        """
        config, root = self.config, str(Path(directory).absolute() / "artifacts")
        dataset = DatasetMaker(
            templates=config.templates,
            known=config.known,
            limits=config.limits,
            labels=config.labels,
            references=config.references,
            screen=config.screen,
            pressure=config.search.pressure,
        ).make(root, config.system)
        data, jobs = dataset.output, [dataset]
        if config.validation.is_wanted:
            validate = ValidateMaker(
                validate=config.validation, walltime=self.dft_walltime, pressure=config.search.pressure
            )
            jobs.append(validate.make_references(root, data["references"], config.system))
            data = data | {"calculated": jobs[-1].output}
        first = round_flow(root, config, (self.walltime, self.dft_walltime), data)
        made: list[Any] = [*jobs, first]
        return Flow(made, output=first.output, name=f"{config.title}: {self.name}")
