from __future__ import annotations

import numpy as np
import pytest
from aggregate_cases import codes, csr, same

from dqnumba.kernels.dot.launch import run
from dqnumba.kernels.dot.sparse import sparse_quantize_op


@pytest.mark.parametrize("columns", [1, 7, 15, 16, 17, 31, 32, 33, 41, 48, 63, 64, 65, 80, 128, 129, 200])
def test_products(columns):
    rng = np.random.default_rng(columns)
    indptr, indices = csr([0, 1, 2, 30, 0, 0, 5, 17, 300, 0], rng, 90)
    values, w = codes(rng, len(indices)), codes(rng, (90, columns))
    bias = rng.integers(-(2**20), 2**20, columns)
    for zero in (-128, 0, 127):
        for w_zero in (0, -128, 5):
            same("sparse_matmul", (10, columns), np.int32, indptr, indices, values, zero, w, w_zero, bias)


def test_shapes_without_entries_and_other_types():
    rng = np.random.default_rng(0)
    nothing, w, bias = np.zeros(0, np.int32), codes(rng, (4, 3)), np.array([1, -2, 3], np.int32)
    none = np.zeros(0, np.int8)
    same("sparse_matmul", (3, 3), np.int32, np.zeros(4, np.int64), nothing, none, 0, w, 0, bias)
    same("sparse_matmul", (0, 3), np.int32, np.zeros(1, np.int64), nothing, none, 0, w, 0, bias)
    indptr, indices = csr([2, 0, 5], rng, 4)
    same("sparse_matmul", (3, 3), np.int64, indptr, indices, codes(rng, 7), 3, w, 1, bias)
    same("sparse_matmul", (3, 3), np.int32, indptr, indices, codes(rng, 7, np.int16), 3, w, 1, bias)
    same("sparse_matmul", (3, 3), np.int32, indptr, indices, codes(rng, 14)[::2], 3, w.T.copy().T, 1, bias)


def quantized(starts, values, bounds, inverse, zero, low, high, factors=None):
    out = np.full(len(values) + 2, 77, np.int16)
    status = np.zeros(1, np.int64)
    op = sparse_quantize_op(
        starts=starts.ctypes.data, values=values.ctypes.data, out=out.ctypes.data + 2, inverse_scale=inverse,
        zero_point=zero, low=low, high=high, status=status.ctypes.data,
        factors=0 if factors is None else factors.ctypes.data,
    )  # fmt: skip
    run([op], bounds, threads=2)
    assert out[0] == 77 and out[-1] == 77
    return out[1:-1], status[0]


@pytest.mark.parametrize("factored", [False, True])
def test_codes_of_stored_values(factored):
    rng = np.random.default_rng(0)
    degrees = rng.integers(0, 40, 50)
    starts = np.append(0, np.cumsum(degrees))
    inverse = np.float32(1 / 0.037)
    # Halves in units of the scale meet the rounding rule, 1e38 leaves float32 on the way.
    values = rng.integers(-600, 600, starts[-1]).astype(np.float32) / (2 * inverse)
    values[::97], values[5::101] = 1e38, -1e38
    factors = rng.random(50).astype(np.float32) if factored else None
    scaled = values * np.repeat(factors, degrees) if factored else values
    for zero, low, high in ((-128, -128, 127), (0, 0, 255), (255, 0, 255), (3, -8, 7)):
        with np.errstate(over="ignore"):
            q = np.clip(np.rint(scaled * inverse + np.float32(zero)), np.float32(low), np.float32(high))
        for bounds in (np.array([0, 50]), np.array([0, 1, 7, 8, 30, 50])):
            got, status = quantized(starts, values, bounds, inverse, zero, low, high, factors)
            assert np.array_equal(got, q.astype(np.int16) - zero) and status == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 15, 16, 17])
def test_values_that_are_no_numbers_are_reported(bad, where):
    values = np.ones(18, np.float32)
    values[where] = bad
    _, status = quantized(np.array([0, 18]), values, np.array([0, 1]), np.float32(2), 0, -8, 7)
    assert status == 1


def test_codes_of_17_bits_lie_in_two_parts():
    values = np.linspace(-70_000, 70_000, 999, dtype=np.float32)
    high, low, status = np.full(1001, 77, np.int16), np.full(1001, 77, np.int16), np.zeros(1, np.int64)
    starts = np.array([0, 400, 999])
    for zero in (-32768, -5, 32767):
        op = sparse_quantize_op(
            starts=starts.ctypes.data, values=values.ctypes.data, out=high.ctypes.data + 2,
            inverse_scale=1.0, zero_point=zero, low=-32768, high=32767, status=status.ctypes.data,
            low_bytes=low.ctypes.data + 2,
        )  # fmt: skip
        run([op], np.array([0, 1, 2]), threads=2)
        want = np.clip(np.rint(values + np.float32(zero)), -32768, 32767).astype(np.int64) - zero
        assert np.array_equal(256 * high[1:-1].astype(np.int64) + low[1:-1], want) and np.abs(want).max() > 32767
        assert low[1:-1].min() >= 0 and low[1:-1].max() <= 255
        assert {high[0], high[-1], low[0], low[-1]} == {77}
