"""What a manager writes into a run directory: whose run it is, and where it came from."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path

from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.jobs.documents import JobDocument

CAMPAIGN_FILE = "campaign.yaml"


def prepare(config: CampaignConfig, directory: Path, resume: bool) -> None:
    """Make the run directory this campaign's own, or refuse; other `rounds` extend the campaign that is there."""
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
    config: CampaignConfig, directory: Path, documents: list[JobDocument], hardware: str, started: datetime
) -> None:
    """Write who made a run: versions, seed, times.

    Parameters
    ----------
    config : the campaign
    directory : the run directory
    documents : of the stages that made it
    hardware : in words
    started : when it was run or submitted first
    """
    from imatgen_flows.jobs.cached_job import CACHE_KEY_PACKAGES, versions_of

    seconds: dict[str, float] = {}
    for document in documents:
        seconds[document.stage] = round(seconds.get(document.stage, 0.0) + document.seconds, 1)
    provenance = {
        "campaign": CAMPAIGN_FILE,
        "name": config.title,
        "system": config.system,
        "seed": config.model.seed,
        "versions": versions_of((*CACHE_KEY_PACKAGES, "jobflow")) | {"python": platform.python_version()},
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware,
        "potential": config.screen.potential,
        "seconds": seconds,
    }
    write_atomic(directory / "provenance.json", json.dumps(provenance, indent=1))
