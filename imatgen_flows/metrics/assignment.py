"""Assignment of atoms to each other at the least cost, with numpy alone: a bare GPU node has no SciPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def linear_assignment(cost: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair rows with columns so that the sum of the costs is smallest; as `scipy.optimize.linear_sum_assignment`.

    Parameters
    ----------
    cost : (n, m), finite

    Returns
    -------
    rows in order and the column of each, min(n, m) pairs

    References
    ----------
    Shortest augmenting paths: Jonker, Volgenant, Computing 38, 325 (1987).
    """
    if cost.shape[0] > cost.shape[1]:
        columns, rows = linear_assignment(cost.T)
        order = rows.argsort()
        return rows[order], columns[order]
    rows = np.arange(len(cost))
    if not len(cost):
        return rows, rows
    nearest = cost.argmin(axis=1)
    if len(np.unique(nearest)) == len(cost):  # nothing can be cheaper: the usual case of atoms that came back
        return rows, nearest
    return rows, _augment(cost)


def _augment(cost: NDArray[np.float64]) -> NDArray[np.intp]:
    """Give each row a column in turn, by the shortest path of exchanges that ends at a free column."""
    n, m = cost.shape
    column_of, row_of = np.full(n, -1), np.full(m, -1)
    row_dual, column_dual = np.zeros(n), np.zeros(m)
    for row in range(n):
        distance, came_from = np.full(m, np.inf), np.full(m, row)
        reached = np.zeros(m, dtype=bool)
        here, length = row, 0.0
        while here >= 0:
            step = length + cost[here] - row_dual[here] - column_dual
            shorter = ~reached & (step < distance)
            distance[shorter], came_from[shorter] = step[shorter], here
            column = int(np.where(reached, np.inf, distance).argmin())
            reached[column], length = True, distance[column]
            here = row_of[column]
        # dual variables that keep every pair's reduced cost zero and all others' above it
        passed = reached & (row_of >= 0)
        row_dual[row_of[passed]] += length - distance[passed]
        column_dual[passed] -= length - distance[passed]
        row_dual[row] += length
        while True:
            here = came_from[column]
            row_of[column] = here
            column_of[here], column = column, column_of[here]
            if here == row:
                break
    return column_of
