from __future__ import annotations

import numpy as np
import pytest
from aggregate_cases import power_law
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.kernels.dot.blocks import row_blocks


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 9), st.integers(1, 60), st.integers(0, 5))
def test_blocks_cover_all_rows_within_their_limits(degrees, rows, edges, first):
    indptr = np.append(0, np.cumsum(degrees)).astype(np.int64) + first
    bounds = row_blocks(indptr, rows, edges)
    assert bounds.dtype == np.int64 and bounds[0] == 0 and bounds[-1] == len(degrees)
    sizes = np.diff(bounds)
    assert (sizes >= 1).all() and (sizes <= rows).all()
    work = np.diff(indptr[bounds])
    assert ((work <= edges) | (sizes == 1)).all()


def test_even_graphs_are_cut_by_rows_and_uneven_ones_by_edges():
    assert row_blocks(np.arange(0, 1001, 5)).tolist() == [0, 64, 128, 192, 200]
    assert row_blocks(np.zeros(1, np.int64)).tolist() == [0]
    rng = np.random.default_rng(0)
    indptr, _ = power_law(rng, 20_000, 500_000)
    bounds = row_blocks(indptr)
    heavy = np.diff(indptr[bounds]) > 4 * 64 * 500_000 // 20_000
    assert (np.diff(bounds)[heavy] == 1).all() and len(bounds) < 2 * 20_000 / 64


@pytest.mark.parametrize("limits", [{"rows": 0}, {"edges": 0}])
def test_limits_that_nothing_meets_are_refused(limits):
    with pytest.raises(ValueError, match="at least one row and one edge"):
        row_blocks(np.array([0, 1]), **limits)
