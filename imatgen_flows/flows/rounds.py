"""The flow of one round, and the job that decides whether another follows."""

from __future__ import annotations

import logging
from typing import Any

from jobflow import Flow, Response

from imatgen_flows.config import CampaignConfig
from imatgen_flows.flows.common import plain
from imatgen_flows.flows.evidence import EvidenceMaker
from imatgen_flows.flows.generate import GenerateMaker
from imatgen_flows.flows.search import SearchMaker
from imatgen_flows.flows.validate import ValidateMaker
from imatgen_flows.jobs.cached_job import dynamic_job
from imatgen_flows.jobs.documents import CampaignData, NetworkDocuments, RoundDocument
from imatgen_flows.jobs.extend_dataset import extend_dataset, extend_labels
from imatgen_flows.jobs.finish_round import finish_round
from imatgen_flows.profiles import Profile

logger = logging.getLogger(__name__)


def round_flow(
    root: str,
    config: CampaignConfig,
    walltimes: tuple[float | None, float | None],
    data: CampaignData,
    start: NetworkDocuments | None = None,
    previous: RoundDocument | None = None,
) -> Flow:
    """Chain generation, search and the ledger of one round, and the decision about the next.

    Parameters
    ----------
    root : of the artifact store
    config : the campaign
    walltimes : of a relaxation job and of a DFT job, s; None where there is no limit
    data : documents, or references to them
    start : networks of the round before this one, by role
    previous : document of the round before this one
    """
    number = previous.round + 1 if previous else 0
    jobs: list[Any] = []
    made: Any = {"networks": {}, "reconstruction": None, "candidates": None}
    if config.sources.uses_generator:
        jobs.append(_generate(config).make(root, data, number, start))
        made = jobs[-1].output
    jobs.append(SearchMaker(config, walltime=walltimes[0]).make(root, data, made["candidates"], previous))
    jobs.append(EvidenceMaker(config).make(root, jobs[-1].output, data, number))
    if config.validation.is_wanted:
        pressure = config.search.pressure
        validate = ValidateMaker(validate=config.validation, walltime=walltimes[1], pressure=pressure)
        jobs.append(validate.make(root, jobs[-1].output, data["calculated"]))
    candidates = jobs[-1].output
    finish = finish_round(
        root,
        samples=config.sampling.total if config.sources.uses_generator else 0,
        data=data,
        models=list(made["networks"].values()),
        reconstruction=made["reconstruction"],
        candidates=candidates,
        previous=previous,
    )
    jobs.append(finish)
    if config.rounds.at_most > 1:
        following = decide_next_round(
            root,
            campaign=plain(config),
            walltimes=walltimes,
            data=data,
            networks=made["networks"],
            candidates=candidates,
            finished=finish.output,
        )
        jobs.append(following)
    flow = Flow(jobs, output=finish.output, name=f"round {number + 1}")
    if number:
        flow.append_name(f" (round {number + 1})", dynamic=False)
    return flow


@dynamic_job(profile=Profile.LIGHT, label="decide next round")
def decide_next_round(
    root: str,
    *,
    campaign: dict[str, Any],
    walltimes: tuple[float | None, float | None],
    data: CampaignData,
    networks: NetworkDocuments,
    candidates: Any,
    finished: RoundDocument,
) -> Response:
    """Stop, or replace this job by the next round, which starts from what this one has found."""
    config = CampaignConfig.model_validate(campaign)
    reason = reason_to_stop(config, finished)
    if reason:
        logger.info("no further round: %s", reason)
        return Response(output={"stopped": reason, "rounds": finished.round + 1})
    flow = next_round(root, config, walltimes, data, networks, candidates, finished)
    return Response(replace=flow)


def next_round(
    root: str,
    config: CampaignConfig,
    walltimes: tuple[float | None, float | None],
    data: CampaignData,
    networks: NetworkDocuments,
    candidates: Any,
    finished: RoundDocument,
) -> Flow:
    """Chain the extension of dataset and labels, and a round that starts from the one that is `finished`."""
    dataset = extend_dataset(root, dataset=data["dataset"], candidates=candidates, limits=plain(config.limits))
    labels = extend_labels(
        root,
        dataset=dataset.output,
        labels=data["labels"],
        candidates=candidates,
        stable_below=config.labels.stable_below,
    )
    number = finished.round + 2  # for people, from 1
    for made in (dataset, labels):
        made.append_name(f" (round {number})", dynamic=False)
    extended: Any = {**data, "dataset": dataset.output, "labels": labels.output}
    rest = round_flow(root, config, walltimes, extended, networks, finished)
    return Flow([dataset, labels, rest], output=rest.output, name=f"round {number}")


def reason_to_stop(config: CampaignConfig, finished: RoundDocument) -> str:
    """Say why a campaign ends after a round; empty where it goes on."""
    from imatgen_flows.io.artifacts import read_json

    gain = read_json(finished.tables["rounds"])["rounds"][-1]
    spent = finished.ledger["evaluations_total"]
    if finished.round + 1 >= config.rounds.at_most:
        return f"`rounds.at_most` is {config.rounds.at_most}"
    if spent >= config.rounds.evaluations:
        return f"{spent:,} energy evaluations were spent, `rounds.evaluations` allows {config.rounds.evaluations:,}"
    if not gain["shortlisted"]:
        return f"this round found nothing new within {config.screen.threshold:g} eV/atom of the hull"
    return ""


def _generate(config: CampaignConfig) -> GenerateMaker:
    return GenerateMaker(
        model=config.model,
        sampling=config.sampling,
        limits=config.limits,
        validity=config.validity,
        search=config.search,
    )
