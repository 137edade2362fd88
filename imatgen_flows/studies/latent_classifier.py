"""Separation of stable and unstable structures in the latent space (paper, Figure S3)."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FOLDS = 5  # the usual number
RESAMPLES = 1000  # draws of the bootstrap: percentiles of 95 % then vary by about 3 % of the interval's width
TOLERANCE = 1e-6  # largest gradient at which a logistic regression has converged; a hundredth of scikit-learn's own

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """How well scores tell two classes apart: area under the curve and balanced accuracy, 0.5 by chance."""

    auc: float
    balanced_accuracy: float

    @classmethod
    def of(cls, logits: Array, positive: NDArray[np.bool_]) -> Scores:
        """Compare logits with the true classes."""
        from sklearn.metrics import balanced_accuracy_score, roc_auc_score

        return cls(float(roc_auc_score(positive, logits)), float(balanced_accuracy_score(positive, logits > 0)))


@dataclass(frozen=True)
class Unseen(Scores):
    """Scores of structures that the networks never saw, and the number of them."""

    structures: int


@dataclass(frozen=True)
class Separation(Scores):
    """How well stable and unstable structures are separated in one space.

    Attributes
    ----------
    auc, balanced_accuracy : of logistic regressions that were fitted without the group of the structure
    silhouette : of the two classes; 0 where they mix
    unseen : scores of structures that the networks never saw; None where these are not of both classes
    logits : of the labelled structures that the networks saw, ascending by row
    """

    silhouette: float
    unseen: Unseen | None
    logits: Array

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON, without the logits."""
        found = asdict(self)
        del found["logits"]
        return found


def measure_separation(
    points: ArrayLike, stable: Sequence[bool | None], groups: Sequence[str], seen: Collection[int], seed: int
) -> Separation:
    """Measure how well stable and unstable structures are separated.

    Parameters
    ----------
    points : (n, d), latent vectors or their principal components
    stable : label of each; None where it is unknown, and the structure does not count
    groups : of each structure, such as its template: its members are alike, and are left out together
    seen : rows that the networks saw in training
    seed : of the folds

    Raises
    ------
    ValueError
        Where fewer than two groups are stable, or unstable.
    """
    from sklearn.metrics import silhouette_score

    points = np.asarray(points, dtype=float)
    known = [row for row, label in enumerate(stable) if label is not None]
    inside, beyond = [row for row in known if row in seen], [row for row in known if row not in seen]
    label = np.array([bool(each) for each in stable])
    logits = cross_validate(points[inside], label[inside], [groups[row] for row in inside], seed)
    scores = Scores.of(logits, label[inside])
    unseen = None
    if len(set(label[beyond].tolist())) == 2:
        found = Scores.of(classify(points[inside], label[inside], points[beyond]), label[beyond])
        unseen = Unseen(**asdict(found), structures=len(beyond))
    silhouette = float(silhouette_score(points[inside], label[inside]))
    return Separation(**asdict(scores), silhouette=silhouette, unseen=unseen, logits=logits)


def cross_validate(points: Array, positive: NDArray[np.bool_], groups: Sequence[str], seed: int) -> Array:
    """Return the logits (n,) of logistic regressions, each point's from one that was fitted without its group."""
    scores = np.zeros(len(points))
    for train, test in _folds(positive, groups, seed):
        scores[test] = classify(points[train], positive[train], points[test])
    return scores


def _folds(
    positive: NDArray[np.bool_], groups: Sequence[str], seed: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Split rows by whole groups into folds with nearly equal shares of positives."""
    from sklearn.model_selection import StratifiedGroupKFold

    if not 0 < positive.sum() < len(positive):
        raise ValueError("a classifier needs points of both classes")
    number = min(FOLDS, max(int(positive.sum()), int((~positive).sum())))
    folds = StratifiedGroupKFold(number, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a class with fewer members than folds: scores are pooled
        yield from ((train, test) for train, test in folds.split(positive, positive, groups) if len(test))


def classify(points: ArrayLike, positive: ArrayLike, others: ArrayLike) -> Array:
    """Fit a logistic regression to labelled points (n, d), and return its logits for others (m, d).

    Both classes have the same weight. All coordinates are scaled by one number, so that directions in which the points hardly
    differ count little.

    Raises
    ------
    ValueError
        Where the points are of one class.
    """
    from sklearn.linear_model import LogisticRegression

    points, others = np.asarray(points, dtype=float), np.asarray(others, dtype=float)
    positive = np.asarray(positive, dtype=bool)
    if not 0 < positive.sum() < len(positive):
        raise ValueError("a classifier needs points of both classes")
    mean = points.mean(axis=0)
    scale = np.sqrt(((points - mean) ** 2).sum(axis=1).mean() / points.shape[1]) or 1.0
    model = LogisticRegression(class_weight="balanced", tol=TOLERANCE, max_iter=1000)
    model.fit((points - mean) / scale, positive)
    return np.asarray(model.decision_function((others - mean) / scale))


def auc_lead(
    one: ArrayLike, other: ArrayLike, positive: ArrayLike, groups: Sequence[str], seed: int
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the difference of two areas under the curve, over whole groups.

    Parameters
    ----------
    one, other : (n,) scores of the same structures
    positive : (n,) bool
    groups : of each structure; they are drawn, and their members with them
    seed : of the draws
    """
    one, other, positive = np.asarray(one), np.asarray(other), np.asarray(positive, dtype=bool)
    _, code = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(code == number) for number in range(code.max() + 1)]
    random = np.random.default_rng(seed)
    leads = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[number] for number in random.integers(len(members), size=len(members))])
        if positive[rows].any() and not positive[rows].all():
            leads.append(_rank_auc(one[rows], positive[rows]) - _rank_auc(other[rows], positive[rows]))
    low, high = np.quantile(leads, (0.025, 0.975))
    return float(low), float(high)


def _rank_auc(scores: Array, positive: NDArray[np.bool_]) -> float:
    """Return the area under the curve from ranks (Mann-Whitney U), in a tenth of the time of scikit-learn."""
    from scipy.stats import rankdata

    one, other = int(positive.sum()), int((~positive).sum())
    return float((rankdata(scores)[positive].sum() - one * (one + 1) / 2) / (one * other))
