"""The assignment is that of SciPy, which a bare GPU node does not have."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from imatgen_flows.metrics.assignment import linear_assignment

shapes = st.tuples(st.integers(0, 9), st.integers(0, 9))
# few different costs make ties; many make every pairing its own sum
costs = st.sampled_from([st.integers(0, 4).map(float), st.floats(0, 100)])


@given(st.tuples(shapes, costs).flatmap(lambda pair: arrays(float, pair[0], elements=pair[1])))
def test_no_pairing_is_cheaper(cost):
    rows, columns = linear_assignment(cost)
    assert rows.tolist() == sorted(set(rows)) and len(set(columns)) == len(columns) == min(cost.shape)
    np.testing.assert_allclose(cost[rows, columns].sum(), cost[linear_sum_assignment(cost)].sum(), rtol=1e-9, atol=1e-9)


def test_atoms_that_compete_for_the_same_place_share_them_out():
    cost = np.random.default_rng(0).random((20, 20)) + 10 * np.arange(20)  # all rows prefer the first columns
    rows, columns = linear_assignment(cost)
    assert columns.tolist() == linear_sum_assignment(cost)[1].tolist()
