"""The time left: by the plan at first, by what was measured in the end."""

from __future__ import annotations

import pytest

from imatgen_flows.managers.time_left import RunProgress, StageProgress, StageState


def stage(title, planned, state=StageState.WAITING, **values):
    return StageProgress(title.replace(" ", "_"), title, values.pop("round", 1), "gpu_relax", planned, state, **values)


def left(*stages):
    return RunProgress(list(stages), updated=0.0).seconds_left()


def test_before_anything_ran_the_plan_is_what_is_left():
    assert left(stage("label", 10.0), stage("relax", 90.0)) == 100.0


def test_without_a_plan_nothing_is_said_while_stages_wait():
    assert left(stage("label", None), stage("relax", None)) is None
    counting = stage("label", None, StageState.RUNNING, seconds=10.0)
    counting.count(0, 100, "evaluated")
    counting.counted_since = 0.0
    counting.count(20, 100, "evaluated")
    assert left(counting, stage("relax", None)) is None
    assert left(counting) == pytest.approx(40.0)


def test_stages_that_took_longer_than_planned_lengthen_those_of_their_kind():
    done = stage("label", 98.0, StageState.DONE, seconds=298.0)
    assert left(done, stage("relax", 50.0)) == pytest.approx(150.0)
    training = stage("train", 50.0)
    training.profile = "gpu_train"
    assert left(done, training) == 50.0


def test_the_same_job_of_an_earlier_round_tells_more_than_others_of_its_kind():
    slow, fast = (stage(name, 98.0, StageState.DONE, seconds=s) for name, s in (("label", 998.0), ("relax", 48.0)))
    assert left(slow, fast, stage("relax", 100.0, round=2)) == pytest.approx(50.0)


@pytest.mark.parametrize(("done", "expected"), [(0, 100.0), (10, 0.4 * 180 + 0.6 * 90), (50, 100.0), (100, 0.0)])
def test_a_stage_that_counts_goes_over_from_its_plan_to_its_own_rate(done, expected):
    counting = stage("relax", 100.0, StageState.RUNNING)
    counting.count(0, 100, "relaxed")
    counting.seconds = 2.0 * done
    counting.count(done, 100, "relaxed")
    assert left(counting) == pytest.approx(expected)


def test_what_an_earlier_attempt_has_counted_is_not_taken_for_speed():
    counting = stage("relax", None, StageState.RUNNING)
    counting.count(80, 100, "relaxed")  # found on disk
    counting.seconds = 50.0
    counting.count(90, 100, "relaxed")
    assert left(counting) == pytest.approx(50.0)


def test_a_stage_that_overruns_its_plan_is_never_said_to_end_at_once():
    assert left(stage("relax", 10.0, StageState.RUNNING, seconds=100.0)) == pytest.approx(10.0)


def test_a_run_whose_stages_are_over_has_no_time_left():
    assert left(stage("a", 5.0, StageState.DONE, seconds=5.0), stage("b", 5.0, StageState.SKIPPED)) == 0.0


def test_the_progress_is_read_as_it_was_written_and_goes_on_by_the_clock():
    running = stage("relax", 100.0, StageState.RUNNING, seconds=7.0)
    progress = RunProgress([stage("label", 5.0, StageState.DONE, seconds=5.0), running], spent=12.0)
    again = RunProgress.from_dict(progress.to_dict())
    assert again == progress and (again.number, again.finished, again.needed) == (2, 1, 2)
    assert progress.place == "stage 2 of 2: relax" and progress.times.startswith("12 s spent, about ")
    progress.updated -= 0  # written at the epoch: long ago
    assert progress.up_to_date().spent > 1e9 and progress.up_to_date().stages[1].seconds > 1e9
    progress.ended = "stopped"
    assert progress.up_to_date() == progress
