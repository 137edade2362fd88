"""Allocation of a budget of relaxations to sources: by fixed shares, or by what each has found so far.

The adaptive allocation is Thompson sampling (Thompson, Biometrika 25, 285 (1933); Russo et al., Foundations and Trends in
Machine Learning 11, 1 (2018)) on finds per evaluation, the ratio of reward and cost of a budgeted bandit (Xia et al., IJCAI
2015). Finds are Poisson with a rate for each source, whose conjugate prior is a Gamma distribution. The relaxations of a
batch are drawn independently of each other, as for workers in parallel (Kandasamy et al., AISTATS 2018).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# the prior of a rate: one find in 500 evaluations, of the order of the finds within 0.1 eV/atom of the campaigns of the
# notebook (2 to 12 in 1,000); it counts as much as five relaxations
PRIOR_FINDS = 1.0
PRIOR_EVALUATIONS = 500.0


@dataclass(frozen=True)
class Yield:
    """What a source was given and what it found.

    Attributes
    ----------
    relaxations : of its candidates
    evaluations : energy-and-force evaluations that these took
    finds : new structures within the threshold of the hull
    """

    relaxations: int = 0
    evaluations: int = 0
    finds: int = 0


def allocate_fixed(shares: Mapping[str, float], given: Mapping[str, int], number: int) -> dict[str, int]:
    """Divide relaxations so that all that were given, these included, follow the shares as nearly as can be.

    Parameters
    ----------
    shares : of each source; they need not add up to one
    given : relaxations that each source has had
    number : of relaxations that are divided

    Examples
    --------
    >>> allocate_fixed({"generator": 0.5, "genetic": 0.3, "random_search": 0.2}, {}, 8)
    {'generator': 4, 'genetic': 2, 'random_search': 2}
    """
    total = sum(shares.values())
    had = {source: given.get(source, 0) for source in shares}
    now = dict.fromkeys(shares, 0)
    for _ in range(number):
        sum_after = sum(had.values()) + sum(now.values()) + 1
        # the one that is furthest behind its share; the first of equal ones
        behind = max(shares, key=lambda s: shares[s] / total * sum_after - had[s] - now[s])
        now[behind] += 1
    return now


def allocate_adaptive(yields: Mapping[str, Yield], number: int, seed: int) -> dict[str, int]:
    """Give each relaxation to the source of the highest rate of finds, where rates are drawn from their posteriors.

    Parameters
    ----------
    yields : what each source has found so far
    number : of relaxations that are given
    seed : of the draws

    Examples
    --------
    >>> yields = {"good": Yield(50, 4000, 40), "poor": Yield(50, 4000, 2)}
    >>> allocate_adaptive(yields, 20, seed=0)
    {'good': 20, 'poor': 0}
    """
    random = np.random.default_rng(seed)
    names = list(yields)
    finds = np.array([PRIOR_FINDS + yields[name].finds for name in names])
    spent = np.array([PRIOR_EVALUATIONS + yields[name].evaluations for name in names])
    rates = random.gamma(finds, 1 / spent, size=(number, len(names)))
    chosen = Counter(rates.argmax(axis=1).tolist())
    return {name: chosen[place] for place, name in enumerate(names)}
