"""The local manager, which runs a campaign on this machine."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import ImatgenError, Interrupted, JobFailed
from imatgen_flows.io.files import write_atomic
from imatgen_flows.io.lock import locked
from imatgen_flows.jobs.documents import JobDocument, RoundDocument
from imatgen_flows.managers.checks import refuse_faults
from imatgen_flows.managers.preflight import check_machine
from imatgen_flows.managers.run_files import CAMPAIGN_FILE, FAILURE_FILE, prepare, write_provenance
from imatgen_flows.managers.run_progress import Display, LogDisplay, ProgressRecorder, recorded
from imatgen_flows.managers.stages import CampaignStage, campaign_stages
from imatgen_flows.parallel import core_count

if TYPE_CHECKING:
    from jobflow import Flow, JobStore

# estimates the time of each stage of a campaign, s
StagePlanner = Callable[[CampaignConfig, Sequence[CampaignStage]], Sequence[float | None]]


def run_campaign(
    config: CampaignConfig,
    directory: Path,
    resume: bool = False,
    plan: StagePlanner | None = None,
    display: Display | None = None,
) -> Path:
    """Run a campaign to its end with jobflow's local manager.

    Parameters
    ----------
    config : the campaign
    directory : the run directory, made where it does not exist
    resume : go on with a run that was interrupted; finished jobs are found and not repeated
    plan : says how long each stage will take; see `ProgressRecorder`
    display : what shows the progress; lines of the log where None

    Returns
    -------
    the run directory

    Raises
    ------
    InputError
        Where the directory cannot be written, holds a run of another campaign, or holds this one and `resume` is not set.
    ImatgenError
        Where a job fails.
    """
    from imatgen_flows.flows import CampaignMaker
    from imatgen_flows.jobs.round_tables import write_run_directory

    directory = directory.absolute()
    refuse_faults(check_machine(config, directory, read_templates=False))  # the first job reads them
    prepare(config, directory, resume)
    with alone(directory), _failure_on_record(directory):
        stages = campaign_stages(config)
        ask_plan = partial(plan, config, stages) if plan else None
        with recorded(ProgressRecorder(stages, directory, display or LogDisplay(), ask_plan)):
            documents = _run(CampaignMaker(config).make(directory), directory)
        rounds = [document for document in documents if isinstance(document, RoundDocument)]
        if not rounds:
            raise ImatgenError("the run did not come to its end, and no job says why. Please report it as a bug.")
        last = max(rounds, key=lambda document: document.round)
        write_run_directory(last, directory)
        hardware = f"{platform.processor() or platform.machine()}, {core_count()} cores"
        # the campaign file is written once, when the run first starts
        started = datetime.fromtimestamp((directory / CAMPAIGN_FILE).stat().st_mtime, UTC)
        write_provenance(config, directory, last, documents, hardware, started)
    return directory


def alone(directory: Path) -> AbstractContextManager[None]:
    """Lock a directory against a second process; the lock ends with the process, however it ends."""
    return locked(directory, f"{directory} is being run by another process. Wait for it, or stop it.")


@contextmanager
def _failure_on_record(directory: Path) -> Iterator[None]:
    """Leave the sentence by which an attempt failed in the run directory, until an attempt succeeds."""
    record = directory / FAILURE_FILE
    record.unlink(missing_ok=True)
    try:
        yield
    except Interrupted:  # stopped on purpose, which is no failure
        raise
    except ImatgenError as error:
        write_atomic(record, f"{error}\n")
        raise


def _run(flow: Flow, directory: Path) -> list[JobDocument]:
    """Run a flow job by job; return the documents of its jobs."""
    from jobflow import run_locally

    from imatgen_flows.jobs.cached_job import FAIL_FAST

    scratch = directory / "artifacts" / "jobs"
    scratch.mkdir(parents=True, exist_ok=True)
    store = job_store(directory)
    # calculations of DFT may fail, each for itself; a job of ours may not
    fail_fast = FAIL_FAST.set(True)
    try:
        with warnings.catch_warnings():
            # jobflow's own call of monty, once a job; nobody who runs a campaign can change it
            warnings.filterwarnings("ignore", "cd is deprecated", FutureWarning, module="jobflow")
            responses = run_locally(flow, store=store, create_folders=True, root_dir=scratch, log=False)
    except JobFailed as failure:
        raise failure.error from failure.error.__cause__
    finally:
        FAIL_FAST.reset(fail_fast)
        for folder in scratch.iterdir():
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    outputs = [response.output for runs in responses.values() for response in runs.values()]
    return [output for output in outputs if isinstance(output, JobDocument)]


def job_store(directory: Path) -> JobStore:
    """Open a JobStore on disk with its `data` store, new for each start.

    Results that must survive a kill are artifacts; a store file that a kill cut short could not be opened again.
    """
    from jobflow import JobStore
    from maggma.stores import JSONStore

    number = len(list((directory / "artifacts").glob("jobs-*.json")))
    main, data = (directory / "artifacts" / f"{name}-{number:03d}.json" for name in ("jobs", "data"))
    store = JobStore(
        JSONStore(str(main), read_only=False), additional_stores={"data": JSONStore(str(data), read_only=False)}
    )
    store.connect()
    return store
