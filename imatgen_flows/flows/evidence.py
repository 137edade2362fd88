"""The flow of the evidence for a shortlist: the committee, the phonons, and what is already known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobflow import Flow, Maker

from imatgen_flows.config import CampaignConfig
from imatgen_flows.flows.committee import CommitteeMaker
from imatgen_flows.flows.common import plain, with_files
from imatgen_flows.flows.phonons import PhononMaker
from imatgen_flows.jobs.documents import CampaignData
from imatgen_flows.jobs.known_elsewhere import known_elsewhere


@dataclass
class EvidenceMaker(Maker):
    """Gather what a referee asks for of each shortlisted candidate, before DFT calculates it."""

    config: CampaignConfig
    name: str = "evidence"

    def make(self, root: str, candidates: Any, data: CampaignData, round_number: int = 0) -> Flow:
        """Build the flow.

        What costs little is last, so that a change of it repeats nothing else; phonons come after the committee, since they
        are computed of what it agrees on.

        Parameters
        ----------
        root : of the artifact store
        candidates : document of the ranked candidates of a round, or a reference to it
        data : documents, or references to them: dataset and references
        round_number : of the campaign
        """
        config = self.config
        jobs: list[Any] = []
        if config.committee.potentials:
            jobs.append(CommitteeMaker(config).make(root, candidates, data["references"], round_number))
            candidates = jobs[-1].output
        if config.phonons.at_most:
            pressure = config.search.pressure
            maker = PhononMaker(phonons=config.phonons, screened_by=config.screen.potential, pressure=pressure)
            jobs.append(maker.make(root, candidates))
            candidates = jobs[-1].output
        known = known_elsewhere(
            root,
            candidates=candidates,
            data=CampaignData(dataset=data["dataset"], references=data["references"]),
            system=config.system,
            known=with_files(config.known),
            elsewhere=plain(config.elsewhere),
            potential=config.screen.potential,
        )
        return Flow([*jobs, known], output=known.output, name=self.name)
