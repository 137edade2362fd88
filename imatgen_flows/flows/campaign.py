"""One pass of the whole campaign."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jobflow import Flow, Maker

from imatgen_flows.config import CampaignConfig
from imatgen_flows.flows.dataset import DatasetMaker
from imatgen_flows.flows.generate import GenerateMaker
from imatgen_flows.flows.screen import ScreenMaker
from imatgen_flows.jobs.collect import finish_round


@dataclass
class CampaignMaker(Maker):
    """Chain dataset, generation and screening, and close the books."""

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
        generate = GenerateMaker(generator=config.generator, sampling=config.sampling, limits=config.limits).make(
            root, data["dataset"], data["labels"], data["references"]
        )
        made = generate.output
        screen = ScreenMaker(screen=config.screen, walltime=self.walltime).make(
            root, made["candidates"], data["dataset"], data["labels"], data["references"]
        )
        finish = finish_round(
            root,
            samples=config.sampling.total,
            **data,
            models=made["models"],
            reconstruction=made["reconstruction"],
            candidates=screen.output,
            round_number=0,
        )
        return Flow([dataset, generate, screen, finish], output=finish.output, name=f"{config.title}: {self.name}")
