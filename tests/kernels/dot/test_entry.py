from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_cases import RANGE, Rows

from dqnumba.kernels.dot.entry import lookup_op, quantize_op
from dqnumba.kernels.dot.launch import run

ROWS = 11


def expected(x, numbers, factor):
    """The program's steps in NumPy, one float32 operation after the other."""
    inverse, zero, low, high, offset = numbers
    with np.errstate(all="ignore"):
        x = x if factor is None else x * factor[:, None]
        return (np.clip(np.rint(x * inverse + zero), low, high) - offset).astype(np.int64)


def quantize(x, numbers, kind, factor=None):
    """Codes and the status; x may be guarded by an unreadable neighbour only in spirit: see the last test."""
    x, numbers, status = np.ascontiguousarray(x, np.float32), np.array(numbers, np.float32), np.zeros(1, np.int64)
    out = Rows(kind, *x.shape)
    factor = None if factor is None else factor.astype(np.float32)
    op = quantize_op(source=(x.ctypes.data, 4 * x.shape[1], False), output=out.place, output_kind=kind,
                     columns=x.shape[1], numbers=numbers, factors=0 if factor is None else factor.ctypes.data,
                     status=status.ctypes.data)  # fmt: skip
    run([op], np.array([0, len(x) // 2, len(x)]))
    assert out.intact()
    return out.read(), int(status[0]), expected(x, numbers, factor)


def params(kind, scale=0.1, zero=3.0):
    low, high = RANGE[kind]
    return 1 / scale, zero, low, high, 0


@pytest.mark.parametrize("kind", ["int4", "int8", "int16"])
@pytest.mark.parametrize("factored", [False, True])
def test_every_width(kind, factored):
    rng = np.random.default_rng(0)
    for columns in (*range(1, 36), 64, 70, 256):
        x = rng.standard_normal((ROWS, columns)).astype(np.float32) * 40
        factor = rng.uniform(0, 2, ROWS) if factored else None
        got, status, want = quantize(x, params(kind), kind, factor)
        assert status == 0 and np.array_equal(got, want)


def test_unsigned_codes_are_stored_with_an_offset():
    x = np.linspace(-1, 30, 11 * 20, dtype=np.float32).reshape(11, 20)
    got, _, want = quantize(x, (10, 0, 0, 255, 128), "int8")
    assert np.array_equal(got, want) and got.min() == -128 and got.max() == 127


def test_ties_go_to_even():
    x = (np.arange(-40, 40, dtype=np.float32) / 2).reshape(4, 20)
    got, _, want = quantize(x, (1, 0, -128, 127, 0), "int8")
    assert np.array_equal(got, want)
    assert got[1, 19 - 18] % 2 == 0 and set((got[x % 1 != 0] % 2).tolist()) == {0}


@pytest.mark.parametrize("kind", ["int4", "int8", "int16"])
def test_huge_and_tiny_numbers(kind):
    """They end at an end code, also where the product leaves float32; negative zeros and subnormals are zeros."""
    values = [3.4e38, -3.4e38, 1e30, -1e30, 2.0**31, -(2.0**31), 2.0**24 + 1, 1e-45, -1e-45, -0.0, 1e-30, 0.0]
    x = np.tile(np.array(values, np.float32), (3, 3))
    for scale in (1e-30, 1.0, 1e30):
        got, status, want = quantize(x, params(kind, scale, 1.0), kind)
        assert status == 0 and np.array_equal(got, want)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("factored", [False, True])
def test_what_is_no_number_is_flagged_wherever_it_stands(bad, factored):
    for columns in (1, 15, 16, 17, 40):
        factor = np.zeros(5) if factored else None  # even where a factor of 0 would hide it
        for row, column in {(0, 0), (4, columns - 1), (2, columns // 2)}:
            x = np.ones((5, columns), np.float32)
            x[row, column] = bad
            assert quantize(x, params("int8"), "int8", factor)[1] == 1
        assert quantize(np.full((5, columns), 3e38, np.float32), params("int8"), "int8", factor)[1] == 0


def test_what_stands_behind_the_last_column_is_not_read():
    """A view of which each next element is no number."""
    base = np.full((5, 40), np.nan, np.float32)
    base[:, :19] = 1.5
    out, status = Rows("int8", 5, 19), np.zeros(1, np.int64)
    numbers = np.array(params("int8"), np.float32)
    run([quantize_op(source=(base.ctypes.data, 160, False), output=out.place, output_kind="int8", columns=19,
                     numbers=numbers, factors=0, status=status.ctypes.data)], np.array([0, 5]))  # fmt: skip
    assert status[0] == 0 and (out.read() == 18).all()


@settings(max_examples=200)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40),
       st.floats(2.0**-100, 2.0**100), st.integers(-128, 127), st.floats(0, 4, width=32))  # fmt: skip
def test_any_number(values, scale, zero, factor):
    x = np.array([values, values[::-1]], np.float32)
    got, status, want = quantize(x, (np.float32(1.0 / scale), zero, -128, 127, 0), "int8", np.array([factor, 1.0]))
    assert status == 0 and np.array_equal(got, want)


def test_categories():
    rng = np.random.default_rng(1)
    for width in (16, 32, 64, 192):
        table = rng.integers(-128, 128, (9, width)).astype(np.int8)
        categories = np.append(rng.integers(0, 9, 62), [0, 8]).astype(np.int32)
        out = Rows("int8", 64, width)
        op = lookup_op(categories=(categories.ctypes.data, 4, False), output=out.place, table=table)
        run([op], np.array([0, 10, 64]))
        assert np.array_equal(out.read(), table[categories]) and out.intact()
