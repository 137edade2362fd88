"""Progress of a campaign on a cluster: its jobs, their state in SLURM, its candidates, and the estimated time left."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from imatgen_flows.candidates.outcome import explain_empty
from imatgen_flows.config import CampaignConfig
from imatgen_flows.jobs.documents import BatchDocument, CandidatesDocument, JobDocument, RoundDocument
from imatgen_flows.managers.dispatcher import read_fault
from imatgen_flows.managers.job_lines import JobLine, job_lines, queue_or_warning
from imatgen_flows.managers.recovery import FireworkView
from imatgen_flows.managers.run_files import seconds_by_job


@dataclass(frozen=True)
class Progress:
    """The current state of a campaign."""

    campaign_id: str
    name: str
    directory: str
    state: str
    submitted: str
    jobs: tuple[JobLine, ...]
    fireworks: dict[str, int]
    job_seconds: dict[str, float]  # wall time of the finished jobs, by the name of the job
    candidates: dict[str, int]
    evaluations: dict[str, int]
    relaxations: tuple[int, int]  # done, of how many; (0, 0) before they are chosen
    seconds_left: float | None = None  # by the rate of the relaxations so far
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, object]:
        """Return the progress as plain values, for JSON."""
        return asdict(self)


def read_progress(cluster: Path, campaign_id: str | None = None) -> Progress:
    """Read the progress of a campaign from LaunchPad, job store and SLURM.

    A SLURM that does not answer is only a warning here, since nothing is decided by it.

    Raises
    ------
    InputError
        Where there is no such campaign.
    ImatgenError
        Where the database does not answer, or refuses.
    """
    from imatgen_flows.managers.campaigns import find_campaign
    from imatgen_flows.managers.fireworks import CampaignLaunchPad
    from imatgen_flows.managers.results import read_documents

    warnings = [fault] if (fault := read_fault(cluster)) else []
    jobs, silence = queue_or_warning(cluster)
    warnings += [silence] if silence else []
    pad = CampaignLaunchPad(cluster)
    campaign = find_campaign(pad, campaign_id)
    workflow = pad.workflow(campaign["campaign_id"])
    if workflow.locked:
        warnings.append("the workflow is locked; if it stays so, `imatgen retry`")
    documents = read_documents(cluster, campaign["campaign_id"])
    rounds = [document for document in documents if isinstance(document, RoundDocument)]
    if campaign["state"] == "COMPLETED" and rounds and (empty := explain_empty(rounds[-1].ledger)):
        warnings.append(empty)
    scratch = Path(campaign["directory"]) / "artifacts" / "scratch"
    done, total = _relaxations(CampaignConfig.model_validate(campaign["campaign"]), documents, scratch)
    return Progress(
        campaign_id=campaign["campaign_id"],
        name=campaign["name"],
        directory=campaign["directory"],
        state=campaign["state"],
        submitted=campaign["submitted"],
        jobs=job_lines(workflow, jobs),
        fireworks=dict(Counter(firework.state for firework in workflow.fireworks)),
        job_seconds=seconds_by_job(documents),
        candidates=_candidates(documents),
        evaluations=_evaluations(documents),
        relaxations=(done, total),
        seconds_left=_seconds_left(workflow.fireworks, done, total),
        warnings=tuple(warnings),
    )


def _candidates(documents: list[JobDocument]) -> dict[str, int]:
    found = [document for document in documents if isinstance(document, CandidatesDocument)]
    return found[-1].counts if found else {}


def _evaluations(documents: list[JobDocument]) -> dict[str, int]:
    """Sum the evaluations of the jobs; the ranking repeats those of its batches."""
    spent: Counter[str] = Counter()
    for document in documents:
        if not isinstance(document, CandidatesDocument | RoundDocument):
            spent.update(document.evaluations)
    return dict(spent)


def _relaxations(config: CampaignConfig, documents: list[JobDocument], scratch: Path) -> tuple[int, int]:
    """Count the relaxed candidates of finished batches, and, where this machine sees the disk, of running ones."""
    from imatgen_flows.jobs.propose_candidates import propose_candidates
    from imatgen_flows.jobs.relax_batch import relax_batch

    total = sum(
        document.to_relax
        for document in documents
        if isinstance(document, CandidatesDocument) and document.made_by(propose_candidates)
    )
    done = sum(sum(document.counts.values()) for document in documents if isinstance(document, BatchDocument))
    under_way = sum(1 for _ in scratch.glob(f"{relax_batch.spec.name}-*/*.json"))
    return min(done + under_way, total), total


def _seconds_left(fireworks: tuple[FireworkView, ...], done: int, total: int) -> float | None:
    """Estimate the time that the remaining relaxations take (s), from the mean rate of those that are done."""
    from imatgen_flows.jobs.relax_batch import relax_batch

    begun = [
        firework.launch.started
        for firework in fireworks
        if firework.launch and firework.launch.started and firework.name.startswith(relax_batch.spec.label)
    ]
    if not begun or not done:
        return None
    elapsed = (datetime.now(UTC) - min(begun)).total_seconds()
    return elapsed / done * (total - done)
