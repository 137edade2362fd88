"""The stages of a campaign: the jobs that its run will go through, before any of them has run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import CampaignConfig
from imatgen_flows.jobs.calculations import collect_calculations
from imatgen_flows.jobs.documents import ModelDocument, RoundDocument
from imatgen_flows.jobs.place_calculations import place_candidates, place_references
from imatgen_flows.jobs.rank_candidates import rank_candidates
from imatgen_flows.jobs.registry import JOBS, JobSpec
from imatgen_flows.jobs.relax_batch import relax_batch
from imatgen_flows.jobs.screen_batches import screen_batches
from imatgen_flows.jobs.validation import validate_references, validate_shortlist

if TYPE_CHECKING:
    from jobflow import Flow, Job

# what jobs that only make others stand for, where that does not depend on the campaign
STANDS_FOR = {
    screen_batches: (relax_batch, rank_candidates),
    validate_references: (collect_calculations, place_references),
    validate_shortlist: (collect_calculations, place_candidates),
}


@dataclass(frozen=True)
class CampaignStage:
    """One job of a campaign; the batches of one screening are one.

    Attributes
    ----------
    job : its name in the registry of jobs
    title : its label, with its fields filled
    round : from 1
    """

    job: str
    title: str
    round: int

    @property
    def repeats(self) -> bool:
        """Whether several jobs in turn are this stage."""
        return self.job == relax_batch.spec.name


def campaign_stages(config: CampaignConfig) -> list[CampaignStage]:
    """List what a campaign will do, in order, by building its flow without running it.

    A campaign of several rounds has the stages of all of them; a stop rule may end it before.

    Examples
    --------
    >>> from imatgen_flows.config import CampaignConfig
    >>> config = CampaignConfig(system=["V", "O"], rounds={"at_most": 2})
    >>> [stage.title for stage in campaign_stages(config)][:3]
    ['build dataset', 'relax references', 'train cell autoencoder']
    """
    from imatgen_flows.flows import CampaignMaker

    with tempfile.TemporaryDirectory() as directory:
        return list(_stages(CampaignMaker(config).make(directory), config, 1))


def _stages(flow: Flow, config: CampaignConfig, number: int) -> Iterator[CampaignStage]:
    """List the stages of a flow, and of the flows that its jobs will be replaced by."""
    from imatgen_flows.flows.rounds import decide_next_round
    from imatgen_flows.flows.search import search_next_batch

    standing = {maker.spec.name: made for maker, made in STANDS_FOR.items()}
    for job, _ in flow.iterflow():
        name = job.function.__name__
        if name == search_next_batch.spec.name:
            yield from _stages(_replacement(job), config, number)
        elif name == decide_next_round.spec.name:
            if number < config.rounds.at_most:
                yield from _stages(_next_round(job, config, number), config, number + 1)
        elif name in standing:
            yield from (CampaignStage(made.spec.name, made.spec.label, number) for made in standing[name])
        else:
            yield CampaignStage(name, _spec(name).title(job.function_kwargs), number)


def _spec(name: str) -> JobSpec:
    return JOBS[name]


def _replacement(job: Job) -> Flow:
    """Return the flow that a job is replaced by: it hands the references to documents on, which need not be there."""
    function = getattr(job.function, "original", job.function)
    return function(*job.function_args, **job.function_kwargs).replace


def _next_round(job: Job, config: CampaignConfig, number: int) -> Flow:
    """Return the flow of the round after one, as `decide_next_round` makes it where no stop rule holds."""
    from imatgen_flows.flows.rounds import next_round

    given: dict[str, Any] = job.function_kwargs
    planned: dict[str, Any] = {"key": "planned"}  # the one field of a document that is looked at before anything runs
    finished = RoundDocument.model_construct(**planned | {"round": number - 1})
    data, candidates = given["data"], given["candidates"]
    # no references: networks that are not trained further are an output of the round, and of another flow's jobs
    networks: Any = {role: ModelDocument.model_construct(**planned) for role in given["networks"]}
    return next_round(job.function_args[0], config, given["walltimes"], data, networks, candidates, finished)
