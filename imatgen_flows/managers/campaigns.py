"""Campaigns on a cluster: submission, repair, cancellation and harvest."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.cluster import PROFILES, ClusterConfig
from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.jobs.documents import RoundDocument
from imatgen_flows.managers import slurm
from imatgen_flows.managers.checks import refuse_faults
from imatgen_flows.managers.preflight import check_machine
from imatgen_flows.managers.records import FORMAT, CampaignMetadata, CampaignRecord
from imatgen_flows.managers.recovery import GRACE, Finding, Remedy, diagnose, is_alive
from imatgen_flows.managers.run_files import CAMPAIGN_FILE, prepare, write_provenance
from imatgen_flows.version import __version__

if TYPE_CHECKING:
    from jobflow import Flow

    from imatgen_flows.managers.fireworks import CampaignLaunchPad

OVER = ("COMPLETED", "DEFUSED", "ARCHIVED")
PASSES = 6  # of a repair; each may uncover damage that the one before it hid


@dataclass(frozen=True)
class Submission:
    """A campaign that was submitted to a manager, with the number of its first jobs."""

    campaign_id: str
    directory: Path
    jobs: int


def submit_campaign(config: CampaignConfig, directory: Path, cluster: Path) -> Submission:
    """Submit a campaign to the LaunchPad.

    Parameters
    ----------
    config : the campaign
    directory : the run directory, on a disk that all nodes see; finished jobs in it are found and not repeated
    cluster : configuration directory of the cluster

    Raises
    ------
    InputError
        Where the machine, the cluster or the directory fails a check, or the campaign of the directory is already there.
    ImatgenError
        Where the database does not answer, or refuses.
    """
    from imatgen_flows.flows.profiles import assign_profiles
    from imatgen_flows.managers.cluster_check import check_cluster
    from imatgen_flows.managers.cluster_files import manager_config
    from imatgen_flows.managers.fireworks import CampaignLaunchPad

    directory, cluster = directory.absolute(), cluster.absolute()
    offered = ClusterConfig.from_directory(cluster)
    refuse_faults([*check_machine(config, directory), *check_cluster(cluster)])
    pad = CampaignLaunchPad(cluster)
    for campaign in pad.campaigns():
        if campaign["directory"] == str(directory) and campaign["state"] not in OVER:
            raise InputError(
                f"{directory} is the run directory of `{campaign['campaign_id']}`, which is {campaign['state']}. "
                "`imatgen status` shows it; `imatgen cancel` ends it."
            )
    campaign_id, flow = campaign_flow(config, directory, offered)
    configs = {name: manager_config(name, offered, cluster) for name in PROFILES}
    assign_profiles(flow, configs, config.validation.backend)
    jobs = pad.add(flow, f"{campaign_id}: {flow.name}", metadata(config, directory, campaign_id))
    return Submission(campaign_id, directory, jobs)


def submit_to_jobflow_remote(
    config: CampaignConfig, directory: Path, cluster: Path, worker: str, project: str | None = None
) -> Submission:
    """Submit a campaign to jobflow-remote, for clusters whose nodes have no access to a database.

    Parameters
    ----------
    config : the campaign
    directory : the run directory, on a disk that all nodes see under the same path
    cluster : configuration directory, whose `cluster.yaml` has the profiles
    worker, project : of jobflow-remote

    Raises
    ------
    InputError
        Where jobflow-remote is missing, or does not know the worker or the project.
    """
    from imatgen_flows.managers.jobflow_remote import submit_remote

    offered = ClusterConfig.from_directory(cluster)
    refuse_faults(check_machine(config, directory.absolute()))
    campaign_id, flow = campaign_flow(config, directory.absolute(), offered)
    jobs = submit_remote(flow, offered, worker, project, config.validation.backend)
    return Submission(campaign_id, directory.absolute(), len(jobs))


def campaign_flow(config: CampaignConfig, directory: Path, offered: ClusterConfig) -> tuple[str, Flow]:
    """Prepare a run directory, and build the flow of its campaign, whose jobs have no profiles yet.

    Parameters
    ----------
    config : the campaign
    directory : the run directory, absolute
    offered : the cluster file

    Returns
    -------
    id of the campaign, and the flow, each of whose jobs knows it
    """
    from imatgen_flows.flows import CampaignMaker
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.cached_job import write_environment

    prepare(config, directory, resume=True)
    write_environment(ArtifactStore(directory / "artifacts").root)
    campaign_id = _new_id(config, directory)
    profiles = offered.profiles
    # custodian must have stopped VASP before SLURM warns its parent
    dft = profiles.cpu_vasp.walltime - offered.warning
    flow = CampaignMaker(config, walltime=profiles.gpu_relax.walltime, dft_walltime=dft).make(directory)
    flow.update_metadata({"campaign_id": campaign_id})
    return campaign_id, flow


def find_campaign(pad: CampaignLaunchPad, campaign_id: str | None) -> CampaignRecord:
    """Return the record of a campaign; where none is named, of the only one or the only one that has not ended.

    Raises
    ------
    InputError
        Where it is not there, not the only one, or was submitted by a version whose campaigns this one cannot read.
    """
    found = pad.campaigns()
    if campaign_id is None:
        found = [campaign for campaign in found if campaign["state"] not in OVER] or found
    else:
        found = [campaign for campaign in found if campaign["campaign_id"] == campaign_id]
    if not found:
        named = f"campaign `{campaign_id}`" if campaign_id else "campaign"
        raise InputError(
            f"there is no {named} on this LaunchPad. `imatgen status` lists them, `imatgen submit` adds one."
        )
    if len(found) > 1:
        raise InputError(f"which campaign? {', '.join(campaign['campaign_id'] for campaign in found)}")
    if found[0]["format"] != FORMAT:
        written = Path(found[0]["directory"]) / CAMPAIGN_FILE
        raise InputError(
            f"`{found[0]['campaign_id']}` was submitted by imatgen-flows {found[0]['version']} as a campaign of format "
            f"{found[0]['format']}; this is {__version__}, which reads format {FORMAT}. Install that version to go on with "
            f"it, or submit it anew: `imatgen init DIR --from {shlex.quote(str(written))}` writes its file for another run "
            "directory."
        )
    return found[0]


def retry_campaign(
    cluster: Path, campaign_id: str | None = None, grace: timedelta = GRACE, unlock: bool = False
) -> list[Finding]:
    """Repair the jobs of a campaign that are lost, locked, orphaned or fizzled; living jobs are not touched.

    Returns
    -------
    the damage that was found, repaired or left

    Raises
    ------
    ImatgenError
        Where SLURM or the database does not answer; nothing has been touched then.
    """
    from imatgen_flows.managers.fireworks import CampaignLaunchPad

    pad = CampaignLaunchPad(cluster)
    name = find_campaign(pad, campaign_id)["campaign_id"]
    done: list[Finding] = []
    left: list[Finding] = []
    for _ in range(PASSES):
        jobs = live_jobs(cluster)  # before the LaunchPad is read: see `diagnose`
        found = diagnose(pad.workflow(name), jobs, datetime.now(UTC), grace, unlock)
        left = [finding for finding in found if finding.remedy is Remedy.LEAVE]
        found = [finding for finding in found if finding.remedy is not Remedy.LEAVE]
        if not found:
            break
        for finding in found:
            pad.repair(finding)
        done += found
    return done + left


def cancel_campaign(cluster: Path, campaign_id: str) -> int:
    """Cancel a campaign and its jobs in the queue; return how many those were.

    Finished jobs keep their results, which are found when the campaign is submitted again to the same run directory.
    """
    from imatgen_flows.managers.fireworks import CampaignLaunchPad

    pad = CampaignLaunchPad(cluster)
    name = find_campaign(pad, campaign_id)["campaign_id"]
    # a cancelled firework loses the id of its job: ids are read first, and again for jobs that were submitted meanwhile
    ids = set(_live_ids(cluster, pad, name))
    pad.cancel(name)
    ids |= set(_live_ids(cluster, pad, name))
    if ids:
        slurm.cancel(ids)
    return len(ids)


def harvest_campaign(
    cluster: Path, campaign_id: str | None = None, directory: Path | None = None, partial: bool = False
) -> Path:
    """Write the run directory of a campaign from the stores of the cluster alone.

    Parameters
    ----------
    cluster : configuration directory of the cluster
    campaign_id : as `submit_campaign` gave it; the only one if None
    directory : where to write; the campaign's own run directory if None
    partial : do not wait for relaxations that are missing; their candidates are rejected as lost

    Raises
    ------
    ImatgenError
        Where the campaign has not come to its end, and, with `partial`, not to its candidates.
    """
    from imatgen_flows.jobs.round_tables import write_run_directory
    from imatgen_flows.managers.fireworks import CampaignLaunchPad
    from imatgen_flows.managers.results import finish_partially, read_documents

    campaign = find_campaign(CampaignLaunchPad(cluster), campaign_id)
    config = CampaignConfig.model_validate(campaign["campaign"])
    documents = read_documents(cluster, campaign["campaign_id"])
    rounds = [document for document in documents if isinstance(document, RoundDocument)]
    if not rounds and not partial:
        raise ImatgenError(
            f"`{campaign['campaign_id']}` is {campaign['state']} and not at its end. `imatgen status` shows where it stands; "
            "`imatgen harvest --partial` takes what is there."
        )
    if partial and not rounds:
        root = Path(campaign["directory"]) / "artifacts"
        rounds = [finish_partially(root, documents, config)]
    directory = (directory or Path(campaign["directory"])).absolute()
    prepare(config, directory, resume=True)
    last = max(rounds, key=lambda document: document.round)
    write_run_directory(last, directory)
    profiles = ClusterConfig.from_directory(cluster).profiles
    partitions = sorted({profiles[name].partition for name in PROFILES})
    hardware = f"SLURM, partitions {', '.join(partitions)}"
    write_provenance(config, directory, last, documents, hardware, datetime.fromisoformat(campaign["submitted"]))
    return directory


def live_jobs(cluster: Path) -> dict[str, slurm.SlurmJob]:
    """Query the jobs in the queue; there are none on a single machine with the embedded database and without SLURM.

    A package of SLURM that was never configured is no SLURM, unless it once gave a job of this LaunchPad its id.

    Raises
    ------
    ImatgenError
        Where SLURM does not answer, which says nothing about its jobs.
    """
    from imatgen_flows.managers.fireworks import CampaignLaunchPad

    embedded = ClusterConfig.from_directory(cluster).database.embedded
    if embedded and shutil.which("squeue") is None:
        return {}
    try:
        return slurm.live_jobs()
    except ImatgenError:
        if embedded and not slurm.is_set_up() and not CampaignLaunchPad(cluster).slurm_ids():
            return {}
        raise


def _live_ids(cluster: Path, pad: CampaignLaunchPad, campaign_id: str) -> Iterator[str]:
    jobs = live_jobs(cluster)
    for firework in pad.workflow(campaign_id).fireworks:
        if firework.launch and firework.launch.slurm_id and is_alive(firework, jobs):
            yield firework.launch.slurm_id


def _new_id(config: CampaignConfig, directory: Path) -> str:
    """Make the id of a submission: readable, and different from that of every other one."""
    slug = re.sub(r"[^a-z0-9]+", "-", config.title.lower()).strip("-")
    moment = datetime.now(UTC).isoformat()
    return f"{slug}-{hashlib.sha256(f'{directory} {moment}'.encode()).hexdigest()[:6]}"


def metadata(config: CampaignConfig, directory: Path, campaign_id: str) -> CampaignMetadata:
    """Return what the LaunchPad stores of a campaign: enough to write its run directory again."""
    return {
        "campaign_id": campaign_id,
        "name": config.title,
        "directory": str(directory),
        "campaign": config.model_dump(mode="json", by_alias=True),
        "submitted": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "format": FORMAT,
    }
