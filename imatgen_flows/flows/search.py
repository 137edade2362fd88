"""The flow of the search of one round: batches of candidates from competing sources, each relaxed and ranked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobflow import Flow, Maker, Response

from imatgen_flows.config import CampaignConfig
from imatgen_flows.flows.common import plain
from imatgen_flows.flows.screen import ScreenMaker
from imatgen_flows.jobs.cached_job import dynamic_job
from imatgen_flows.jobs.documents import CampaignData, CandidatesDocument, InputFile, RoundDocument
from imatgen_flows.jobs.propose_candidates import SECTIONS, propose_candidates
from imatgen_flows.profiles import Profile


@dataclass
class SearchMaker(Maker):
    """Share the relaxations of a round among the sources, batch by batch, and rank what they find."""

    config: CampaignConfig
    name: str = "search"
    walltime: float | None = None  # of a relaxation job, s; None where there is no limit

    def make(
        self,
        root: str,
        data: CampaignData,
        candidates: Any = None,
        previous: RoundDocument | None = None,
        batch: int = 0,
    ) -> Flow:
        """Build the flow of one batch, which makes the next one.

        Parameters
        ----------
        root : of the artifact store
        data : documents, or references to them: dataset, labels, evaluated labels and references
        candidates : document of the candidates of this round so far, or a reference to it; None where there are none
        previous : document of the round before
        batch : of the round, from 0
        """
        config = self.config
        part = CampaignData(dataset=data["dataset"], labels=data["labels"], references=data["references"])
        sections = {name: value for name, value in plain(config).items() if name in SECTIONS}
        # of the rounds this alone: with more of them, those that are finished are not proposed again
        sections["rounds"] = {"kappa": config.rounds.kappa}
        sections["model"] = config.model.training
        proposed = propose_candidates(
            root,
            data=part,
            campaign=sections,
            candidates=candidates,
            previous=previous,
            files=InputFile.of(config.sources.files),
            batch=batch,
        )
        screen = ScreenMaker(screen=config.screen, walltime=self.walltime, pressure=config.search.pressure).make(
            root, proposed.output, data
        )
        batches = config.sources.number_of_batches
        if batches > 1:
            proposed.name += f" ({batch + 1} of {batches})"
        if batch + 1 == batches:
            return Flow([proposed, screen], output=screen.output, name=self.name)
        following = search_next_batch(
            root,
            campaign=plain(config),
            walltime=self.walltime,
            data=part | {"evaluated": data["evaluated"]},
            candidates=screen.output,
            previous=previous,
            batch=batch + 1,
        )
        return Flow([proposed, screen, following], output=following.output, name=self.name)


@dynamic_job(profile=Profile.LIGHT, label="search next batch")
def search_next_batch(
    root: str,
    *,
    campaign: dict[str, Any],
    walltime: float | None,
    data: CampaignData,
    candidates: CandidatesDocument,
    previous: RoundDocument | None,
    batch: int,
) -> Response:
    """Replace this job by the next batch, which knows what those before it have found."""
    maker = SearchMaker(CampaignConfig.model_validate(campaign), walltime=walltime)
    flow = maker.make(root, data, candidates, previous, batch)
    return Response(replace=flow)
