"""The latent space as a map, and how far stable and unstable structures part in it (paper, Figures 5, 6 and S3)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FOLDS = 5
RESAMPLES = 1000
CHUNK = 512  # rows whose distances to all others are held at once

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PrincipalComponents:
    """The two directions of largest variance.

    Attributes
    ----------
    mean : (latent,)
    axes : (2, latent), orthonormal
    explained : shares of the variance along the axes
    """

    mean: Array
    axes: Array
    explained: list[float]

    def transform(self, latent: ArrayLike) -> Array:
        """Map vectors (n, latent) to (n, 2)."""
        return (np.asarray(latent, dtype=float) - self.mean) @ self.axes.T


def principal_components(latent: ArrayLike) -> PrincipalComponents:
    """Find the first two principal components of vectors (n, latent)."""
    data = np.asarray(latent, dtype=float)
    mean = data.mean(axis=0)
    _, values, axes = np.linalg.svd(data - mean, full_matrices=False)
    variance = values**2
    total = variance.sum() or 1.0
    return PrincipalComponents(mean, axes[:2], [float(share) for share in variance[:2] / total])


def measure_separation(
    points: ArrayLike, stable: Sequence[bool | None], groups: Sequence[str], seen: Collection[int], seed: int
) -> tuple[dict[str, Any], Array]:
    """Measure how well stable and unstable structures part.

    Parameters
    ----------
    points : (n, d), latent vectors or their principal components
    stable : label of each; None where it is unknown, and the structure does not count
    groups : of each structure, such as its template: its members are alike, and are left out together
    seen : rows that the networks saw in training
    seed : of the folds

    Returns
    -------
    numbers : ``auc`` and ``balanced_accuracy`` of logistic regressions that have seen nothing of a structure's group (0.5
        by chance), ``silhouette`` of the two classes (0 where they mix), and ``unseen``: the first two for structures that
        the networks did not see either, with their number of ``structures``; None where these are not of both classes
    scores : of the labelled structures among `seen`, ascending by row

    Raises
    ------
    ValueError
        Where fewer than two groups are stable, or unstable.
    """
    points = np.asarray(points, dtype=float)
    known = [row for row, label in enumerate(stable) if label is not None]
    inside, beyond = [row for row in known if row in seen], [row for row in known if row not in seen]
    label = np.array([bool(each) for each in stable])
    scores = cross_validate(points[inside], label[inside], [groups[row] for row in inside], seed)
    numbers: dict[str, Any] = _tell(scores, label[inside]) | {"silhouette": silhouette(points[inside], label[inside])}
    numbers["unseen"] = None
    if len(set(label[beyond].tolist())) == 2:
        found = _tell(classify(points[inside], label[inside], points[beyond]), label[beyond])
        numbers["unseen"] = found | {"structures": len(beyond)}
    return numbers, scores


def _tell(scores: Array, positive: NDArray[np.bool_]) -> dict[str, float]:
    return {"auc": area_under_curve(scores, positive), "balanced_accuracy": balanced_accuracy(scores, positive)}


def cross_validate(points: Array, positive: NDArray[np.bool_], groups: Sequence[str], seed: int) -> Array:
    """Return the logits (n,) of logistic regressions, for each point of one that has seen nothing of its group.

    Groups are dealt out to the folds in the order of their share of positives, so that each fold gets its part of them.
    """
    members: dict[str, list[bool]] = defaultdict(list)
    for group, label in zip(groups, positive.tolist(), strict=True):
        members[group].append(label)
    names = np.random.default_rng(seed).permutation(sorted(members)).tolist()
    ordered = sorted(names, key=lambda name: np.mean(members[name]))
    fold_of = {group: place % FOLDS for place, group in enumerate(ordered)}
    folds = np.array([fold_of[group] for group in groups])
    scores = np.zeros(len(points))
    for fold in sorted(set(folds.tolist())):
        out = folds == fold
        scores[out] = classify(points[~out], positive[~out], points[out])
    return scores


def classify(points: ArrayLike, positive: ArrayLike, others: ArrayLike) -> Array:
    """Fit a logistic regression to labelled points (n, d), and return its logits for others (m, d).

    Both classes weigh the same; the penalty is half the squared weights over n. All coordinates are scaled by one number,
    so that directions in which the points hardly differ count little.

    Raises
    ------
    ValueError
        Where the points are of one class.
    """
    from scipy.optimize import minimize

    points, others = np.asarray(points, dtype=float), np.asarray(others, dtype=float)
    positive = np.asarray(positive, dtype=bool)
    share = positive.mean() if len(positive) else 0.0
    if not 0 < share < 1:
        raise ValueError("a classifier needs points of both classes")
    mean = points.mean(axis=0)
    scale = np.sqrt(((points - mean) ** 2).sum(axis=1).mean() / points.shape[1]) or 1.0
    x = (points - mean) / scale
    sign = np.where(positive, 1.0, -1.0)
    weight = np.where(positive, 0.5 / share, 0.5 / (1 - share)) / len(x)

    def loss(parameters: Array) -> tuple[float, Array]:
        slope, offset = parameters[:-1], parameters[-1]
        margin = sign * (x @ slope + offset)
        pull = -weight * sign / (1 + np.exp(np.clip(margin, -500, 500)))
        value = weight @ np.logaddexp(0, -margin) + slope @ slope / (2 * len(x))
        return float(value), np.append(pull @ x + slope / len(x), pull.sum())

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return (others - mean) / scale @ found[:-1] + found[-1]


def area_under_curve(scores: ArrayLike, positive: ArrayLike) -> float:
    """Return the chance that a positive has a higher score than a negative; a tie counts half."""
    from scipy.stats import rankdata

    positive = np.asarray(positive, dtype=bool)
    one, other = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores)[positive].sum()
    return float((ranks - one * (one + 1) / 2) / (one * other))


def balanced_accuracy(scores: ArrayLike, positive: ArrayLike) -> float:
    """Return the mean of the shares of positives above zero and of negatives below it."""
    right = (np.asarray(scores) > 0) == np.asarray(positive, dtype=bool)
    return float((right[np.asarray(positive)].mean() + right[~np.asarray(positive)].mean()) / 2)


def silhouette(points: ArrayLike, positive: ArrayLike) -> float:
    """Return the mean silhouette of two classes (Rousseeuw, J. Comput. Appl. Math. 20, 53, 1987).

    It is (b - a) / max(a, b), with the mean Euclidean distances of a point to the others of its class, a, and to the other
    class, b; 0 for a point that is alone in its class.
    """
    points, positive = np.asarray(points, dtype=float), np.asarray(positive, dtype=bool)
    member = np.stack([~positive, positive], axis=1).astype(float)
    size = member.sum(axis=0)
    values = []
    for start in range(0, len(points), CHUNK):
        here = slice(start, start + CHUNK)
        sums = distances(points[here], points) @ member
        own, other = member[here].astype(bool), ~member[here].astype(bool)
        others = np.broadcast_to(size, sums.shape)
        a = sums[own] / np.maximum(others[own] - 1, 1)
        b = sums[other] / others[other]
        values.append(np.where(others[own] > 1, (b - a) / np.maximum(np.maximum(a, b), 1e-300), 0.0))
    return float(np.concatenate(values).mean())


def distances(points: Array, others: Array) -> Array:
    """Return the Euclidean distances (n, m) between points (n, d) and others (m, d)."""
    from scipy.spatial.distance import cdist

    return cdist(points, others)


def auc_lead(one: ArrayLike, other: ArrayLike, positive: ArrayLike, groups: Sequence[str], seed: int) -> list[float]:
    """Return the 95 % bootstrap interval of how much larger one area under the curve is than another, over whole groups.

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
            leads.append(area_under_curve(one[rows], positive[rows]) - area_under_curve(other[rows], positive[rows]))
    return [float(bound) for bound in np.quantile(leads, (0.025, 0.975))]
