"""Files of a run directory that a manager writes: the campaign file and the provenance."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.jobs.documents import JobDocument, RoundDocument

CAMPAIGN_FILE = "campaign.yaml"


def prepare(config: CampaignConfig, directory: Path, resume: bool) -> None:
    """Make or check the run directory of a campaign; other `rounds` extend the campaign that is there.

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
        if before.model_copy(update={"rounds": config.rounds}) != config:
            raise InputError(
                f"{directory} holds a run of another campaign ({written} differs). Choose another directory with --directory."
            )
        if not resume:
            raise InputError(f"{directory} already holds this campaign. Add --resume to go on with it.")
        if before != config:  # more rounds, or a larger budget: what is done stays
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
    from imatgen_flows.jobs.provenance import PROVENANCE_FILE, ROUND_KEY

    path, seconds = directory / PROVENANCE_FILE, seconds_by_job(documents)
    before = _read(path)
    if before.get(ROUND_KEY) == written_from.key and before.get("seconds") == seconds:
        return
    provenance = {
        "campaign": CAMPAIGN_FILE,
        ROUND_KEY: written_from.key,
        "name": config.title,
        "system": config.system,
        "seed": config.model.seed,
        "versions": versions_of((*CACHE_KEY_PACKAGES, "jobflow")) | {"python": platform.python_version()},
        "started": before.get("started", started.isoformat(timespec="seconds")),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware,
        "potential": config.screen.potential,
        "seconds": seconds,
    }
    write_atomic(path, json.dumps(provenance, indent=1))


def seconds_by_job(documents: list[JobDocument]) -> dict[str, float]:
    """Sum the wall times of finished jobs (s) by the name of the job; a document that occurs twice counts once."""
    seconds: dict[str, float] = {}
    for document in {document.key: document for document in documents}.values():
        seconds[document.job] = round(seconds.get(document.job, 0.0) + document.seconds, 1)
    return seconds


def _read(path: Path) -> dict[str, Any]:
    """Read the provenance of before; nothing where there is none, or none that can be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
