"""Factors, biases and guard bits of a requantization as integers, against exact powers of two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.convert.stages import GUARD_BITS, MOST_GUARD_BITS, ROW_GUARD_BITS, collect, guard_bits, stage
from dqnumba.errors import ConversionError
from dqnumba.quant import quantize_multiplier

SIZES = st.builds(
    lambda mantissa, exponent, sign: sign * mantissa * 2.0 ** (exponent - 20),
    st.integers(2**20, 2**21 - 1), st.integers(-40, 40), st.sampled_from([1, -1]),
)  # fmt: skip
ZERO = np.zeros(1)


def most_bits(value, limit):
    """Largest b with |value| * 2**b <= 2**limit, counted and not computed."""
    bits = 200
    while abs(value) * 2.0**bits > 2.0**limit:
        bits -= 1
    return bits


@given(st.lists(SIZES, min_size=1, max_size=3), st.none() | st.lists(SIZES, min_size=3, max_size=3), st.integers(0, 16))
def test_factors_and_biases_stay_within_29_bits(factors, biases, most):
    biases = None if biases is None else biases[: len(factors)]
    largest = max(map(abs, factors + (biases or [])))
    offset = None if biases is None else np.array(biases)
    assert guard_bits(np.array(factors), offset, most) == min(most, most_bits(largest, 29))
    assert type(guard_bits(np.array(factors), offset, most)) is int


@given(
    st.lists(SIZES, min_size=2, max_size=2), st.none() | st.lists(SIZES, min_size=2, max_size=2), st.integers(0, 16),
    st.lists(st.integers(0, 2**30), min_size=2, max_size=2),
)  # fmt: skip
def test_known_sums_stay_within_28_bits_but_for_ten_guard_bits(factors, biases, most, reach):
    offset = None if biases is None else np.array(biases)
    without = guard_bits(np.array(factors), offset, most)
    worst = max(abs(f) * r + abs(b) for f, r, b in zip(factors, reach, biases or [0, 0], strict=True))
    expected = min(without, max(10, most_bits(worst, 28)))
    assert guard_bits(np.array(factors), offset, most, np.array(reach, np.float64)) == expected


@pytest.mark.parametrize(
    ("value", "bits"), [(2.0**13, 16), (2.0**13 * 1.001, 15), (2.0**14, 15), (2.0**29, 0), (2.0**31, -2)]
)
def test_guard_bits_at_powers_of_two(value, bits):
    assert guard_bits(np.array(value), None, 16) == bits
    assert guard_bits(np.array(-value), None, 16) == bits
    assert guard_bits(np.array(1.0), np.array([-value, 0.0]), 16) == bits


def test_guard_bits_of_nothing():
    """No channels, zero factors, zero sums: nothing limits them."""
    assert guard_bits(np.zeros(0), None) == GUARD_BITS == 14 == ROW_GUARD_BITS and MOST_GUARD_BITS == 16
    assert guard_bits(ZERO, None, 16) == guard_bits(ZERO, ZERO, 16) == guard_bits(ZERO, None, 16, ZERO) == 16
    assert guard_bits(np.zeros(0), np.zeros(0), 16, np.zeros(0)) == 16
    assert guard_bits(np.ones(1), None, 16, ZERO) == 16
    assert guard_bits(ZERO, np.array([2.0**20]), 16) == 9
    assert guard_bits(np.ones(1), None, 16, np.array([2.0**17])) == 11
    assert guard_bits(np.ones(1), None, 16, np.array([2.0**30])) == 10
    assert guard_bits(np.ones(1), ZERO + 2.0**17, 16, ZERO) == 11
    assert guard_bits(np.ones(1), None, 9, np.array([2.0**30])) == 9


def test_a_stage_is_one_multiplier():
    assert stage(0.75) == {"multiplier": 3 * 2**29, "shift": 31, "row_factor": None, "bias": False}
    assert stage(-2.0, "gcn", True) == {"multiplier": -(2**30), "shift": 29, "row_factor": "gcn", "bias": True}
    assert type(stage(np.float64(0.5))["multiplier"]) is int


def test_stages_are_collected_in_order():
    factors, bias = np.array([0.5, -0.75]), np.array([1.4, 1.5, -1.5, -1.6])
    attributes, tensors = collect([(np.array(2.0), "mean", None), (factors, None, bias[:2]), (0.25, "gcn", bias)])
    none = {"multiplier": None, "shift": None, "row_factor": None, "bias": True}
    assert attributes == [stage(2.0, "mean"), none, stage(0.25, "gcn", True)]
    multipliers, shifts = quantize_multiplier(factors)
    assert tensors.keys() == {"multipliers1", "shifts1", "bias1", "bias2"}
    assert tensors["multipliers1"].tolist() == multipliers.tolist() and tensors["multipliers1"].dtype == np.int32
    assert tensors["shifts1"].tolist() == shifts.tolist() and tensors["shifts1"].dtype == np.int8
    assert tensors["bias2"].tolist() == [1, 2, -1, -2] and tensors["bias2"].dtype == np.int32  # half up
    assert collect([(factors, None, None)])[0] == [none | {"bias": False}] and collect([]) == ([], {})


def test_a_row_factor_and_channel_factors_do_not_meet():
    with pytest.raises(ConversionError, match=r"row factor .* channel factor"):
        collect([(np.ones(2), "gcn", None)])
