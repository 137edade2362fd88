"""Run a campaign on this machine."""

from __future__ import annotations

import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imatgen_flows.artifacts import write_atomic
from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.managers.preflight import check_machine
from imatgen_flows.schemas import RoundDocument, StageDocument

CAMPAIGN_FILE = "campaign.yaml"


def run_campaign(config: CampaignConfig, directory: Path, resume: bool = False) -> Path:
    """Run a campaign to its end with jobflow's local manager.

    Parameters
    ----------
    config : the campaign
    directory : the run directory, made where it does not exist
    resume : go on with a run that was interrupted; finished stages are found and not repeated

    Returns
    -------
    the run directory

    Raises
    ------
    InputError
        Where the directory cannot be written, holds a run of another campaign, or holds this one and `resume` is not set.
    ImatgenError
        Where a stage fails; it names the stage.
    """
    from imatgen_flows.flows import CampaignMaker
    from imatgen_flows.jobs.collect import write_run_directory

    directory = directory.absolute()
    faults = [check for check in check_machine(config, directory) if not check.ok]
    if faults:
        raise InputError("; ".join(f"{check.name}: {check.detail}" for check in faults))
    prepare(config, directory, resume)
    with _alone(directory):
        documents = _run(CampaignMaker(config).make(directory), directory)
        round_ = next(document for document in documents if isinstance(document, RoundDocument))
        write_run_directory(round_, directory)
        _write_provenance(config, directory, documents)
    return directory


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep a second process from running the same directory; the lock goes with the process, however it ends."""
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{directory} is being run by another process. Wait for it, or stop it.") from error
        yield


def prepare(config: CampaignConfig, directory: Path, resume: bool) -> None:
    """Make the run directory this campaign's own, or refuse."""
    written = directory / CAMPAIGN_FILE
    if written.exists():
        if CampaignConfig.from_file(written) != config:
            raise InputError(
                f"{directory} holds a run of another campaign ({written} differs). Choose another directory with --directory."
            )
        if not resume:
            raise InputError(f"{directory} already holds this campaign. Add --resume to go on with it.")
        return
    if directory.is_dir() and any(not path.name.startswith(".") for path in directory.iterdir()):
        raise InputError(f"{directory} is not empty and not a run directory. Choose another one with --directory.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        config.to_file(written)
    except OSError as error:
        raise InputError(
            f"cannot write to {directory}: {error.strerror}. Choose another one with --directory."
        ) from error


def _run(flow: Any, directory: Path) -> list[StageDocument]:
    """Run a flow job by job; return the documents of its stages."""
    from jobflow import run_locally

    scratch = directory / "artifacts" / "jobs"
    scratch.mkdir(parents=True, exist_ok=True)
    store = job_store(directory)
    try:
        responses = run_locally(
            flow, store=store, create_folders=True, root_dir=scratch, raise_immediately=True, log=False
        )
    finally:
        for folder in scratch.iterdir():
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    outputs = [response.output for runs in responses.values() for response in runs.values()]
    return [output for output in outputs if isinstance(output, StageDocument)]


def job_store(directory: Path) -> Any:
    """Open a JobStore on disk with its `data` store, new for each start.

    What must survive a kill lies in the artifacts; a store file that a kill cut short would only stand in the way.
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


def _write_provenance(config: CampaignConfig, directory: Path, documents: list[StageDocument]) -> None:
    from imatgen_flows.jobs.stage import DECIDING, versions_of

    # the campaign file is written once, when the run first starts
    started = datetime.fromtimestamp((directory / CAMPAIGN_FILE).stat().st_mtime, UTC)
    seconds: dict[str, float] = {}
    for document in documents:
        seconds[document.stage] = round(seconds.get(document.stage, 0.0) + document.seconds, 1)
    provenance = {
        "campaign": CAMPAIGN_FILE,
        "name": config.title,
        "system": config.system,
        "seed": config.generator.seed,
        "versions": versions_of((*DECIDING, "jobflow")) | {"python": platform.python_version()},
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "potential": config.screen.potential,
        "seconds": seconds,
    }
    write_atomic(directory / "provenance.json", json.dumps(provenance, indent=1))
