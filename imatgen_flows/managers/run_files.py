"""Files of a run directory that a manager writes: the campaign file and the provenance."""

from __future__ import annotations

import json
import platform
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imatgen_flows.config import CampaignConfig
from imatgen_flows.energetics.optimisers import OPTIMISER
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.io.lock import LOCK_FILE, is_locked
from imatgen_flows.jobs.documents import JobDocument, RoundDocument
from imatgen_flows.jobs.provenance import PROVENANCE_FILE, ROUND_KEY, SETTINGS_KEY
from imatgen_flows.registry import DescribedEnum

CAMPAIGN_FILE = "campaign.yaml"
# keys that may change under a finished campaign: what is done stays, and what is added is done on top of it
EXTENDING = ("name", "rounds", "committee", "phonons", "elsewhere")
FAILURE_FILE = "failure.txt"  # why the last attempt ended without a result
PROGRESS_FILE = "progress.json"  # how far a run on this machine has come, as `RunProgress`


class RunState(DescribedEnum):
    """How far a run has come."""

    FINISHED = "finished", "Finished", "It has its results."
    RUNNING = "running", "Running", "A process of this machine is at work on it."
    FAILED = "failed", "Failed", "Its last attempt ended with an error."
    STOPPED = "stopped", "Stopped", "It has no results yet, and no process of this machine is at work on it."


def run_state(directory: Path) -> RunState:
    """Tell how far the run in a directory has come.

    Raises
    ------
    InputError
        Where it is no run directory.
    """
    if directory.is_file():
        raise InputError(f"{directory} is a file; give the run directory that holds it.")
    if not directory.is_dir():
        raise InputError(f"{directory}: no such directory. Give the directory that `imatgen run` wrote.")
    if not (directory / CAMPAIGN_FILE).is_file():
        raise InputError(f"{directory}: not a run directory, it has no {CAMPAIGN_FILE}. `imatgen run` writes one.")
    # a run locks the directory, and a submission makes the folder of its artifacts, before anything else
    if not any((directory / name).exists() for name in (LOCK_FILE, "artifacts", PROVENANCE_FILE)):
        raise InputError(_never_run(directory))
    if is_locked(directory):
        return RunState.RUNNING
    if (directory / FAILURE_FILE).is_file():
        return RunState.FAILED
    return RunState.FINISHED if (directory / PROVENANCE_FILE).is_file() else RunState.STOPPED


def extended(directory: Path) -> list[str]:
    """Name the sections in which the campaign of a finished run asks for more than its results are of; empty where none.

    So it is while an extension runs, and after it was stopped.
    """
    had = _read(directory / PROVENANCE_FILE).get(SETTINGS_KEY)
    if not had:
        return []
    now = CampaignConfig.from_file(directory / CAMPAIGN_FILE).model_dump(mode="json", by_alias=True)
    return [key for key in EXTENDING if key in had and now[key] != had[key]]


def _never_run(directory: Path) -> str:
    """Say that a folder holds a campaign file alone, as `imatgen init` writes it, and where its run is."""
    campaign = directory / CAMPAIGN_FILE
    place = default_run_directory(campaign)
    said = f"{directory} holds a campaign that was never run there. "
    if (place / CAMPAIGN_FILE).is_file():
        return f"{said}Its run is in {place}: open that directory."
    return f"{said}`{shlex.join(['imatgen', 'run', str(campaign)])}` runs it, in {place}: open that directory then."


def default_run_directory(campaign: Path) -> Path:
    """Name the run directory after the campaign file."""
    # `imatgen init DIR` writes DIR/campaign.yaml: there the directory tells campaigns apart
    return Path("runs") / (campaign.stem if campaign.stem != "campaign" else campaign.absolute().parent.name)


