"""Round after round: what one has found, the next one learns from."""

from __future__ import annotations

import logging
from typing import Any

from jobflow import Flow, Response, job

from imatgen_flows.config import CampaignConfig
from imatgen_flows.flows.common import plain
from imatgen_flows.flows.generate import GenerateMaker
from imatgen_flows.flows.screen import ScreenMaker
from imatgen_flows.flows.validate import ValidateMaker
from imatgen_flows.jobs.dataset import extend_dataset
from imatgen_flows.jobs.documents import RoundDocument
from imatgen_flows.jobs.energies import extend_labels
from imatgen_flows.jobs.finish_round import finish_round
from imatgen_flows.jobs.model_files import ROLES

logger = logging.getLogger(__name__)


def round_flow(
    root: str,
    config: CampaignConfig,
    walltimes: tuple[float | None, float | None],
    data: dict[str, Any],
    start: dict[str, Any] | None = None,
    previous: Any = None,
    number: int = 0,
) -> Flow:
    """Chain generation, screening and the books of one round, and the decision about the next.

    Parameters
    ----------
    root : of the artifact store
    config : the campaign
    walltimes : of a relaxation job and of a DFT job, s; None where there is no limit
    data : documents, or references to them: `dataset` and `labels` that this round learns from; `priced`, the labels that
        were evaluated; `published` and `references`; `calculated`, the hull of DFT, or None where nothing is validated
    start : networks of the round before this one, by role
    previous : document of the round before this one
    number : of the round, from 0
    """
    generator = config.model
    if start or config.start.model:
        share = config.rounds.fine_tune if start else config.start.share
        generator = generator.model_copy(update={"epochs": generator.epochs * share})
    maker = GenerateMaker(generator=generator, start=config.start, sampling=config.sampling, limits=config.limits)
    generate = maker.make(root, data["dataset"], data["labels"], data["references"], number, start)
    made = generate.output
    screen = ScreenMaker(screen=config.screen, walltime=walltimes[0], kappa=config.rounds.kappa).make(
        root, made["candidates"], data["dataset"], data["priced"], data["labels"], data["references"]
    )
    jobs: list[Any] = [generate, screen]
    candidates = screen.output
    if config.validation.backend != "none":
        validate = ValidateMaker(validate=config.validation, walltime=walltimes[1])
        jobs.append(validate.make(root, candidates, data["calculated"]))
        candidates = jobs[-1].output
    finish = finish_round(
        root,
        samples=config.sampling.total,
        dataset=data["dataset"],
        published=data["published"],
        labels=data["labels"],
        references=data["references"],
        models=made["models"],
        reconstruction=made["reconstruction"],
        candidates=candidates,
        calculated=data["calculated"],
        round_number=number,
        previous=previous,
    )
    jobs.append(finish)
    if config.rounds.at_most > 1:
        following = decide_next_round(
            root,
            campaign=plain(config),
            walltimes=walltimes,
            data=data,
            models=made["models"],
            candidates=candidates,
            finished=finish.output,
        )
        jobs.append(following)
    flow = Flow(jobs, output=finish.output, name=f"round {number + 1}")
    if number:
        flow.append_name(f" (round {number + 1})", dynamic=False)
    return flow


@job(name="decide next round")
def decide_next_round(
    root: str,
    *,
    campaign: dict[str, Any],
    walltimes: tuple[float | None, float | None],
    data: dict[str, Any],
    models: list[Any],
    candidates: Any,
    finished: RoundDocument,
) -> Response:
    """Stop, or replace this job by the next round, which starts from what this one has found."""
    config = CampaignConfig.model_validate(campaign)
    reason = reason_to_stop(config, finished)
    if reason:
        logger.info("no further round: %s", reason)
        return Response(output={"stopped": reason, "rounds": finished.round + 1})
    common = {"limits": plain(config.limits), "candidates": candidates}
    dataset = extend_dataset(root, dataset=data["dataset"], **common)
    labels = extend_labels(
        root,
        dataset=dataset.output,
        labels=data["labels"],
        candidates=candidates,
        stable_below=config.labels.stable_below,
    )
    data = data | {"dataset": dataset.output, "labels": labels.output}
    start = dict(zip(ROLES, models, strict=True))
    number = finished.round + 1
    for made in (dataset, labels):
        made.append_name(f" (round {number + 1})", dynamic=False)
    rest = round_flow(root, config, walltimes, data, start, finished, number)
    return Response(replace=Flow([dataset, labels, rest], output=rest.output, name=f"round {number + 1}"))


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
