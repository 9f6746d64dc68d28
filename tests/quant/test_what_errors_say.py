"""What an error of the arithmetic says: what was given, and what is allowed."""

from __future__ import annotations

import numpy as np
import pytest

from dqnumba.errors import ConfigError
from dqnumba.quant import (
    QuantSpec,
    pack4,
    packed_width,
    quantize_multiplier,
    quantize_multiplier_q31,
    round_shift,
    softmax_row_sum,
    unpack4,
)


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: QuantSpec(8.0), ["2 to 16", "8.0"]),
        (lambda: QuantSpec(True), ["2 to 16", "True"]),
        (lambda: QuantSpec("8"), ["2 to 16", "'8'"]),
        (lambda: QuantSpec(1), ["bits=1", "2 to 16"]),
        (lambda: QuantSpec(17), ["bits=17", "2 to 16"]),
        (lambda: QuantSpec(8, granularity="per_row"), ["granularity='per_row'", "per_tensor", "per_channel"]),
        (lambda: QuantSpec(8, signed=False, narrow=True), ["narrow=True", "signed=True"]),
        (lambda: quantize_multiplier(np.inf), ["inf", "finite"]),
        (lambda: quantize_multiplier(np.array([1.0, -(2.0**31)])), ["2147483648.0", "2**30"]),
        (lambda: quantize_multiplier(2.0**30), ["1073741824.0", "2**30"]),
        (lambda: quantize_multiplier_q31(-0.25), ["-0.25", "quantize_multiplier"]),
        (lambda: round_shift(np.array([1]), 1, np.array([3, 0, 63])), ["1 to 62", "0 to 63"]),
        (lambda: round_shift(np.array([1]), 1, np.array([1, 63])), ["1 to 62", "1 to 63"]),
        (lambda: pack4(np.int8(3)), ["at least one axis"]),
        (lambda: pack4(np.array([[-9, 3]])), ["-9 to 3", "-8 .. 7"]),
        (lambda: pack4(np.array([[0, 8]])), ["0 to 8", "-8 .. 7"]),
        (lambda: unpack4(np.zeros((3, 3), np.uint8), 4), ["4 channels", "2 bytes", "(3, 3)"]),
        (lambda: unpack4(np.uint8(3), 2), ["2 channels", "1 bytes", "()"]),
    ],
)
def test_errors_say_what_was_given_and_what_is_allowed(call, parts):
    with pytest.raises(ConfigError) as caught:
        call()
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_the_ends_of_what_is_allowed():
    assert [QuantSpec(bits).bits for bits in (2, 16)] == [2, 16] and type(QuantSpec(np.int8(4)).bits) is int
    assert quantize_multiplier_q31(0.0) == (0, 0)
    assert round_shift(np.array([1]), 1, np.array([1, 62])).tolist() == [1, 0]
    assert pack4(np.array([-8, 7])).tolist() == [0x78] and pack4(np.zeros((2, 0))).shape == (2, 0)
    assert packed_width(1) == 1 and packed_width(2) == 1 and packed_width(3) == 2


@pytest.mark.parametrize(("bits", "degree"), [(4, 32), (3, 3), (1, 4), (15, 65_536)])
def test_a_row_of_coefficients_attains_its_bound(bits, degree):
    """Equal logits: every coefficient is 2**bits / degree, and each is rounded up by (almost) one half."""
    rounded = (2 * 2**bits + degree) // (2 * degree)
    assert degree * rounded == softmax_row_sum(degree, bits) == 2**bits + degree // 2
