from __future__ import annotations

import numpy as np
import pytest
from aggregate_cases import codes, csr, same
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.kernels.dot.hubs import hub_limit, split_hubs


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(1, 12), st.integers(0, 9))
def test_pieces_are_the_edges_of_the_hubs(degrees, limit, first):
    indptr = np.append(0, np.cumsum(degrees)).astype(np.int64) + first
    hubs = split_hubs(indptr, limit)
    expected = [i for i, degree in enumerate(degrees) if degree > limit]
    if hubs is None:
        assert not expected
        return
    assert hubs.rows.tolist() == expected
    length = hubs.stops - hubs.starts
    assert (length >= 1).all() and (length <= limit).all()
    for h, row in enumerate(expected):
        mine = range(hubs.first[h], hubs.first[h + 1])
        edges = [e for p in mine for e in range(hubs.starts[p], hubs.stops[p])]
        assert edges == list(range(indptr[row], indptr[row + 1]))
    kept = np.setdiff1d(np.arange(len(degrees)), expected)
    assert np.array_equal(hubs.row_stops[kept], indptr[1:][kept])
    assert np.array_equal(hubs.row_stops[expected], indptr[:-1][expected])


def test_limit():
    assert hub_limit(1000, 2) == 8192 and hub_limit(16_000_000, 2) == 1_000_000


@pytest.mark.parametrize("columns", [1, 40, 300])
def test_a_star(columns):
    """One row holds all edges; on two threads it is summed in pieces."""
    rng = np.random.default_rng(0)
    for degrees in ([50_000], [0, 3, 60_000, 0], [9000, 1, 20_000]):
        indptr, indices = csr(degrees, rng, 100)
        x = codes(rng, (100, columns))
        same("neighbor_sum", (len(degrees), columns), np.int32, indptr, indices, x, -128)
