"""Campaigns on a real LaunchPad, run by FireWorks' own launcher; scripts take the place of SLURM alone."""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pytest
import yaml
from fireworks import FWorker
from jobflow import SETTINGS, Flow, JobStore, Response, job

from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.managers import campaigns, slurm
from imatgen_flows.managers.recovery import Remedy

pytestmark = pytest.mark.usefixtures("played_slurm")


@job
def add(a, b):
    return a + b


@job
def add_later(a, b):
    return Response(replace=add(a, b))


def retry(machine, campaign_id, **options):
    return campaigns.retry_campaign(machine.directory, campaign_id, grace=timedelta(0), **options)


def chain():
    first = add(1, 2)
    return Flow([first, add(first.output, 3)])


@pytest.fixture(scope="module")
def finished(machine, tiny, tmp_path_factory):
    """A finished campaign: its id and its run directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{machine.programs}:{os.environ['PATH']}")
        store = JobStore.from_dict_spec(yaml.safe_load((machine.directory / "jobflow.yaml").read_text())["JOB_STORE"])
        patch.setattr(SETTINGS, "JOB_STORE", store)
        run = tmp_path_factory.mktemp("finished") / "run"
        done = campaigns.submit_campaign(tiny(), run, machine.directory)
        machine.launch()
    return done.campaign_id, run


@pytest.mark.slow
def test_a_submitted_campaign_is_harvested_like_any_run(machine, finished, imatgen, tmp_path):
    campaign_id, run = finished
    assert set(machine.states(campaign_id)) == {"COMPLETED"}
    code, text, _ = imatgen("harvest", campaign_id)
    assert code == 0 and (run / "report.html").is_file()
    ledger = json.loads((run / "ledger.json").read_text())
    assert sum(ledger["states"].values()) == ledger["samples"] == 60
    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["hardware"] == "SLURM, partitions work" and provenance["seed"] == 7


@pytest.mark.slow
def test_a_partial_harvest_counts_what_is_missing_as_lost(machine, finished, tmp_path, monkeypatch):
    campaign_id, _ = finished
    from imatgen_flows.jobs.documents import BatchDocument, RoundDocument
    from imatgen_flows.jobs.rank_candidates import rank_candidates
    from imatgen_flows.managers import results

    whole = results.read_documents(machine.directory, campaign_id)
    batches = [document for document in whole if isinstance(document, BatchDocument)]
    kept = [document for document in whole if not isinstance(document, RoundDocument) and document is not batches[0]]
    kept = [document for document in kept if not document.made_by(rank_candidates)]
    monkeypatch.setattr(results, "read_documents", lambda *_: kept)
    with pytest.raises(ImatgenError, match="--partial"):
        campaigns.harvest_campaign(machine.directory, campaign_id, tmp_path / "part")
    campaigns.harvest_campaign(machine.directory, campaign_id, tmp_path / "part", partial=True)
    ledger = json.loads((tmp_path / "part" / "ledger.json").read_text())
    lost = {item["reason"]: item["count"] for item in ledger["rejections"]}["batch_lost"]
    assert lost == sum(batches[0].counts.values()) and sum(ledger["states"].values()) == 60


@pytest.mark.slow
def test_status_tells_people_and_pipes_the_same(finished, imatgen):
    campaign_id, run = finished
    code, text, _ = imatgen("status", campaign_id, "--json")
    said = json.loads(text)
    assert code == 0 and said["state"] == "COMPLETED" and said["directory"] == str(run)
    assert said["fireworks"] == {"COMPLETED": len(said["jobs"])} and said["relaxations"][0] == said["relaxations"][1]
    assert sum(said["candidates"].values()) == 60
    code, text, _ = imatgen("status", campaign_id)
    assert code == 0 and "relax batches" in text and "energy evaluations" in text
    code, text, _ = imatgen("status", campaign_id, "--watch")  # ends by itself at the end of a campaign
    assert code == 0 and campaign_id in text


def test_a_flow_on_the_launchpad_holds_no_store_and_knows_its_campaign(machine):
    campaign_id = machine.add(chain())
    rows = list(machine.fireworks.fireworks.find({"spec.campaign_id": campaign_id}))
    assert len(rows) == 2
    assert all(row["spec"]["_tasks"][0]["store"] is None for row in rows)


def test_what_slurm_has_lost_is_run_again_and_gives_the_same(machine):
    campaign_id = machine.add(chain())
    reserve(machine, campaign_id, slurm_id=41)
    (finding,) = retry(machine, campaign_id)
    assert finding.remedy is Remedy.RERUN and "no job 41" in finding.why
    machine.launch()
    assert machine.states(campaign_id) == ["COMPLETED", "COMPLETED"]
    assert retry(machine, campaign_id) == []


def test_without_reservation_the_job_is_known_by_its_output_file(machine, tmp_path):
    campaign_id = machine.add(chain())
    (tmp_path / "FW_job-77.out").touch()
    worker = FWorker(category=["light"], query={"spec.campaign_id": campaign_id})
    machine.fireworks.checkout_fw(worker, str(tmp_path))
    (machine.programs / "squeue.txt").write_text(queued("77"))
    assert retry(machine, campaign_id) == []
    (machine.programs / "squeue.txt").write_text("")
    (finding,) = retry(machine, campaign_id)
    assert finding.remedy is Remedy.RERUN and "no job 77" in finding.why
    machine.launch()


def test_a_silent_slurm_stops_the_retry_before_it_touches_anything(machine):
    campaign_id = machine.add(chain())
    reserve(machine, campaign_id, slurm_id=42)
    before = machine.states(campaign_id)
    (machine.programs / "squeue").write_text("#!/bin/sh\nexit 1\n")
    try:
        with pytest.raises(ImatgenError):
            retry(machine, campaign_id)
    finally:
        (machine.programs / "squeue").write_text('#!/bin/sh\ncat "$0.txt"\n')
    assert machine.states(campaign_id) == before
    campaigns.cancel_campaign(machine.directory, campaign_id)


def test_a_package_of_slurm_that_was_never_configured_is_no_slurm(new_machine):
    campaign_id = new_machine.add(chain())
    for program in ("squeue", "sinfo"):
        unset = "#!/bin/sh\necho 'error: Could not establish a configuration source' >&2\nexit 1\n"
        (new_machine.programs / program).write_text(unset)
    assert retry(new_machine, campaign_id) == []
    reserve(new_machine, campaign_id, slurm_id=43)
    with pytest.raises(ImatgenError, match="SLURM does not answer"):  # it was configured once, and may have jobs
        retry(new_machine, campaign_id)


def test_fireworks_are_listed_in_the_order_in_which_they_run(machine):
    campaign_id = machine.add(Flow([first := add(1, 2), second := add(first.output, 3), add(second.output, 4)]))
    expected = machine.fireworks.workflows.find_one({"metadata.campaign_id": campaign_id})["links"]
    numbers = [firework.fw_id for firework in machine.pad.workflow(campaign_id).fireworks]
    assert [expected[str(number)] for number in numbers] == [[numbers[1]], [numbers[2]], []]
    campaigns.cancel_campaign(machine.directory, campaign_id)


def test_a_workflow_locked_by_a_dead_process_is_opened(machine):
    campaign_id = machine.add(chain())
    machine.fireworks.workflows.update_one({"metadata.campaign_id": campaign_id}, {"$set": {"locked": True}})
    (finding,) = retry(machine, campaign_id)
    assert finding.remedy is Remedy.UNLOCK
    machine.launch()
    assert machine.states(campaign_id) == ["COMPLETED", "COMPLETED"]


def test_a_write_cut_short_between_fireworks_and_workflow_is_undone_and_done_again(machine):
    campaign_id = machine.add(Flow([later := add_later(1, 2), add(later.output, 3)]))
    pad = machine.fireworks
    before = pad.workflows.find_one({"metadata.campaign_id": campaign_id})
    machine.launch(1)  # replaces itself
    after = pad.workflows.find_one({"metadata.campaign_id": campaign_id})
    made = set(after["nodes"]) - set(before["nodes"])
    assert made
    # as if the process had died after the fireworks were written, and before their workflow was
    first = replacing(pad, campaign_id)
    before["fw_states"][str(first)] = "RUNNING"
    pad.workflows.replace_one({"_id": before["_id"]}, before)
    assert {finding.remedy for finding in retry(machine, campaign_id)} == {Remedy.DELETE, Remedy.ROLL_BACK}
    machine.launch()
    assert machine.states(campaign_id) == ["COMPLETED"] * 3


def test_a_job_that_died_after_replacing_itself_is_settled_and_not_replaced_twice(machine):
    campaign_id = machine.add(Flow([later := add_later(1, 2), add(later.output, 3)]))
    pad = machine.fireworks
    machine.launch(1)
    first = replacing(pad, campaign_id)
    launch = pad.fireworks.find_one({"fw_id": first})["launches"][-1]
    pad.launches.update_one({"launch_id": launch}, {"$set": {"state": "FIZZLED"}})
    pad.fireworks.update_one({"fw_id": first}, {"$set": {"state": "FIZZLED"}})
    (finding,) = retry(machine, campaign_id)
    assert finding.remedy is Remedy.SETTLE
    machine.launch()
    assert machine.states(campaign_id) == ["COMPLETED"] * 3


def test_a_retry_does_not_run_again_what_another_retry_has(machine):
    from imatgen_flows.managers.recovery import Finding

    campaign_id = machine.add(chain())
    fw_id = reserve(machine, campaign_id, slurm_id=43)
    stale = Finding(fw_id, "add", Remedy.RERUN, "seen by two at once", launch_id=-1)
    before = machine.pad.workflow(campaign_id)
    machine.pad.repair(stale)
    assert machine.pad.workflow(campaign_id).fireworks == before.fireworks
    campaigns.cancel_campaign(machine.directory, campaign_id)


def test_a_cancelled_campaign_starts_nothing(machine, imatgen):
    campaign_id = machine.add(chain())
    assert imatgen("cancel", campaign_id)[0] == 0
    assert machine.states(campaign_id) == ["DEFUSED", "DEFUSED"]


def test_an_unknown_campaign_is_said(machine, imatgen):
    code, _, error = imatgen("status", "nothing-like-it")
    assert code == 2 and "no campaign `nothing-like-it`" in error


def test_a_campaign_of_version_1_is_answered_with_what_to_do(machine, imatgen):
    campaign_id = machine.add(chain(), format=1, version="0.9")
    for command in ("status", "retry", "harvest", "cancel"):
        code, _, error = imatgen(command, campaign_id)
        assert code == 2 and "imatgen-flows 0.9" in error and "imatgen init DIR --from /nowhere/campaign.yaml" in error
    assert imatgen("status")[0] == 0  # the list of campaigns


def test_several_campaigns_are_listed(machine, imatgen):
    machine.add(chain())
    machine.add(chain())
    code, text, _ = imatgen("status", "--json")
    assert code == 0 and len(json.loads(text)) >= 2
    with pytest.raises(InputError, match="which campaign"):
        campaigns.find_campaign(machine.pad, None)


def test_without_a_cluster_the_user_is_told_how_to_get_one(imatgen, monkeypatch):
    monkeypatch.delenv("IMATGEN_CLUSTER")
    code, _, error = imatgen("status")
    assert code == 2 and "imatgen init --cluster DIR" in error


def reserve(machine, campaign_id, slurm_id):
    """Reserve a firework for a job in the queue, as `qlaunch -r` does."""
    pad = machine.fireworks
    firework, launch = pad.reserve_fw(FWorker(category=["light"], query={"spec.campaign_id": campaign_id}), "/nowhere")
    pad.set_reservation_id(launch, slurm_id)
    return firework.fw_id


def replacing(pad, campaign_id):
    """Find the firework that replaces itself."""
    return pad.fireworks.find_one({"spec.campaign_id": campaign_id, "name": "add_later"})["fw_id"]


def queued(number):
    """Return the output of squeue for a running job."""
    return slurm.RECORD + slurm.FIELD.join([number, "RUNNING", "None", "work", "0:10", "/elsewhere", "FW_job"])
