"""The reference's stages in 64-bit lanes, against Python's integers of any size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vector_cases import RANGE, Rows

from dqnumba.kernels.dot.fold import Fold
from dqnumba.kernels.dot.launch import run
from dqnumba.kernels.dot.requantize import Own, requantize_op

LOW, HIGH = RANGE["int32"]
ROWS, COLUMNS = 5, 21


def at(table, i, c):
    return int(table[i if table.shape[0] > 1 else 0, c if table.shape[1] > 1 else 0])


def expected(x, y, own, stages):
    """Every entry by itself, the joined value and its products exact."""
    out = np.zeros(x.shape, np.int64)
    for i, c in np.ndindex(x.shape):
        value = int(x[i, c]) * 2**own.left + own.weight * (int(y[i, c]) - own.zero)
        for m, s, b in stages:
            value = (value * at(m, i, c) + (1 << (at(s, i, c) - 1))) >> at(s, i, c)
            value = min(max(value + at(b, 0, c), LOW), HIGH)
        out[i, c] = value
    return out


def check(x, y, kind, stages, *, zero=0, weight=1, left=0):
    """With a bound that no row is safe under, and with the rows' own, where some may be."""
    mine, joined = Rows(kind, ROWS, COLUMNS, y), Own((0, 0, False), kind, zero, weight, left)
    want = expected(x, y, joined, stages)
    values = [[abs(int(a) * 2**left + weight * (int(b) - zero)) for a, b in zip(*rows)] for rows in zip(x, y)]  # noqa: B905
    assert max(map(max, values)) <= 1 << 61, "beyond what a program may hold"
    for magnitude in (np.array([2.0**61]), np.array([float(max(row)) for row in values])):
        into, out = Rows("int32", ROWS, COLUMNS, x), Rows("int32", ROWS, COLUMNS)
        op, keep = requantize_op(
            source=into.place, source_kind="int32", output=out.place, output_kind="int32", columns=COLUMNS,
            fold=Fold(stages, 0), magnitude=magnitude, zero_in=0, low=LOW, high=HIGH,
            own=joined._replace(place=mine.place),
        )  # fmt: skip
        run([op], np.array([0, 2, ROWS]))
        assert np.array_equal(out.read(), want) and keep and out.intact()


def draw(rng, kind, shape=(ROWS, COLUMNS)):
    """Uniform in magnitude, both ends among them."""
    low, high = RANGE[kind]
    values = rng.integers(low, high, shape, endpoint=True) >> rng.integers(0, high.bit_length(), shape)
    values.reshape(-1)[:2] = low, high
    return values


def tables(rng, kind, shifts=(1, 63)):
    """Multipliers of both signs and every size, their two ends and 0 among them."""
    shape = {"tensor": (1, 1), "row": (ROWS, 1), "channel": (1, COLUMNS)}[kind]
    m = rng.integers(-(2**31), 2**31, shape, endpoint=True) >> rng.integers(0, 31, shape)
    m.reshape(-1)[:3] = np.array([2**31 - 1, -(2**31), 0])[: m.size]
    biases = rng.integers(LOW, HIGH, (1, COLUMNS), endpoint=True) >> rng.integers(0, 31, (1, COLUMNS))
    biases[0, :2] = LOW, HIGH
    return rng.permuted(m, axis=None).reshape(shape), rng.integers(*shifts, shape), biases


@pytest.mark.parametrize("shift", range(1, 63))
def test_every_shift(shift):
    rng = np.random.default_rng(shift)
    for kind in ("tensor", "row", "channel"):
        stage = tables(rng, kind, (shift, shift + 1))
        check(draw(rng, "int32"), draw(rng, "int8"), "int8", [stage], zero=-128, weight=257, left=8)
        check(draw(rng, "int32"), draw(rng, "int32"), "int32", [stage], weight=1 << 29, left=29)


@pytest.mark.parametrize("own", ["int4", "int8", "int16", "int32"])
@pytest.mark.parametrize("left", [0, 8, 29])
def test_every_kind_of_codes(own, left):
    rng = np.random.default_rng(left)
    for kind in ("tensor", "row", "channel"):
        for weight in (0, 1, -300, 1 << 20):
            zero = 0 if own == "int32" else RANGE[own][int(weight) % 2]
            second = [tables(rng, "tensor")] if kind == "channel" else []
            stages = [tables(rng, kind), *second]
            check(draw(rng, "int32"), draw(rng, own), own, stages, zero=zero, weight=weight, left=left)


def test_two_halves_are_one_sum_of_64_bits():
    """As sums beyond 32 bits are kept: the low half with its sign, the high one times 2**32."""
    rng = np.random.default_rng(0)
    total = rng.integers(-(2**60), 2**60, (ROWS, COLUMNS)) >> rng.integers(0, 60, (ROWS, COLUMNS))
    low = total.astype(np.int32)  # modulo 2**32
    high = (total - low) >> 32
    for kind in ("tensor", "row", "channel"):
        check(low, high, "int32", [tables(rng, kind, (30, 63))], weight=1 << 32)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(LOW, HIGH), st.integers(LOW, HIGH), st.integers(0, 28), st.integers(-(2**28), 2**28),
    st.integers(-(2**31), 2**31), st.integers(1, 62), st.integers(LOW, HIGH),
)  # fmt: skip
def test_any_number(x, y, left, weight, m, s, b):
    full = lambda value, shape: np.full(shape, value, np.int64)  # noqa: E731
    stage = full(m, (1, 1)), full(s, (1, 1)), full(b, (1, 1))
    check(full(x, (ROWS, COLUMNS)), full(y, (ROWS, COLUMNS)), "int32", [stage], weight=weight, left=left)


@pytest.mark.parametrize("side", [-1, 0, 1])
def test_results_around_the_ends_of_32_bits(side):
    """The product's upper part at the limit beyond which a left shift of it would leave 64 bits."""
    one = np.ones((1, 1), np.int64)
    for s in (1, 2, 30, 31, 32, 33, 62):
        for target in (HIGH, LOW, 2**33, -(2**33)):
            value = ((target << s) // (2**30)) + side
            if abs(value) > 1 << 60:
                continue
            low = ((value + (1 << 31)) & ((1 << 32) - 1)) - (1 << 31)
            x = np.full((ROWS, COLUMNS), low)
            y = np.full((ROWS, COLUMNS), (value - low) >> 32)
            for bias in (0, HIGH, LOW):
                check(x, y, "int32", [((1 << 30) * one, s * one, bias * one)], weight=1 << 32)
