"""What is repaired after a crash, and what is never touched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imatgen_flows.managers.recovery import (
    BUSY,
    FireworkView,
    LaunchView,
    Remedy,
    WorkflowView,
    diagnose,
    is_alive,
)
from imatgen_flows.managers.slurm import SlurmJob

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=5)
STATES = ("WAITING", "READY", "RESERVED", "RUNNING", "COMPLETED", "FIZZLED", "DEFUSED", "PAUSED", "ARCHIVED")


def job(number, directory="/elsewhere"):
    return {str(number): SlurmJob(str(number), "a job", "RUNNING", "", "cpu", directory, 10)}


def firework(state, recorded="same", slurm_id="7", launch="RUNNING", updated=LONG_AGO, **more):
    run = LaunchView(1, launch, "/blocks/launcher_1", slurm_id) if launch else None
    return FireworkView(
        1, "train", state, state if recorded == "same" else recorded, updated, **{"uuid": "a", **more}, launch=run
    )


def workflow(*fireworks, locked=False):
    return WorkflowView(fireworks, locked, LONG_AGO)


def remedies(*fireworks, jobs=None, **options):
    return [finding.remedy for finding in diagnose(workflow(*fireworks), jobs or {}, NOW, **options)]


@pytest.mark.parametrize("state", BUSY)
def test_a_firework_whose_job_left_the_queue_is_run_again(state):
    (finding,) = diagnose(workflow(firework(state, launch=state)), {}, NOW)
    assert finding.remedy is Remedy.RERUN and "no job 7" in finding.why


@pytest.mark.parametrize("state", BUSY)
def test_a_job_in_the_queue_is_not_touched_however_old(state):
    assert remedies(firework(state, launch=state), jobs=job(7)) == []


def test_a_job_is_known_by_its_directory_too():
    submitted = firework("RESERVED", slurm_id=None, launch="RESERVED")
    assert remedies(submitted, jobs=job(99, "/blocks/launcher_1")) == []
    assert remedies(submitted, jobs=job(99, "/blocks/launcher_2")) == [Remedy.RERUN]


def test_what_has_just_changed_is_left_alone():
    (finding,) = diagnose(workflow(firework("RUNNING", updated=NOW - timedelta(seconds=5))), {}, NOW)
    assert finding.remedy is Remedy.LEAVE
    assert "became RUNNING 5 s ago" in finding.why and "counts as lost after 60 s" in finding.why
    assert remedies(firework("RUNNING", updated=NOW - timedelta(seconds=60))) == [Remedy.RERUN]


def test_what_fizzled_is_left_until_slurm_has_ended_its_job():
    (finding,) = diagnose(workflow(firework("FIZZLED", launch="FIZZLED")), job(7), NOW)
    assert finding.remedy is Remedy.LEAVE and "has not ended its job yet" in finding.why


def test_a_reservation_without_a_launch_is_taken_back():
    assert remedies(firework("RESERVED", launch=None)) == [Remedy.RERUN]


def test_what_fizzled_is_run_again_at_once_with_its_reason():
    failed = firework("FIZZLED", launch="FIZZLED", updated=NOW, reason="No space left on device")
    (finding,) = diagnose(workflow(failed), {}, NOW)
    assert finding.remedy is Remedy.RERUN and "No space left" in finding.why


def test_a_process_outside_slurm_is_left_to_its_owner():
    (finding,) = diagnose(workflow(firework("RUNNING", slurm_id=None)), {}, NOW)
    assert finding.remedy is Remedy.LEAVE and "not under SLURM" in finding.why


def test_a_firework_in_no_workflow_is_deleted():
    assert remedies(firework("READY", recorded=None, launch=None)) == [Remedy.DELETE]


def test_a_completion_that_the_workflow_did_not_hear_of_is_rolled_back():
    assert remedies(firework("COMPLETED", recorded="RUNNING", launch="COMPLETED")) == [Remedy.ROLL_BACK]


def test_a_run_that_ended_without_a_word_is_refreshed_and_not_run_again():
    assert remedies(firework("RUNNING", launch="COMPLETED")) == [Remedy.REFRESH]


def test_damage_to_the_structure_is_mended_before_anything_runs_again():
    orphan = FireworkView(2, "relax batch 1", "READY", None, LONG_AGO, uuid="b")
    assert remedies(firework("RUNNING"), orphan) == [Remedy.DELETE]


@pytest.mark.parametrize("state", [*BUSY, "FIZZLED"])
def test_a_job_that_replaced_itself_before_it_died_does_not_replace_itself_twice(state):
    successor = FireworkView(2, "train", "READY", "READY", LONG_AGO, uuid="a", index=2)
    assert remedies(firework(state), successor) == [Remedy.SETTLE]
    stranger = FireworkView(2, "train", "READY", "READY", LONG_AGO, uuid="b", index=2)
    assert remedies(firework(state), stranger) == [Remedy.RERUN]


def test_a_lock_is_opened_where_no_job_lives_and_left_where_one_does():
    locked = workflow(firework("RUNNING"), locked=True)
    assert [finding.remedy for finding in diagnose(locked, {}, NOW)] == [Remedy.UNLOCK]
    assert [finding.remedy for finding in diagnose(locked, job(7), NOW)] == [Remedy.LEAVE]
    assert [finding.remedy for finding in diagnose(locked, job(7), NOW, unlock=True)] == [Remedy.UNLOCK]


launches = st.builds(
    LaunchView,
    id=st.just(1),
    state=st.sampled_from(["RUNNING", "RESERVED", "COMPLETED", "FIZZLED"]),
    directory=st.sampled_from(["/a/launcher_1", "/a/launcher_2", ""]),
    slurm_id=st.sampled_from(["1", "2", None]),
)
fireworks = st.builds(
    FireworkView,
    fw_id=st.integers(1, 50),
    name=st.just("job"),
    state=st.sampled_from(STATES),
    recorded=st.sampled_from([*STATES, None]),
    updated=st.sampled_from([NOW, LONG_AGO]),
    uuid=st.sampled_from("abc"),
    index=st.integers(1, 3),
    launch=st.none() | launches,
)
queues = st.sampled_from([{}, job(1), job(2), job(3, "/a/launcher_2")])


@given(st.lists(fireworks, min_size=1, max_size=6, unique_by=lambda item: item.fw_id), queues, st.booleans())
def test_nothing_that_lives_is_ever_touched(items, jobs, locked):
    found = diagnose(workflow(*items, locked=locked), jobs, NOW)
    touched = {finding.fw_id for finding in found if finding.remedy not in (Remedy.LEAVE, Remedy.UNLOCK)}
    alive = {item.fw_id for item in items if is_alive(item, jobs)}
    assert not touched & alive
    if alive:
        assert Remedy.UNLOCK not in {finding.remedy for finding in found}


@given(st.lists(fireworks, min_size=1, max_size=6, unique_by=lambda item: item.fw_id), queues)
def test_what_ended_well_or_waits_is_never_run_again(items, jobs):
    found = diagnose(workflow(*items), jobs, NOW)
    rerun = {finding.fw_id for finding in found if finding.remedy is Remedy.RERUN}
    assert all(item.state in (*BUSY, "FIZZLED") for item in items if item.fw_id in rerun)
