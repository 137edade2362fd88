"""How far a run has come, and how long the rest will take: the plan of each stage, corrected by what was measured."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from imatgen_flows.registry import DescribedEnum

# share of a stage from which on its own rate counts alone; before, the plan counts too. A choice, not a measurement
TRUSTED_SHARE = 0.25
# s that are added to planned and measured times before their ratio is taken, so that short stages do not decide it
SHORT = 2.0
OVERRUN = 0.1  # of what a stage has taken already is left, where it takes longer than planned and counts nothing


class StageState(DescribedEnum):
    """How far a stage of a run has come."""

    WAITING = "waiting", "Waiting", "It has not begun."
    RUNNING = "running", "Running", "It is under way."
    DONE = "done", "Done", "Its result is on disk."
    SKIPPED = "skipped", "Not needed", "The campaign ended before it."


@dataclass
class StageProgress:
    """One stage of a run, and how far it has come.

    Attributes
    ----------
    job, title, round : as of `CampaignStage`
    profile : of its job; stages of one profile are corrected together
    planned : s, by the plan; None where there is none
    state : how far it has come
    seconds : that it has taken so far, those of an earlier attempt included where its result was found
    done, total, what : what the job counts; `total` is 0 where it counts nothing
    counted_from, counted_since : `done` at the first count of this attempt, and `seconds` then
    said : what came of it
    """

    job: str
    title: str
    round: int
    profile: str
    planned: float | None = None
    state: StageState = StageState.WAITING
    seconds: float = 0.0
    done: int = 0
    total: int = 0
    what: str = ""
    counted_from: int = 0
    counted_since: float = 0.0
    said: str = ""

    def count(self, done: int, total: int, what: str) -> None:
        """Take over what the job counts; another thing that it counts begins anew."""
        if (what, total) != (self.what, self.total):
            self.counted_from, self.counted_since = done, self.seconds
        self.done, self.total, self.what = done, total, what

    @property
    def now(self) -> str:
        """What it does now, where it counts: as `relaxed: 12 of 80`."""
        return f"{self.what}: {self.done:,} of {self.total:,}" if self.total else ""


@dataclass
class RunProgress:
    """How far a run has come: all of its stages, and the time that it has taken.

    Attributes
    ----------
    stages : in order; those of rounds that a stop rule may leave out are among them
    spent : s, of this attempt and of those before it
    ended : how the attempt ended; empty while it goes on
    updated : seconds since the epoch
    """

    stages: list[StageProgress] = field(default_factory=list)
    spent: float = 0.0
    ended: str = ""
    updated: float = 0.0

    @property
    def finished(self) -> int:
        """Number of stages that are done."""
        return sum(stage.state is StageState.DONE for stage in self.stages)

    @property
    def needed(self) -> int:
        """Number of stages, without those that turned out not to be needed."""
        return sum(stage.state is not StageState.SKIPPED for stage in self.stages)

    @property
    def current(self) -> StageProgress | None:
        """The stage that is under way, or else the one that ended last."""
        under_way = [stage for stage in self.stages if stage.state is StageState.RUNNING]
        ended = [stage for stage in self.stages if stage.state is StageState.DONE]
        return under_way[-1] if under_way else ended[-1] if ended else None

    @property
    def number(self) -> int:
        """Number of the current stage, from 1; 0 where none has begun."""
        return self.stages.index(self.current) + 1 if self.current else 0

    @property
    def place(self) -> str:
        """Where the run is, as `stage 5 of 14: train VAE`; the round is named where there are several."""
        stage = self.current
        if stage is None:
            return f"{self.needed} stages"
        several = self.stages[-1].round > 1
        return f"stage {self.number} of {self.needed}: {stage.title}" + (f", round {stage.round}" if several else "")

    def seconds_left(self) -> float | None:
        """Estimate the time that the rest takes, s; None where stages wait and none of them has a plan."""
        ahead = [stage for stage in self.stages if stage.state in (StageState.WAITING, StageState.RUNNING)]
        if (waiting := [stage for stage in ahead if stage.state is StageState.WAITING]) and not any(
            stage.planned is not None for stage in waiting
        ):
            return None
        known = [seconds for stage in ahead if (seconds := self._left_of(stage)) is not None]
        return sum(known) if known or not ahead else None

    @property
    def times(self) -> str:
        """Time spent, and time left where it can be said, in words."""
        left = self.seconds_left()
        return f"{spell(self.spent)} spent" + ("" if left is None or self.ended else f", about {spell(left)} left")

    def up_to_date(self) -> Self:
        """Return the progress as it is now: of an attempt that goes on, the time since `updated` is spent too."""
        since = 0.0 if self.ended else max(0.0, time.time() - self.updated)
        stages = [
            replace(stage, seconds=stage.seconds + since) if stage.state is StageState.RUNNING else stage
            for stage in self.stages
        ]
        return replace(self, stages=stages, spent=self.spent + since)

    def to_dict(self) -> dict[str, Any]:
        """Return the progress as plain values, with what a reader would have to work out."""
        derived = {"finished": self.finished, "needed": self.needed, "seconds_left": self.seconds_left()}
        return asdict(self) | derived

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Read what `to_dict` returned.

        Raises
        ------
        ValueError, KeyError, TypeError
            Where it is something else.
        """
        stages = [StageProgress(**stage | {"state": StageState(stage["state"])}) for stage in content["stages"]]
        return cls(stages, content["spent"], content["ended"], content["updated"])

    def _left_of(self, stage: StageProgress) -> float | None:
        """Estimate what is left of a stage, s: by its plan, and the more by its own rate the more of it is done."""
        if stage.state not in (StageState.WAITING, StageState.RUNNING):
            return None
        planned = None if stage.planned is None else stage.planned * self._correction(stage)
        if stage.state is StageState.WAITING:
            return planned
        counted, ahead = stage.done - stage.counted_from, stage.total - stage.done
        if counted > 0:
            by_rate = (stage.seconds - stage.counted_since) / counted * ahead
            if planned is None:
                return by_rate
            weight = min(1.0, counted / (counted + ahead) / TRUSTED_SHARE)
            return weight * by_rate + (1 - weight) * planned * ahead / stage.total
        return None if planned is None else max(planned - stage.seconds, OVERRUN * stage.seconds)

    def _correction(self, stage: StageProgress) -> float:
        """Return the factor by which stages like one have taken longer than planned: the same job, or else its profile."""
        ended = [one for one in self.stages if one.state is StageState.DONE and one.planned is not None]
        same = [one for one in ended if (one.job, one.title) == (stage.job, stage.title)]
        return correction(same or [one for one in ended if one.profile == stage.profile])


def correction(ended: Iterable[StageProgress]) -> float:
    """Return the ratio of what stages have taken to what was planned; one where none has ended.

    Examples
    --------
    >>> done = StageProgress("train_vae", "train VAE", 1, "gpu_train", planned=98.0, seconds=198.0)
    >>> correction([done]), correction([])
    (2.0, 1.0)
    """
    pairs: Sequence[tuple[float, float]] = [(one.seconds, one.planned or 0.0) for one in ended]
    taken, planned = (sum(column) for column in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
    return (taken + SHORT) / (planned + SHORT)


def spell(seconds: float) -> str:
    """Write a time for people, in the units that suit it.

    Examples
    --------
    >>> spell(8), spell(95), spell(400), spell(9000), spell(200_000)
    ('8 s', '95 s', '7 min', '2 h 30 min', '2 days 7 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} days {hours % 24} h"
