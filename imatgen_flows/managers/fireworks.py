"""Interface to FireWorks: campaigns on a LaunchPad, their state, and their repair.

No other module imports FireWorks but `slurm_adapter`, which it calls back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from fireworks import FWAction, LaunchPad
from fireworks.core.launchpad import WFLock
from jobflow import Flow
from jobflow.managers.fireworks import flow_to_workflow

from imatgen_flows.errors import InputError
from imatgen_flows.managers.database import PATIENCE, address_of, database_errors, read_launchpad_file
from imatgen_flows.managers.records import CampaignMetadata, CampaignRecord
from imatgen_flows.managers.recovery import ENDED, Finding, FireworkView, LaunchView, Remedy, WorkflowView

_FIREWORK = {
    "fw_id": 1, "name": 1, "state": 1, "launches": 1, "updated_on": 1, "created_on": 1, "spec._category": 1,
    "spec._exception_details": 1, "spec._tasks.job.uuid": 1, "spec._tasks.job.index": 1,
}  # fmt: skip
_LAUNCH = {
    "launch_id": 1, "state": 1, "launch_dir": 1, "state_history": 1, "host": 1, "fworker.name": 1,
    "action.stored_data._exception._stacktrace": 1,
}  # fmt: skip


class CampaignLaunchPad:
    """The LaunchPad of a configuration directory.

    Parameters
    ----------
    directory : holds `my_launchpad.yaml`

    Raises
    ------
    InputError
        Where the file is missing.
    ImatgenError
        From any method: where the database does not answer, or refuses.
    """

    def __init__(self, directory: Path) -> None:
        content = read_launchpad_file(directory)
        self.address = address_of(content)
        options = {"serverSelectionTimeoutMS": PATIENCE} | (content.get("mongoclient_kwargs") or {})
        with self._reached():
            self.pad = LaunchPad.from_dict(content | {"strm_lvl": "ERROR", "mongoclient_kwargs": options})
            self.pad.db.list_collection_names()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        with database_errors(self.address):
            yield

    def add(self, flow: Flow, name: str, metadata: CampaignMetadata) -> int:
        """Add a flow to the LaunchPad; return how many fireworks it starts with.

        No store is passed along: jobflow would write its password into every firework.
        """
        with self._reached():
            if self.pad.fw_id_assigner.count_documents({}) == 0:  # a database that FireWorks never saw
                self.pad.reset("", require_password=False)
            workflow = flow_to_workflow(flow, name=name, metadata=metadata)
            return len(self.pad.add_wf(workflow))

    def campaigns(self) -> list[CampaignRecord]:
        """Return the metadata of all campaigns, oldest first, each with the `state` of its workflow."""
        fields = {"metadata": 1, "state": 1}
        with self._reached():
            rows = list(self.pad.workflows.find({"metadata.campaign_id": {"$exists": True}}, fields))
        found = [row["metadata"] | {"state": row["state"]} for row in rows]
        return sorted(found, key=lambda campaign: campaign["submitted"])

    def workflow(self, campaign_id: str) -> WorkflowView:
        """Read the workflow of a campaign, with its fireworks in an order in which they can run.

        Raises
        ------
        InputError
            Where there is no such campaign.
        """
        fields = {"nodes": 1, "links": 1, "fw_states": 1, "locked": 1, "updated_on": 1}
        with self._reached():
            record = self.pad.workflows.find_one({"metadata.campaign_id": campaign_id}, fields)
            if record is None:
                raise InputError(
                    f"there is no campaign `{campaign_id}` on this LaunchPad. `imatgen status` lists them."
                )
            # by campaign and not by the list of the workflow: orphans are in no list
            rows = list(self.pad.fireworks.find({"spec.campaign_id": campaign_id}, _FIREWORK))
            last = [row["launches"][-1] for row in rows if row["launches"]]
            launches = {row["launch_id"]: row for row in self.pad.launches.find({"launch_id": {"$in": last}}, _LAUNCH)}
        position = _execution_order(record["links"])
        # orphans, which have no position, come last
        rows.sort(key=lambda row: (position.get(row["fw_id"], len(position)), row["fw_id"]))
        fireworks = [_view(row, record["fw_states"], launches) for row in rows]
        return WorkflowView(tuple(fireworks), bool(record.get("locked")), _time(record["updated_on"]))

    def slurm_ids(self) -> set[str]:
        """Return the ids that SLURM gave to jobs of all campaigns, also of those that have left its queue."""
        launches = [
            firework.launch
            for campaign in self.campaigns()
            for firework in self.workflow(campaign["campaign_id"]).fireworks
        ]
        return {launch.slurm_id for launch in launches if launch and launch.slurm_id}

    def campaign_of(self, fw_id: int) -> str:
        """Return the id of the campaign that a firework belongs to.

        Raises
        ------
        InputError
            Where there is no such firework, or it is of no campaign.
        """
        with self._reached():
            row = self.pad.fireworks.find_one({"fw_id": fw_id}, {"spec.campaign_id": 1}) or {"spec": {}}
        if "campaign_id" not in row["spec"]:
            raise InputError(f"there is no job {fw_id} of a campaign on this LaunchPad. `imatgen jobs` lists them.")
        return row["spec"]["campaign_id"]

    def traceback(self, launch_id: int) -> str:
        """Return the traceback of a run that fizzled; empty where there is none."""
        with self._reached():
            row = self.pad.launches.find_one({"launch_id": launch_id}, _LAUNCH)
        return _traceback(row or {})

    def repair(self, finding: Finding) -> None:
        """Apply the remedy of a finding, unless the firework has been run again since."""
        remedies = {
            Remedy.UNLOCK: self._unlock,
            Remedy.DELETE: self._delete,
            Remedy.ROLL_BACK: self._roll_back,
            Remedy.REFRESH: self.pad._refresh_wf,
            Remedy.SETTLE: self._settle,
            Remedy.RERUN: self.pad.rerun_fw,
        }
        if finding.remedy in remedies:
            with self._reached():
                row = self.pad.fireworks.find_one({"fw_id": finding.fw_id}, {"launches": 1})
                if row and (row["launches"] or [None])[-1] == finding.launch_id:
                    remedies[finding.remedy](finding.fw_id)

    def cancel(self, campaign_id: str) -> None:
        """Keep the waiting jobs of a campaign from starting; finished ones keep their results."""
        with self._reached():
            record = self.pad.workflows.find_one({"metadata.campaign_id": campaign_id}, {"nodes": 1})
            if record:
                self.pad.defuse_wf(record["nodes"][0], defuse_all_states=False)

    def _unlock(self, fw_id: int) -> None:
        self.pad.workflows.find_one_and_update({"nodes": fw_id}, {"$unset": {"locked": True}})

    def _delete(self, fw_id: int) -> None:
        # checked again: it may have been entered into its workflow since
        if not self.pad.workflows.find_one({"nodes": fw_id}, {"nodes": 1}):
            self.pad.fireworks.delete_one({"fw_id": fw_id})

    def _roll_back(self, fw_id: int) -> None:
        with WFLock(self.pad, fw_id):
            record = self.pad.workflows.find_one({"nodes": fw_id}, {"fw_states": 1})
            state = record["fw_states"][str(fw_id)]
            self.pad.fireworks.update_one({"fw_id": fw_id}, {"$set": {"state": state}})
        self.pad._refresh_wf(fw_id)

    def _settle(self, fw_id: int) -> None:
        """Mark the run as completed, without the action that would add its replacement a second time."""
        launch_id = self.pad.fireworks.find_one({"fw_id": fw_id}, {"launches": 1})["launches"][-1]
        done = {"state": "COMPLETED", "action": FWAction().to_dict()}
        self.pad.launches.update_one({"launch_id": launch_id}, {"$set": done})
        self.pad._refresh_wf(fw_id)


def _view(row: dict[str, Any], recorded: dict[str, str], launches: dict[int, dict[str, Any]]) -> FireworkView:
    launch = launches.get(row["launches"][-1]) if row["launches"] else None
    job = row["spec"]["_tasks"][0]["job"]
    return FireworkView(
        fw_id=row["fw_id"],
        name=row["name"],
        state=row["state"],
        recorded=recorded.get(str(row["fw_id"])),
        updated=_time(row["updated_on"]),
        uuid=job["uuid"],
        index=job["index"],
        category=row["spec"].get("_category", ""),
        launch=_launch_view(launch) if launch else None,
        reason=_last_line(launch) if launch and row["state"] == "FIZZLED" else "",
    )


def _launch_view(launch: dict[str, Any]) -> LaunchView:
    reserved = [str(entry["reservation_id"]) for entry in launch["state_history"] if entry.get("reservation_id")]
    directory = launch["launch_dir"] or ""
    slurm_id = reserved[-1] if reserved else _id_from_output(Path(directory))
    running, ended = (
        [entry for entry in launch["state_history"] if entry["state"] in states] for states in (("RUNNING",), ENDED)
    )
    return LaunchView(
        launch["launch_id"],
        launch["state"],
        directory,
        slurm_id,
        started=_time(running[-1]["created_on"]) if running else None,
        ended=_time(ended[-1]["created_on"]) if ended else None,
        heartbeat=_time(running[-1].get("updated_on") or running[-1]["created_on"]) if running else None,
        worker=(launch.get("fworker") or {}).get("name") or "",
        node=(launch.get("host") or "") if running else "",  # before that, it is the machine of the dispatcher
    )


def _execution_order(links: dict[str, list[int]]) -> dict[int, int]:
    """Return the position of each firework in an order where parents come first; FireWorks numbers the last job first."""
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for parent in sorted(map(int, links)):
        sorter.add(parent)
        for child in links[str(parent)]:
            sorter.add(child, parent)
    return {fw_id: position for position, fw_id in enumerate(sorter.static_order())}


def _id_from_output(directory: Path) -> str | None:
    """Find the id of a job without reservation mode, from its output file `<name>-<id>.out` where it was submitted."""
    for place in (directory, directory.parent):
        ids = [path.stem.rpartition("-")[2] for path in place.glob("*-*.out")]
        if ids and ids[0].isdigit():
            return max(ids, key=int)
    return None


def _traceback(launch: dict[str, Any]) -> str:
    trace = launch.get("action") or {}
    for key in ("stored_data", "_exception", "_stacktrace"):
        trace = (trace or {}).get(key)
    return str(trace or "")


def _last_line(launch: dict[str, Any]) -> str:
    lines = [line for line in _traceback(launch).splitlines() if line.strip()]
    return lines[-1].partition(": ")[2] or lines[-1] if lines else ""


def _time(value: Any) -> datetime:
    """Convert a time of FireWorks, which stores text in one place and dates in another, both in UTC."""
    moment = datetime.fromisoformat(value.replace("Z", "+00:00")) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
