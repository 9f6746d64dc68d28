"""An array of any dtype gives what its values give: nothing wraps in a narrow type, and nothing is rounded in one."""

from __future__ import annotations

import numpy as np
import pytest

from dqnumba.errors import ConfigError
from dqnumba.quant import (
    QParams,
    QuantSpec,
    choose_qparams,
    dequantize,
    from_storage,
    matmul_range,
    quantize,
    quantize_multiplier,
    to_storage,
    unpack4,
)

INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64]


def test_float64_values_are_rounded_to_float32_first():
    just_above = 0.5 + 2.0**-40  # 0.5 in float32, and that goes to the even code
    assert quantize(np.array([just_above]), QParams(1.0, 0, QuantSpec(8))).tolist() == [0]
    assert quantize(just_above, QParams(1.0, 0, QuantSpec(8))) == 0
    assert quantize([1, 2], QParams(0.5, 0, QuantSpec(8))).tolist() == [2, 4]


def test_products_beyond_float32_go_to_the_end_codes_without_a_warning():
    narrow = QParams(2.0**-23, 3, QuantSpec(8))
    with np.errstate(all="raise"):
        assert quantize(np.float32([3e38, -3e38]), narrow).tolist() == [127, -128]
        assert quantize(np.float32([1e-44, -1e-44, 0.0]), QParams(2.0**100, 3, QuantSpec(8))).tolist() == [3, 3, 3]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_differences_of_codes_do_not_wrap(dtype):
    codes = np.array([0, 5, 100], dtype)
    assert dequantize(codes, QParams(2.0, 127, QuantSpec(8))).tolist() == [-254.0, -244.0, -54.0]
    assert dequantize(codes, QParams(2.0, 255, QuantSpec(8, signed=False))).tolist() == [-510.0, -500.0, -310.0]


@pytest.mark.parametrize("scale", [2.0**-127, 2.0**-126 * 1.5, 2.0**-23, 1.0, 2.0**110])
def test_reals_of_codes_are_exact_products_down_to_subnormals(scale):
    """A whole number of steps times a scale rounds once and never vanishes, whatever floating point says aloud."""
    codes = np.array([-128, -3, -1, 0, 1, 127])
    with np.errstate(all="raise"):
        got = dequantize(codes, QParams(scale, 0, QuantSpec(8)))
    assert got.dtype == np.float32 and got.tolist() == [q * scale for q in codes.tolist()]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_storage_of_codes_of_any_dtype(dtype):
    codes = np.array([0, 1, 77, 127], dtype)
    for bits, stored_dtype in ((8, np.int8), (9, np.int16), (16, np.int16)):
        spec = QuantSpec(bits, signed=False)
        stored = to_storage(codes, spec)
        assert stored.dtype == stored_dtype and stored.tolist() == [q - 2 ** (bits - 1) for q in codes.tolist()]
    back = from_storage(codes, QuantSpec(8, signed=False))
    assert back.dtype == np.int32 and back.tolist() == [q + 128 for q in codes.tolist()]
    assert from_storage([-1], QuantSpec(8)).dtype == np.int32


def test_bounds_are_exact_beyond_int64_and_float64():
    odd = 2**53 + 1  # no float64
    assert matmul_range(np.array([[1], [2]]), 0, odd) == (0, 3 * odd)
    assert matmul_range(np.array([[-1], [-2]]), 0, odd) == (-3 * odd, 0)
    assert matmul_range(np.array([[-1, 2]]), -5, 2**70 + 1) == (-(2**70) - 1, 2**71 + 2)
    assert matmul_range(np.array([[0]]), 0, 1, bias=np.array([odd])) == (odd, odd)


@pytest.mark.parametrize("zero_point", [127, np.int8(127), np.array([127], np.int8)])
def test_bounds_of_narrow_weights_do_not_wrap(zero_point):
    assert matmul_range(np.array([[-128]], np.int8), 0, 255, weight_zero_point=zero_point) == (-255 * 255, 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_multipliers_of_any_dtype(dtype):
    factors = np.array([1, 3, 1024], dtype) / dtype(1)
    m, s = quantize_multiplier(factors.astype(dtype))
    assert (m.tolist(), s.tolist()) == ([2**30, 3 * 2**29, 2**30], [30, 29, 20])
    assert quantize_multiplier([0.75, -0.75])[0].tolist() == [3 * 2**29, -3 * 2**29]


def test_ranges_are_taken_in_float64():
    low, high = np.float32(-0.1), np.float32(0.3)
    for spec in (QuantSpec(8), QuantSpec(8, symmetric=True), QuantSpec(16, signed=False)):
        assert choose_qparams(low, high, spec) == choose_qparams(float(low), float(high), spec)
        assert choose_qparams(np.int8(-128), np.int8(127), spec) == choose_qparams(-128.0, 127.0, spec)
    for bad in ((np.float16(-np.inf), 1.0), (-1.0, np.float16(np.inf))):
        with pytest.raises(ConfigError, match="not usable"):
            choose_qparams(*bad, QuantSpec(8))


def test_packed_bytes_may_be_viewed_as_signed():
    packed = np.array([[0xF1, 0x8A], [0x7F, 0x00]], np.uint8)
    expected = [[1, -1, -6, -8], [-1, 7, 0, 0]]
    for rows in (packed, packed.view(np.int8)):
        assert unpack4(rows, 4).tolist() == expected
        assert unpack4(rows[0], 4).tolist() == expected[0], "one row"
        assert unpack4(np.stack([rows, rows, rows]), 3).tolist() == [[row[:3] for row in expected]] * 3, "three axes"


def test_zero_keeps_its_code_at_the_smallest_scale():
    """One step of float32 lower the reciprocal is infinite: 0 would become no number and its code -2**31."""
    smallest = QParams(2.0**-128 + 2.0**-149, 3, QuantSpec(8))
    assert quantize(np.float32([0.0, 1.0, -1.0, 2.0**-127]), smallest).tolist() == [3, 127, -128, 5]
    for scale in (2.0**-128, 2.0**-149, 0.0, -1.0):
        with pytest.raises(ConfigError, match=r"above 2\*\*-128"):
            QParams(scale, 3, QuantSpec(8))
