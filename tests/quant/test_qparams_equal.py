"""QParams compare by value, arrays too, and leave it to others what they are equal to."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

from dqnumba.quant import QParams, QuantSpec

SPEC, CHANNELS = QuantSpec(8), QuantSpec(8, granularity="per_channel")


def test_equal_by_value():
    assert QParams(0.5, 3, SPEC) == QParams(np.float64(0.5), np.int64(3), SPEC)
    assert QParams(np.array([0.5, 1.0]), 0, CHANNELS) == QParams(np.array([0.5, 1.0]), np.array([0, 0]), CHANNELS)
    for other in (QParams(0.25, 3, SPEC), QParams(0.5, 4, SPEC), QParams(0.5, 3, QuantSpec(7))):
        assert QParams(0.5, 3, SPEC) != other
    assert QParams(np.array([0.5, 1.0]), 0, CHANNELS) != QParams(np.array([0.5, 1.0]), np.array([0, 1]), CHANNELS)
    assert QParams(np.array([0.5]), 0, CHANNELS) != QParams(np.array([0.5, 0.5]), 0, CHANNELS)


@pytest.mark.parametrize("other", [0.5, None, SPEC, (0.5, 3, SPEC)])
def test_of_another_type(other):
    assert QParams(0.5, 3, SPEC) != other and QParams(0.5, 3, SPEC).__eq__(other) is NotImplemented
    assert QParams(0.5, 3, SPEC) == mock.ANY, "the other one decides"
    with pytest.raises(TypeError, match="unhashable"):
        hash(QParams(0.5, 3, SPEC))
