from __future__ import annotations

import numpy as np
import pytest
from aggregate_cases import csr, guarded
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.kernels import reference
from dqnumba.kernels.dot.gather_packed import packed_sum_ops
from dqnumba.kernels.dot.gather_vectors import pad_indices
from dqnumba.kernels.dot.launch import aligned, run
from dqnumba.quant.packing import pack4
from dqnumba.testing import strategies as dst


def check(indptr, indices, x, zero, own=False, distance=32, threads=(1, 2)):
    rows, columns = len(indptr) - 1, x.shape[1]
    size, width = -(-columns // 2), -(-columns // 16) * 16
    padded = next((n for n in (16, 32) if n >= size), -(-size // 64) * 64)
    packed = aligned(len(x) + 16, padded)
    packed[:] = 0x5A  # what stands in the padding must not matter
    packed[: len(x), :size] = pack4(x)
    listed = pad_indices(indices)
    expected = np.empty((rows, columns), np.int32)
    if own:
        with_loops = np.insert(indices, indptr[1:], np.arange(rows, dtype=np.int32))
        reference.neighbor_sum(indptr + np.arange(rows + 1), with_loops, x, zero, expected)
    else:
        reference.neighbor_sum(indptr, indices, x, zero, expected)
    for count in threads:
        out, intact = guarded((rows, width), np.int32)
        ops = packed_sum_ops(
            out=(out.ctypes.data, 4 * width, False), starts=indptr.ctypes.data, stops=indptr.ctypes.data + 8,
            indices=listed.ctypes.data, x=packed.ctypes.data, x_stride=padded, channels=columns, zero=zero,
            own=(packed.ctypes.data, padded, False) if own else None, distance=distance,
        )  # fmt: skip
        run(ops, np.unique([0, rows // 3, rows]), threads=count)
        assert intact() and np.array_equal(out[:, :columns], expected)


@pytest.mark.parametrize("columns", [*range(1, 71), 100, 128, 130, 192, 200, 256, 300, 512])
def test_every_width(columns):
    rng = np.random.default_rng(columns)
    indptr, indices = csr([0, 1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 0, 0, 40, 0], rng, 30)
    x = rng.integers(-8, 8, (30, columns)).astype(np.int8)
    for zero in (-8, 0, 7):
        check(indptr, indices, x, zero, own=zero == 0, distance=zero + 8)


@pytest.mark.parametrize("code", [-8, 7])
@pytest.mark.parametrize("columns", [30, 64, 128, 256])
def test_long_rows_of_extreme_codes(columns, code):
    rng = np.random.default_rng(0)
    indptr, indices = csr([15, 16, 17, 18, 31, 32, 33, 255, 256, 257, 0, 70_000], rng, 4)
    for zero in (-8, 7, 127):
        check(indptr, indices, np.full((4, columns), code, np.int8), zero)


@given(dst.csr(), st.integers(-128, 127), st.integers(1, 80), st.integers(0, 2**32))
def test_any_graph(graph, zero, columns, seed):
    indptr, indices, sources = graph
    x = np.random.default_rng(seed).integers(-8, 8, (sources, columns)).astype(np.int8)
    check(indptr, indices.astype(np.int32), x, zero, threads=(1,))


def test_distance_beyond_the_padding_is_refused():
    with pytest.raises(ValueError, match="distance"):
        packed_sum_ops(out=(0, 64, False), starts=0, stops=0, indices=0, x=0, x_stride=64, channels=3, zero=0,
                       distance=-1)  # fmt: skip
