from __future__ import annotations

import numpy as np
import pytest
from aggregate_cases import codes, csr, same

from dqnumba.kernels.dot import api_aggregate


@pytest.mark.parametrize("columns", [1, 5, 16, 65])
def test_sums_of_sparse_rows(columns):
    rng = np.random.default_rng(columns)
    for degrees, sources in (([0, 3, 1, 0, 9, 300, 0], 20), ([], 3), ([0, 0], 1), ([5], 2)):
        indptr, indices = csr(degrees, rng, sources)
        s_indptr, s_indices = csr(rng.integers(0, 4, sources), rng, columns)
        shape = (len(degrees), columns)
        for zero in (-128, 0, 127):
            for dtype, total in ((np.int8, np.int32), (np.int8, np.int64), (np.int16, np.int32)):
                values = codes(rng, len(s_indices), dtype)
                same("sparse_neighbor_sum", shape, total, indptr, indices, s_indptr, s_indices, values, zero)


def test_columns_outside_are_refused():
    one = np.array([0, 1])
    with pytest.raises(ValueError, match="do not point at 3 rows"):
        api_aggregate.sparse_neighbor_sum(
            one, np.zeros(1, np.int32), one, np.array([3], np.int32), np.ones(1, np.int8), 0, np.zeros((1, 3), np.int32)
        )
