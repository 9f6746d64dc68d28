from __future__ import annotations

import numpy as np
import pytest
from aggregate_cases import WIDTHS, codes, csr, guarded, power_law, same

from dqnumba.kernels import reference
from dqnumba.kernels.dot.gather_max import neighbor_max_ops, pool_max_ops
from dqnumba.kernels.dot.gather_vectors import pad_indices
from dqnumba.kernels.dot.launch import aligned, run
from dqnumba.quant.packing import pack4, unpack4


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("columns", WIDTHS[::2])
def test_every_width(columns, dtype):
    rng = np.random.default_rng(columns)
    indptr, indices = csr([0, 1, 2, 3, 4, 5, 8, 9, 0, 0, 17, 40, 0], rng, 30)
    low = np.iinfo(dtype).min
    x = codes(rng, (30, columns), dtype)
    for table, empty in ((x, low), (x, 5), (np.full_like(x, low), -1), (np.minimum(x, -1), 0)):
        same("neighbor_max", (13, columns), dtype, indptr, indices, table, empty)
        same("segment_max", (5, columns), dtype, np.array([2, 2, 3, 7, 20, 29]), table, empty)


@pytest.mark.parametrize("columns", [4, 64])
def test_hubs_and_empty_graphs(columns):
    rng = np.random.default_rng(0)
    indptr, indices = power_law(rng, 2000, 150_000)
    assert np.diff(indptr).max() > 8192, "no hub: the test has lost its point"
    same("neighbor_max", (2000, columns), np.int8, indptr, indices, codes(rng, (2000, columns)), -128)
    x = np.minimum(codes(rng, (60_000, columns)), 100)
    same("segment_max", (3, columns), np.int8, np.array([0, 50_000, 50_000, 60_000]), x, 127)
    nothing = np.zeros(0, np.int32)
    same("neighbor_max", (0, columns), np.int8, np.zeros(1, np.int64), nothing, x[:3], 1)
    same("neighbor_max", (3, columns), np.int8, np.zeros(4, np.int64), nothing, x[:0], 1)
    same("neighbor_max", (2, columns), np.int8, np.array([0, 1, 2]), np.array([1, 0]), x[:2], 1)


@pytest.mark.parametrize("columns", [1, 2, 15, 16, 31, 32, 33, 64, 100, 128, 129, 256, 384, 512, 600])
def test_packed_codes(columns):
    rng = np.random.default_rng(columns)
    indptr, indices = csr([0, 1, 2, 3, 4, 5, 8, 9, 0, 0, 17, 40, 0], rng, 30)
    listed, ptr = pad_indices(indices), np.array([0, 0, 1, 4, 9, 30])
    size = -(-columns // 2)
    padded = next((n for n in (16, 32) if n >= size), -(-size // 64) * 64)
    x = rng.integers(-8, 8, (30, columns)).astype(np.int8)
    packed = aligned(46, padded)
    packed[:30, :size] = pack4(x)
    for empty in (-8, -1, 0, 7):
        for starts in (indptr, ptr):
            rows = len(starts) - 1
            out, intact = guarded((rows, padded), np.int8)
            common = dict(
                out=(out.ctypes.data, padded, False), starts=starts.ctypes.data, stops=starts.ctypes.data + 8,
                x=packed.ctypes.data, x_stride=padded, channels=columns, empty=empty, bits=4,
            )  # fmt: skip
            expected = np.empty((rows, columns), np.int8)
            if starts is indptr:
                ops = neighbor_max_ops(indices=listed.ctypes.data, **common)
                reference.neighbor_max(indptr, indices, x, empty, expected)
            else:
                ops = pool_max_ops(**common)
                reference.segment_max(ptr, x, empty, expected)
            run(ops, np.array([0, 2, rows]), threads=2)
            assert intact() and np.array_equal(unpack4(out[:, :size].view(np.uint8), columns), expected)


def test_distance_beyond_the_padding_is_refused():
    with pytest.raises(ValueError, match="distance"):
        neighbor_max_ops(out=(0, 64, False), starts=0, stops=0, indices=0, x=0, x_stride=64, channels=3, empty=0,
                         distance=61)  # fmt: skip
