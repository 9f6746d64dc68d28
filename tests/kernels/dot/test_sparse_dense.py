"""Sparse features as dense codes: what quantizing the dense matrix would give."""

from __future__ import annotations

import numpy as np
import pytest
from vector_cases import RANGE, Rows

from dqnumba.graph import SparseFeatures
from dqnumba.kernels.dot.launch import run
from dqnumba.kernels.dot.sparse_dense import sparse_dense_op

ROWS = 23


def matrix(rng, columns):
    """Rows without an entry, with one, with all of them; ties, and numbers that leave float32 on the way."""
    dense = rng.integers(-300, 300, (ROWS, columns)).astype(np.float32) / 2
    dense[rng.random(dense.shape) > rng.random((ROWS, 1))] = 0
    dense[[0, 5, ROWS - 1]], dense[7] = 0, 1e38
    return dense


def written(x, kind, numbers, factor, threads):
    out, status, numbers = Rows(kind, *x.shape), np.zeros(1, np.int64), np.array(numbers, np.float32)
    op = sparse_dense_op(
        out=out.place, out_kind=kind, starts=x.indptr.ctypes.data, columns=x.indices.ctypes.data,
        values=x.data.ctypes.data, numbers=numbers, factors=0 if factor is None else factor.ctypes.data,
        scratch=64, status=status.ctypes.data,
    )  # fmt: skip
    run([op], np.array([0, 1, 9, ROWS]), 128, threads=threads)
    assert out.intact()
    return out.read(), int(status[0])


@pytest.mark.parametrize("kind", ["int4", "int8", "int16"])
@pytest.mark.parametrize("factored", [False, True])
@pytest.mark.parametrize("columns", [1, 2, 7, 15, 16, 17, 31, 33, 64, 65, 130])
def test_codes_of_the_dense_matrix(kind, factored, columns):
    rng, (low, high) = np.random.default_rng(columns), RANGE[kind]
    dense = matrix(rng, columns)
    factor = rng.random(ROWS, dtype=np.float32) if factored else None
    x = SparseFeatures.from_dense(dense)
    for zero, offset in ((low, 0), (3, 0), (high, 0), (0, -low), (high - low, -low)):
        inverse = np.float32(0.37)
        values = dense if factor is None else dense * factor[:, None]
        bottom, top = low + offset, high + offset
        with np.errstate(over="ignore"):
            q = np.clip(np.rint(values * inverse + np.float32(zero)), np.float32(bottom), np.float32(top))
        for threads in (1, 2):
            got, status = written(x, kind, (inverse, zero, bottom, top, offset), factor, threads)
            assert status == 0 and np.array_equal(got, q.astype(np.int64) - offset)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 15, 16, -1])
def test_values_that_are_no_numbers_are_reported(bad, where):
    x = SparseFeatures.from_dense(np.ones((ROWS, 20), np.float32))
    data = x.data.copy()
    data[where] = bad
    broken = type("Broken", (), {"indptr": x.indptr, "indices": x.indices, "data": data, "shape": x.shape})
    assert written(broken, "int8", (1, 0, -128, 127, 0), None, 1)[1] == 1
