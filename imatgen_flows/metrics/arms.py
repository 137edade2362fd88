"""Arms of a comparison: what campaigns of different sources find with equal budgets, against what they spend.

An arm is a campaign with one source of candidates, or with several that share its relaxations. It is run with several seeds.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.classes import Novelty

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIMITS = (0.0, 0.05, 0.1)  # eV/atom above the hull: none; 0.1, usual for metastable phases; 0.05 between
NEAR = LIMITS[-1]
GRID = 200  # points of a mean curve


@dataclass(frozen=True)
class ArmRelaxation:
    """One relaxation of an arm.

    Attributes
    ----------
    source : that proposed its candidate
    formula : reduced
    evaluations : energy-and-force evaluations that it took
    e_above_hull : eV/atom; None where it failed or was stopped
    novelty : class of the relaxed structure, a value of `Novelty`; empty where there is none
    displacement : between the structure as proposed and as relaxed, root mean square in
        units of (volume per atom)^(1/3); None where they do not match
    was_known : stopped when it had become something that was relaxed before
    """

    source: str
    formula: str
    evaluations: int
    e_above_hull: float | None = None
    novelty: str = ""
    displacement: float | None = None
    was_known: bool = False

    @property
    def is_relaxed(self) -> bool:
        """Whether it came to its end."""
        return self.e_above_hull is not None

    def is_near(self, limit: float) -> bool:
        """Whether it ends up to this far above the hull, eV/atom."""
        return self.e_above_hull is not None and self.e_above_hull <= limit

    def is_new(self, limit: float) -> bool:
        """Whether it ends so near the hull and is new, which no duplicate within its arm is."""
        return self.is_near(limit) and self.novelty == Novelty.NEW.value


@dataclass(frozen=True)
class ArmRun:
    """One campaign of an arm.

    Attributes
    ----------
    arm, seed : which it is
    budget : relaxations that it may make
    relaxations : in the order in which they were made: by round, by batch, then by their place in the table
    made, valid : candidates that its sources made, and those that were valid crystals within the search space
    given : relaxations of each source
    preparation : evaluations for labels and references; the training of networks takes none
    wall, cpu : time of its jobs by what they are for, s, each job counted as when it first ran, whichever arm ran it
    """

    arm: str
    seed: int
    budget: int
    relaxations: Sequence[ArmRelaxation]
    made: int
    valid: int
    given: Mapping[str, int]
    preparation: int
    wall: Mapping[str, float] = field(default_factory=dict)
    cpu: Mapping[str, float] = field(default_factory=dict)

    @property
    def evaluations(self) -> int:
        """Evaluations of all its relaxations, those that failed or were stopped included."""
        return sum(one.evaluations for one in self.relaxations)

    @property
    def unfilled(self) -> int:
        """Relaxations of the budget for which its sources had no candidate."""
        return self.budget - len(self.relaxations)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON: what was given, the curves, and the steps of the best energies."""
        return {
            "arm": self.arm,
            "seed": self.seed,
            "budget": self.budget,
            "given": dict(self.given),
            "unfilled": self.unfilled,
            "preparation": self.preparation,
            "curves": find_curves(self),
            "best": best_energies(self.relaxations),
        }


def find_curves(run: ArmRun) -> dict[str, Any]:
    """Count the new structures that were found up to each relaxation, by what had been spent until then.

    Returns
    -------
    `evaluations` and, with labels and references, `with_preparation`, before the first relaxation and after each; `new`,
    by the limit in eV/atom, as many numbers
    """
    spent = list(itertools.accumulate((one.evaluations for one in run.relaxations), initial=0))
    return {
        "evaluations": spent,
        "with_preparation": [run.preparation + number for number in spent],
        "new": {
            f"{limit:g}": list(itertools.accumulate((one.is_new(limit) for one in run.relaxations), initial=0))
            for limit in LIMITS
        },
    }


def best_energies(relaxations: Iterable[ArmRelaxation]) -> dict[str, list[tuple[int, float]]]:
    """List for each composition the steps by which its lowest E_hull fell, new or not: evaluations until then, eV/atom."""
    steps: dict[str, list[tuple[int, float]]] = {}
    spent = 0
    for one in relaxations:
        spent += one.evaluations
        if one.e_above_hull is None:
            continue
        before = steps.setdefault(one.formula, [])
        if not before or one.e_above_hull < before[-1][1]:
            before.append((spent, one.e_above_hull))
    return dict(sorted(steps.items()))


def mean_curve(
    curves: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Average step curves of several seeds, from where all have begun to where the shortest of them ends.

    Parameters
    ----------
    curves : evaluations, rising, and the value from there on

    Returns
    -------
    evaluations, mean, lowest and highest value of the seeds
    """
    import numpy as np

    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    grid = np.linspace(first, max(first, last), GRID)
    values = np.array([np.asarray(y, float)[np.searchsorted(x, grid, side="right") - 1] for x, y in curves])
    return grid, values.mean(axis=0), values.min(axis=0), values.max(axis=0)


def common_compositions(runs: Sequence[ArmRun]) -> list[str]:
    """List the compositions that runs relaxed, those of most runs first, then those of most relaxations."""
    seen = [Counter(one.formula for one in run.relaxations if one.is_relaxed) for run in runs]
    total = sum(seen, Counter[str]())
    return sorted(total, key=lambda formula: (-sum(formula in part for part in seen), -total[formula], formula))
