"""Rounding shifts at the edges: where 63 bits end, where nothing is to be rounded, and where the result is small."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.quant import requantize, requantize_gemmlowp, round_shift
from dqnumba.quant.fixed_point import _exact_round_shift

WHOLE = {"low": -(2**31), "high": 2**31 - 1, "zero_point": 0}


@pytest.mark.parametrize(
    ("acc", "multiplier", "shift"),
    [
        (2**63 - 1, 1, 1),  # the sum is 2**63, one more than int64 holds
        (2**63 - 2, 1, 1),  # and here the last that it holds
        (-(2**63), 1, 1),
        (-(2**63) + 1, 1, 1),
        (-(2**32), 2**31, 1),
        (2**63 - 2**61, 1, 62),
        (2**63 - 2**61 - 1, 1, 62),
        (2**62, -2, 62),
        (3, 2**61 - 1, 62),
        (2**31 - 1, 2**31 - 1, 31),
    ],
)
def test_the_switch_to_python_integers_is_where_int64_ends(acc, multiplier, shift):
    """int64 if and only if |acc * multiplier| + half fits; the value is exact on both sides."""
    array = np.array([acc])
    got = _exact_round_shift(array, np.asarray(multiplier), np.asarray(shift))
    fits = abs(acc * multiplier) + 2 ** (shift - 1) < 2**63
    assert got.dtype == (np.int64 if fits else object)
    assert got.tolist() == [oracles.round_shift(acc, multiplier, shift)]
    assert _exact_round_shift(array, np.asarray(multiplier), np.array([[shift]])).dtype == got.dtype
    clipped = min(max(oracles.round_shift(acc, multiplier, shift), -(2**31)), 2**31 - 1)
    assert round_shift(array, multiplier, shift).tolist() == [clipped]


@pytest.mark.parametrize(
    ("acc", "multiplier", "shift", "result"),
    [
        ((0, 3), (1, 3), (1, 1), (0, 3)),
        ((3, 0), (1, 1), (1, 1), (3, 0)),
        ((3, 1), (1, 0), (1, 1), (3, 0)),
        ((3, 1), (1, 1), (1, 0), (3, 0)),
        ((1, 1), (0, 1), (1, 4), (0, 4)),
        ((0, 1), (1, 1), (1, 5), (0, 5)),
        ((1, 1), (1, 6), (0, 1), (0, 6)),
        ((0,), (), (), (0,)),
    ],
)
def test_where_nothing_is_to_be_rounded_the_shapes_broadcast(acc, multiplier, shift, result):
    arrays = np.ones(acc, np.int8), np.ones(multiplier, np.int64), np.ones(shift, np.int64)
    for got in (round_shift(*arrays), _exact_round_shift(*arrays)):
        assert got.shape == result and got.dtype == np.int64


@given(
    st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=5), st.integers(-(2**31) + 1, 2**31 - 1),
    st.integers(28, 62), st.integers(-100, 100), st.integers(-128, 127), st.integers(-300, 300),
)  # fmt: skip
def test_requantize_within_its_range(values, multiplier, shift, zero_in, zero_point, bias):
    """Results that no end clips: zero points on both sides, bias and rounding all count."""
    got = requantize(
        np.array([values]), [(multiplier, shift, bias)], zero_in=zero_in, zero_point=zero_point, low=-(2**40),
        high=2**40,
    )  # fmt: skip
    exact = [oracles.round_shift(v - zero_in, multiplier, shift) + bias for v in values]
    assert got.tolist() == [[oracles.clip(e, -(2**31), 2**31 - 1) + zero_point for e in exact]]


def test_each_stage_rounds_shifts_and_saturates_for_itself():
    stages = [(3 * 2**28, 30, None), (2**30, 31, np.array([[1, -1]])), (-(2**30), 28, None)]
    got = requantize(np.array([[5, -5], [2**31 - 1, -(2**31)]]), stages, **WHOLE)
    # 3.75 -> 4 -> 2 + 1 -> -12;  -3.75 -> -4 -> -2 - 1 -> 12;  3 * 2**29 - 1 -> 3 * 2**28 + 1 -> beyond int32
    assert got.tolist() == [[-12, 12], [-(2**31), 2**31 - 1]]


def test_no_stage_only_moves_the_zero_point():
    assert requantize(np.array([[5, -7]], np.int8), [], zero_in=-128, zero_point=-3, low=-200, high=127).tolist() == [
        [127, 118]
    ]


@given(st.integers(-(2**31), 2**31 - 1), st.integers(2**30, 2**31 - 1), st.integers(-31, 0))
def test_double_rounding_against_exact_integers(x, q31, exponent):
    """To nearest twice: first ties toward plus infinity, as both nudges of gemmlowp come to, then away from zero."""
    high = (x * q31 + 2**30) // 2**31
    exact = (abs(high) + 2**-exponent // 2) // 2**-exponent
    expected = exact if high >= 0 else -exact
    for dtype in (np.int32, np.int64):
        assert requantize_gemmlowp(np.array([x], dtype), q31, exponent).tolist() == [expected]


@pytest.mark.parametrize("q31", [2**30, 2**30 + 1, 2**31 - 1])
def test_ties_of_the_high_multiply(q31):
    """Products around -1/2: -(2**30) is a tie and goes up, one less goes down."""
    for x in (-2, -1, 0, 1, 2):
        assert requantize_gemmlowp(np.array([x]), q31, 0).tolist() == [(x * q31 + 2**30) // 2**31]


@pytest.mark.parametrize("exponent", [1, 5, 30])
def test_a_factor_above_one_shifts_left_first(exponent):
    x = np.array([0, 1, -1, 2 ** (30 - exponent) - 1, -(2 ** (30 - exponent))], np.int32)
    got = requantize_gemmlowp(x, 3 * 2**29, exponent)
    assert got.dtype == np.int64
    assert got.tolist() == [(v * 2**exponent * 3 + 2) // 4 for v in x.tolist()]
