"""ArmComparison of arms: their summaries, their differences, and whether the adaptive campaign does what it is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imatgen_flows.metrics.arm_statistics import ArmDifference, ArmSummary, compare_arms, summarise_arm
from imatgen_flows.metrics.arms import LIMITS, NEAR, ArmRun
from imatgen_flows.sources.registry import ADAPTIVE, EQUAL

GOAL = 0.85  # of the rate of the best single source, which the adaptive campaign is to reach


@dataclass(frozen=True)
class Verdict:
    """Whether the adaptive campaign does what it is for: new structures within `NEAR` in 1,000 evaluations, over all seeds.

    Attributes
    ----------
    adaptive, equal, best : these numbers; `equal` is None where no arm has equal shares
    best_arm : the single source that finds most
    share_of_best : None where that finds nothing
    """

    adaptive: float
    equal: float | None
    best_arm: str
    best: float

    @property
    def share_of_best(self) -> float | None:
        """Rate of the adaptive campaign over that of the best single source."""
        return self.adaptive / self.best if self.best else None

    @property
    def sentence(self) -> str:
        """Say it, with the numbers."""
        if self.share_of_best is None:
            return f"No single source found anything new within {NEAR:g} eV/atom: adaptive has {self.adaptive:.2f} in 1,000."
        reaches = "reaches" if self.share_of_best >= GOAL else "does not reach"
        said = (
            f"adaptive {reaches} {GOAL:.0%} of the best single source, {self.best_arm}: {self.adaptive:.2f} of "
            f"{self.best:.2f} new structures within {NEAR:g} eV/atom in 1,000 evaluations, {self.share_of_best:.0%}"
        )
        if self.equal is None:
            return f"{said}."
        more = "more" if self.adaptive > self.equal else "no more"
        return f"{said}; it finds {more} than equal shares, {self.equal:.2f}."

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return asdict(self) | {"share_of_best": self.share_of_best, "goal": GOAL, "sentence": self.sentence}


def check_adaptive(summaries: Mapping[str, ArmSummary]) -> Verdict | None:
    """Compare the adaptive campaign with equal shares and with the best single source.

    Returns
    -------
    None where there is no adaptive arm, or no single source beside it
    """
    rates = {arm: summary.near.per_1000 or 0.0 for arm, summary in summaries.items()}
    single = {arm: rate for arm, rate in rates.items() if arm not in (ADAPTIVE, EQUAL)}
    if ADAPTIVE not in rates or not single:
        return None
    best = max(single, key=lambda arm: single[arm])
    return Verdict(rates[ADAPTIVE], rates.get(EQUAL), best, single[best])


@dataclass(frozen=True)
class ArmComparison:
    """Arms that were run with the same seeds and budget.

    Attributes
    ----------
    runs : of each arm, one a seed
    pooled : summary of each arm, all seeds together
    differences : of any two arms, all seeds together
    verdict : on the adaptive arm; None where there is none
    """

    runs: Mapping[str, Sequence[ArmRun]]
    pooled: Mapping[str, ArmSummary]
    differences: Sequence[ArmDifference]
    verdict: Verdict | None

    @classmethod
    def of(cls, runs: Sequence[ArmRun], seed: int = 0) -> ArmComparison:
        """Compare runs.

        Parameters
        ----------
        runs : of all arms and seeds
        seed : of the bootstrap
        """
        arms = {arm: [run for run in runs if run.arm == arm] for arm in dict.fromkeys(run.arm for run in runs)}
        pooled = {arm: summarise_arm(part) for arm, part in arms.items()}
        return cls(arms, pooled, compare_arms(arms, seed), check_adaptive(pooled))

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return {
            "limits": list(LIMITS),
            "arms": {
                arm: {
                    "pooled": self.pooled[arm].to_dict(),
                    "seeds": {str(run.seed): summarise_arm([run]).to_dict() for run in runs},
                }
                for arm, runs in self.runs.items()
            },
            "runs": [run.to_dict() for runs in self.runs.values() for run in runs],
            "differences": [difference.to_dict() for difference in self.differences],
            "verdict": self.verdict.to_dict() if self.verdict else None,
        }
