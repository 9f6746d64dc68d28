"""The table of exponentials at its ends: logits of no size, and beyond any that a range produces."""

from __future__ import annotations

import numpy as np
import pytest

from dqnumba.convert.softmax_table import exponential_table
from dqnumba.quant import QParams, QuantSpec

ONE, MOST = 1 << 30, (1 << 31) - 1


@pytest.mark.parametrize("slope", [0.0, 0.2, -0.5])
def test_the_logit_zero_is_one(slope):
    mantissa, exponent = exponential_table(QParams(0.25, 3, QuantSpec(4)), slope)
    assert (mantissa[3 + 8], exponent[3 + 8]) == (ONE, 0)


@pytest.mark.parametrize("scale", [2.0**62, 2.0**100, 2.0**120])
def test_logits_beyond_the_table_end_at_its_ends(scale):
    """Their order stays, their mantissas are mantissas, and differences of their exponents fit 64 bits."""
    mantissa, exponent = exponential_table(QParams(scale, 0, QuantSpec(2)), 1.0)
    assert mantissa.tolist() == [ONE, ONE, ONE, MOST]
    assert (np.diff(exponent) >= 0).all() and exponent[2] == 0 and exponent[0] == exponent[1] < -(2**59)
    assert int(exponent[3]) > 2**59 and int(exponent[3]) - int(exponent[0]) < 2**63


@pytest.mark.parametrize("scale", [2.0**-23, 0.0371, 0.6931472, 1.3862944, 11.0, 1e5])
def test_mantissas_stay_within_31_bits(scale):
    for bits in (4, 8):
        mantissa, _ = exponential_table(QParams(float(np.float32(scale)), 0, QuantSpec(bits)), 1.0)
        assert mantissa.min() >= ONE and mantissa.max() <= MOST
