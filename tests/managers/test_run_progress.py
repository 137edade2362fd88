"""What is recorded of a run: stages that are found, several jobs of one stage, a stop, a kill."""

from __future__ import annotations

import json
import logging

import pytest

from imatgen_flows.errors import Interrupted
from imatgen_flows.managers import run_progress
from imatgen_flows.managers.run_progress import LogDisplay, ProgressRecorder, read_run_progress, recorded
from imatgen_flows.managers.stages import CampaignStage
from imatgen_flows.managers.time_left import StageState
from imatgen_flows.observer import part_of, report_count

STAGES = [
    CampaignStage("build_dataset", "build dataset", 1),
    CampaignStage("relax_batch", "relax batch", 1),
    CampaignStage("rank_candidates", "rank candidates", 1),
    CampaignStage("relax_batch", "relax batch", 2),
]


@pytest.fixture
def record(tmp_path):
    return lambda plan=None: ProgressRecorder(STAGES, tmp_path, LogDisplay(), plan)


def states(recorder):
    return [stage.state.value for stage in recorder.progress.stages]


def test_batches_of_one_screening_are_one_stage_and_those_of_the_next_round_another(record):
    recorder = record()
    with recorded(recorder):
        recorder.begin("build_dataset", "build dataset")
        recorder.end("build_dataset", "build dataset", 2.0, "")
        for start in (0, 3):
            recorder.begin("relax_batch", "relax batch")
            with part_of(start, 6):
                report_count(3, 3, "relaxed")
            recorder.end("relax_batch", "relax batch", 5.0, "3 relaxed")
        second = recorder.progress.stages[1]
        assert (second.done, second.total, second.seconds) == (6, 6, 10.0)
        recorder.begin("rank_candidates", "rank candidates")
        recorder.end("rank_candidates", "rank candidates", 1.0, "")
        recorder.begin("relax_batch", "relax batch")
        assert recorder.progress.place == "stage 4 of 4: relax batch, round 2"
    assert states(recorder) == ["done", "done", "done", "skipped"]


def test_what_is_found_is_done_with_the_time_that_it_took_before_and_needs_no_plan(record):
    recorder = record(lambda: pytest.fail("nothing has run"))
    recorder.end("build_dataset", "build dataset", 100.0, "found, not repeated")
    assert states(recorder)[0] == "done" and recorder.refresh().spent > 100.0


def test_the_time_of_a_stopped_attempt_counts_once(record):
    first = record()
    with pytest.raises(Interrupted), recorded(first):
        first.began -= 50.0
        first.begin("build_dataset", "build dataset")
        first.end("build_dataset", "build dataset", 30.0, "")
        raise Interrupted("stopped.", 2)
    again = record()
    again.end("build_dataset", "build dataset", 30.0, "found, not repeated")
    assert 50.0 <= again.refresh().spent < 60.0


def test_the_plan_is_asked_for_once_and_an_earlier_attempt_s_counts(record, tmp_path):
    asked = []
    recorder = record(lambda: asked.append(1) or [1.0, 2.0, 3.0, None])
    for _ in range(2):
        recorder.begin("build_dataset", "build dataset")
        recorder.end("build_dataset", "build dataset", 1.0, "")
    again = record(lambda: pytest.fail("it is known"))
    again.begin("build_dataset", "build dataset")
    assert asked == [1] and [stage.planned for stage in again.progress.stages] == [1.0, 2.0, 3.0, None]


def test_a_job_that_nobody_planned_is_a_stage_more(record):
    recorder = record()
    recorder.begin("train_vae", "train VAE")
    assert recorder.progress.place == "stage 1 of 5: train VAE, round 1"


def test_a_stop_and_a_kill_leave_what_is_done(record, tmp_path):
    recorder = record()
    with pytest.raises(Interrupted), recorded(recorder):
        recorder.begin("build_dataset", "build dataset")
        recorder.end("build_dataset", "build dataset", 1.0, "")
        recorder.begin("relax_batch", "relax batch")
        written = (tmp_path / "progress.json").read_text()
        raise Interrupted("stopped.", 2)
    found = read_run_progress(tmp_path)
    assert (found.ended, found.finished, found.needed) == ("stopped", 1, 4)
    (tmp_path / "progress.json").write_text(written)  # as a kill leaves it
    killed = read_run_progress(tmp_path)
    assert killed.ended == "stopped" and "left" not in killed.times
    assert read_run_progress(tmp_path, going=True).ended == ""


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"stages": [{"job": 1}], "spent": 0, "ended": "", "updated": 0}'])
def test_a_file_of_something_else_is_no_progress(tmp_path, content):
    assert read_run_progress(tmp_path) is None
    (tmp_path / "progress.json").write_text(content)
    assert read_run_progress(tmp_path) is None


def test_the_log_counts_only_every_so_often_and_the_file_is_not_written_at_every_count(record, monkeypatch, caplog):
    recorder = record()
    writes = []
    monkeypatch.setattr(run_progress, "write_atomic", lambda path, content: writes.append(json.loads(content)))
    with caplog.at_level(logging.INFO, logger="imatgen_flows"), recorded(recorder):
        recorder.begin("relax_batch", "relax batch")
        for done in range(500):
            report_count(done, 500, "relaxed")
        assert len(writes) <= 3 and len(caplog.records) == 1
        recorder.display.said -= run_progress.SAY_EVERY
        report_count(500, 500, "relaxed")
        assert "relaxed: 500 of 500" in caplog.records[-1].getMessage() and len(caplog.records) == 2
    assert writes[-1]["ended"] == "finished"
    assert writes[-1]["stages"][1]["state"] == StageState.SKIPPED.value