def prepare(config: CampaignConfig, directory: Path, resume: bool) -> None:
    """Make or check the run directory of a campaign; other sections of `EXTENDING` extend the campaign that is there.

    Parameters
    ----------
    config : the campaign
    directory : made where it does not exist
    resume : whether the directory may hold this campaign already

    Raises
    ------
    InputError
        Where the directory cannot be written, holds something else, or holds a campaign of version 1.
    """
    written = directory / CAMPAIGN_FILE
    if written.exists():
        before = CampaignConfig.from_file(written)
        if before.model_copy(update={key: getattr(config, key) for key in EXTENDING}) != config:
            raise InputError(
                f"{directory} holds a run of another campaign: {_differing(before, config)}, in {written}. Choose another "
                "directory with --directory, or undo the change."
            )
        if not resume:
            raise InputError(f"{directory} already holds this campaign. Add --resume to go on with it.")
        if before != config:  # more rounds, a larger budget, or more evidence
            config.to_file(written)
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


def _differing(before: CampaignConfig, now: CampaignConfig) -> str:
    """Name the sections in which two campaigns differ, but those of `EXTENDING`, which may be changed."""
    old, new = (config.model_dump(mode="json", by_alias=True, exclude=set(EXTENDING)) for config in (before, now))
    names = [f"`{name}`" for name in new if old[name] != new[name]]
    return f"{' and '.join(names)} differ{'s' * (len(names) == 1)}"


def _versions_of_potentials(config: CampaignConfig) -> dict[str, str]:
    """Return the versions of the packages of all potentials of a campaign, and of what computes its phonons."""
    from imatgen_flows.jobs.cached_job import potential_versions, versions_of

    names = [config.screen.potential, *config.committee.potentials]
    if config.phonons.at_most:
        names.append(config.phonons.potential or config.screen.potential)
    versions = versions_of(("phonopy",)) if config.phonons.at_most else {}
    for name in names:
        versions |= potential_versions(name)
    return versions


def write_provenance(
    config: CampaignConfig,
    directory: Path,
    written_from: RoundDocument,
    documents: list[JobDocument],
    hardware: str,
    started: datetime,
) -> None:
    """Write the provenance of a run: versions, seed, hardware and times.

    A run that is resumed when everything has been done, so that no job ran again, keeps the provenance that it has.

    Parameters
    ----------
    config : the campaign
    directory : the run directory
    written_from : document of the round that the run directory was written from
    documents : of the jobs that made it
    hardware : in words
    started : when it was run or submitted first
    """
    from imatgen_flows.jobs.cached_job import CACHE_KEY_PACKAGES, versions_of

    path, seconds = directory / PROVENANCE_FILE, seconds_by_job(documents)
    before = _read(path)
    if before.get(ROUND_KEY) == written_from.key and before.get("seconds") == seconds and SETTINGS_KEY in before:
        return
    provenance = {
        "campaign": CAMPAIGN_FILE,
        ROUND_KEY: written_from.key,
        "name": config.title,
        "system": config.system,
        "seed": config.model.seed,
        "versions": versions_of((*CACHE_KEY_PACKAGES, "jobflow"))
        | _versions_of_potentials(config)
        | {"python": platform.python_version()},
        "started": before.get("started", started.isoformat(timespec="seconds")),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware,
        "potential": config.screen.potential,
        "optimiser": OPTIMISER,
        "seconds": seconds,
        SETTINGS_KEY: config.model_dump(mode="json", by_alias=True),
        "cpu_seconds": seconds_by_job(documents, "cpu_seconds"),
    }
    write_atomic(path, json.dumps(provenance, indent=1))


def seconds_by_job(documents: list[JobDocument], kind: str = "seconds") -> dict[str, float]:
    """Sum the wall or CPU times of finished jobs (s) by the name of the job; a document that occurs twice counts once."""
    seconds: dict[str, float] = {}
    for document in {document.key: document for document in documents}.values():
        seconds[document.job] = round(seconds.get(document.job, 0.0) + getattr(document, kind), 1)
    return seconds


def _read(path: Path) -> dict[str, Any]:
    """Read the provenance of before; nothing where there is none, or none that can be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
