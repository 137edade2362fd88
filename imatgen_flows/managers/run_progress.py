"""The progress of a run on this machine: its jobs report it, whoever watches is shown it, and a file keeps it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from imatgen_flows.errors import ImatgenError, Interrupted
from imatgen_flows.io.files import write_atomic
from imatgen_flows.jobs.registry import JOBS
from imatgen_flows.managers.run_files import PROGRESS_FILE, RunState
from imatgen_flows.managers.stages import CampaignStage
from imatgen_flows.managers.time_left import RunProgress, StageProgress, StageState, spell
from imatgen_flows.observer import Nobody, observed_by

WRITE_EVERY = 1.0  # s between two writings of the file, at least
SAY_EVERY = 30.0  # s between two lines of the log on one stage, at least

# estimates the time of each stage, s; nothing where it cannot
Planner = Callable[[], Sequence[float | None]]

logger = logging.getLogger(__name__)


class Display(Protocol):
    """What shows the progress of a run while it goes on."""

    def begin(self, progress: RunProgress) -> None:
        """Show that the current stage begins, or goes on with another job."""

    def count(self, progress: RunProgress) -> None:
        """Show what the current stage counts; called often."""

    def end(self, progress: RunProgress) -> None:
        """Show that the current stage has ended."""


class LogDisplay:
    """The progress as lines of the log: one when a stage begins, one when it ends, and one every half minute between."""

    def __init__(self) -> None:
        self.said = time.monotonic()

    def begin(self, progress: RunProgress) -> None:
        """Say which stage begins."""
        self._say("%s ... (%s)", progress.place, progress.times)

    def count(self, progress: RunProgress) -> None:
        """Say what the stage counts, where the last line is half a minute old."""
        if progress.current and time.monotonic() - self.said >= SAY_EVERY:
            self._say("%s, %s (%s)", progress.place, progress.current.now, progress.times)

    def end(self, progress: RunProgress) -> None:
        """Say what came of the stage."""
        self._say("%s", ended_line(progress))

    def _say(self, *message: str) -> None:
        logger.info(*message)
        self.said = time.monotonic()


def ended_line(progress: RunProgress) -> str:
    """Say what came of the stage that has ended."""
    stage = progress.current
    if stage is None:
        return progress.place
    said = f" ({stage.said})" if stage.said else ""
    return f"{progress.place}: done in {spell(stage.seconds)}{said}"


class ProgressRecorder:
    """The observer of a run: keeps its progress up to date, shows it, and writes it into the run directory.

    Parameters
    ----------
    stages : of the campaign; what an earlier attempt had planned for them counts
    directory : the run directory
    display : what shows it
    plan : says how long each stage will take, s; asked when the first job begins, so that a run of which everything is
        found need not wait for it, and where no earlier attempt has asked
    """

    def __init__(
        self, stages: Sequence[CampaignStage], directory: Path, display: Display, plan: Planner | None = None
    ) -> None:
        made = [StageProgress(stage.job, stage.title, stage.round, _profile(stage.job)) for stage in stages]
        self.progress, self.path, self.display = RunProgress(made), directory / PROGRESS_FILE, display
        earlier = read_run_progress(directory)
        self.earlier = earlier.spent if earlier else 0.0  # s, of all attempts before this one
        self.found = 0.0  # s that jobs took whose results are found
        self._take_plan(planned_before(earlier, stages))
        self.ask_plan = None if any(stage.planned is not None for stage in made) else plan
        self.began = self.written = time.monotonic()
        self.stage_began = self.began
        self.before = 0.0  # s that the current stage has taken in jobs that are done
        self.refresh()
        self._write()

    def begin(self, job: str, title: str) -> None:
        """See `Observer`."""
        if self.ask_plan:
            logger.info("planning: what each stage takes here is measured for some seconds ...")
            with observed_by(Nobody()):
                self._take_plan(self.ask_plan())
            self.ask_plan = None
        self._enter(job, title).state = StageState.RUNNING
        self.refresh()
        self.display.begin(self.progress)
        self._write()

    def end(self, job: str, title: str, seconds: float, said: str) -> None:
        """See `Observer`."""
        if (stage := self.progress.current) is None or (
            stage.state is not StageState.RUNNING or (stage.job, stage.title) != (job, title)
        ):  # no begin was reported: an earlier attempt has done it
            stage = self._enter(job, title)
            self.found += seconds
        self.before += seconds
        stage.state, stage.seconds, stage.said = StageState.DONE, self.before, said
        self.refresh()
        self.display.end(self.progress)
        self._write()

    def count(self, done: int, total: int, what: str) -> None:
        """See `Observer`."""
        self.refresh()
        if stage := self.progress.current:
            stage.count(done, total, what)
            self.display.count(self.progress)
        if time.monotonic() - self.written >= WRITE_EVERY:
            self._write()

    def refresh(self) -> RunProgress:
        """Bring the times up to date, and return the progress."""
        now = time.monotonic()
        self.progress.spent = max(self.earlier, self.found) + now - self.began
        self.progress.updated = time.time()
        stage = self.progress.current
        if stage and stage.state is StageState.RUNNING:
            stage.seconds = self.before + now - self.stage_began
        return self.progress

    def finish(self, state: RunState) -> None:
        """Note how the attempt has ended."""
        self.refresh().ended = state.value
        for stage in self.progress.stages:
            if stage.state is not StageState.DONE:
                stage.state = StageState.SKIPPED if state is RunState.FINISHED else StageState.WAITING
        self._write()

    def _take_plan(self, seconds: Sequence[float | None]) -> None:
        """Take over the planned time of each stage, s; nothing where there is no plan."""
        for stage, planned in zip(self.progress.stages, seconds, strict=False):
            stage.planned = planned

    def _enter(self, job: str, title: str) -> StageProgress:
        """Find the stage of a job that begins or was found, or add one that nobody planned."""
        stage, goes_on = self._find(job, title), False
        if stage is None:
            stage = StageProgress(job, title, 1, _profile(job))
            self.progress.stages.insert(self.progress.number, stage)
        elif stage.state is StageState.DONE:
            goes_on = True
        self.before = self.before if goes_on else 0.0
        self.stage_began = time.monotonic()
        return stage

    def _find(self, job: str, title: str) -> StageProgress | None:
        """Find the first stage of a job that has not begun, or the one that ended last, where several jobs are one stage."""
        last = self.progress.current
        if last and last.job == job and CampaignStage(job, title, last.round).repeats:
            return last
        waiting = (stage for stage in self.progress.stages if stage.state is StageState.WAITING)
        return next((stage for stage in waiting if (stage.job, stage.title) == (job, title)), None)

    def _write(self) -> None:
        self.written = time.monotonic()
        with suppress(OSError):  # a full disk is for the jobs to report
            write_atomic(self.path, json.dumps(self.progress.to_dict()))


@contextmanager
def recorded(recorder: ProgressRecorder) -> Iterator[None]:
    """Let a run report its progress to a recorder, and note how it ended."""
    ended = RunState.FAILED
    try:
        with observed_by(recorder):
            yield
        ended = RunState.FINISHED
    except (KeyboardInterrupt, Interrupted):
        ended = RunState.STOPPED
        raise
    finally:
        recorder.finish(ended)


def read_run_progress(directory: Path, going: bool = False) -> RunProgress | None:
    """Read how far the last attempt at a run has come; None where no file of this version says so.

    Parameters
    ----------
    directory : the run directory
    going : whether the attempt goes on: then the time since the file was written is spent too. One that does not, and has
        not said how it ended, was killed
    """
    try:
        progress = RunProgress.from_dict(json.loads((directory / PROGRESS_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if going:
        return progress.up_to_date()
    progress.ended = progress.ended or RunState.STOPPED.value
    return progress


def planned_before(earlier: RunProgress | None, stages: Sequence[CampaignStage]) -> list[float | None]:
    """Return what an earlier attempt had planned for the same stages; nothing where there is no such plan."""
    by_name: dict[tuple[str, str], list[float | None]] = {}
    for one in earlier.stages if earlier else ():
        by_name.setdefault((one.job, one.title), []).append(one.planned)
    try:
        planned = [by_name[stage.job, stage.title].pop(0) for stage in stages]
    except (KeyError, IndexError):  # another number of rounds, for one
        return []
    return planned if any(seconds is not None for seconds in planned) else []


def _profile(job: str) -> str:
    try:
        return JOBS[job].profile.value
    except ImatgenError:  # a job of somebody else's flow
        return ""
