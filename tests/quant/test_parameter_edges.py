"""Scales and zero points at the edges: what they are stored as, where ranges end, what no parameter can be."""

from __future__ import annotations

import numpy as np
import pytest

from dqnumba.errors import ConfigError
from dqnumba.quant import QParams, QuantSpec, choose_qparams
from dqnumba.quant.qparams import MAX_MAGNITUDE, NEAR_DEAD, SCALE_FLOOR

TENSOR, CHANNEL = QuantSpec(8), QuantSpec(8, granularity="per_channel")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_parameters_of_channels_are_float64_and_int64(dtype):
    got = QParams(np.array([1, 2], dtype), np.array([3, -128], np.int8), CHANNEL)
    assert got.scale.dtype == np.float64 and got.scale.tolist() == [1.0, 2.0]
    assert got.zero_point.dtype == np.int64 and got.zero_point.tolist() == [3, -128]
    one = QParams(np.float32(0.5), np.int8(7), TENSOR)
    assert type(one.scale) is float and type(one.zero_point) is int and (one.scale, one.zero_point) == (0.5, 7)
    both = QParams(np.array([1, 2], dtype), -5, CHANNEL)
    assert both.zero_point.dtype == np.int64 and both.zero_point.tolist() == [-5, -5]


def test_parameters_are_copies():
    scale, zero_point = np.array([1.0, 2.0]), np.array([3, 4])
    got = QParams(scale, zero_point, CHANNEL)
    scale[:], zero_point[:] = 9.0, 9
    assert got.scale.tolist() == [1.0, 2.0] and got.zero_point.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("scale", "zero_point", "spec"),
    [
        ([[1.0]], 0, TENSOR),
        ([[1.0]], 0, CHANNEL),
        (1.0, 0, CHANNEL),
        ([1.0], 0, TENSOR),
        (1.0, [[0]], TENSOR),
        ([1.0, 1.0], [[0, 0]], CHANNEL),
        ([1.0, 1.0], [0, 0, 0], CHANNEL),
        ([1.0, 1.0], [0], CHANNEL),
        (1.0, [0], TENSOR),
    ],
)
def test_shapes_that_do_not_fit_are_named(scale, zero_point, spec):
    with pytest.raises(ConfigError, match="has shape ") as caught:
        QParams(scale, zero_point, spec)
    assert str(np.shape(scale)) in str(caught.value)
    if np.ndim(scale) != int(spec.per_channel):
        needed = ("'per_channel' needs one scale a channel", "'per_tensor' needs a single number")[not spec.per_channel]
        assert needed in str(caught.value)


@pytest.mark.parametrize("zero_point", [1.5, 1.0, float("nan"), True, "3", [0.0, 0.0]])
def test_a_zero_point_is_an_integer(zero_point):
    with pytest.raises(ConfigError, match="integer"):
        QParams(1.0 if np.ndim(zero_point) == 0 else [1.0, 1.0], zero_point, TENSOR)


@pytest.mark.parametrize("scale", [1e39, 1e-60, -1.0, np.inf, np.nan, 1.0 + 2.0**-24, 2.0**128])
def test_an_impossible_scale_is_named_whatever_floating_point_says_aloud(scale):
    with np.errstate(all="raise"), pytest.raises(ConfigError, match="float32") as caught:
        QParams(scale, 0, TENSOR)
    assert repr(scale) in str(caught.value)


@pytest.mark.parametrize("zero_point", [-129, 128])
def test_a_zero_point_beside_the_codes_is_named_with_them(zero_point):
    with pytest.raises(ConfigError, match=rf"zero_point={zero_point} .* -128 \.\. 127"):
        QParams(1.0, zero_point, TENSOR)
    with pytest.raises(ConfigError, match=r"-128 \.\. 127"):
        QParams([1.0, 1.0], [0, zero_point], CHANNEL)
    assert QParams([1.0, 1.0], [-128, 127], CHANNEL).zero_point.tolist() == [-128, 127]


@pytest.mark.parametrize("spec", [QuantSpec(8), QuantSpec(4, signed=False), QuantSpec(8, narrow=True)])
def test_the_real_range_is_that_of_the_end_codes(spec):
    for zero_point in (spec.qmin, 3, spec.qmax):
        low, high = QParams(0.5, zero_point, spec).real_range
        assert (low, high) == (0.5 * (spec.qmin - zero_point), 0.5 * (spec.qmax - zero_point))


@pytest.mark.parametrize("signed", [True, False])
def test_zero_of_a_range_of_no_width_is_code_zero(signed):
    spec = QuantSpec(8, signed=signed)
    assert choose_qparams(0.0, 0.0, spec) == QParams(1.0, 0, spec)
    channels = QuantSpec(8, signed=signed, granularity="per_channel")
    got = choose_qparams([0.0, -1.0], [0.0, 1.0], channels)
    assert got.zero_point.tolist() == [0, spec.qmin + 128]


@pytest.mark.parametrize("bits", [2, 3, 8, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_zero_points_at_both_ends_of_the_codes(bits, signed):
    """A range that ends at zero has its zero at an end code, whatever the rounding of its scale."""
    spec = QuantSpec(bits, signed=signed)
    for width in (1e-30, 0.1, 1 / 3, 1.0, 3.7e9, MAX_MAGNITUDE):
        assert choose_qparams(0.0, width, spec).zero_point == spec.qmin
        expected = spec.qmin if width < SCALE_FLOOR else spec.qmax
        assert choose_qparams(-width, 0.0, spec).zero_point == expected


def test_the_floor_of_scales_is_met_exactly():
    edge = 255 * SCALE_FLOOR
    assert choose_qparams(0.0, edge, TENSOR).scale == SCALE_FLOOR == 2.0**-23
    assert choose_qparams(0.0, edge / 2, TENSOR).scale == SCALE_FLOOR
    assert choose_qparams(0.0, 2 * edge, TENSOR).scale == 2 * SCALE_FLOOR
    for high, scales in (([edge, 0.0], [SCALE_FLOOR, NEAR_DEAD * SCALE_FLOOR]), ([0.0, 0.0], [1.0, 1.0])):
        assert choose_qparams([0.0, 0.0], high, CHANNEL).scale.tolist() == scales
    tiny = choose_qparams([0.0, 0.0], [edge / 4, 0.0], CHANNEL).scale.tolist()
    assert tiny == [SCALE_FLOOR / 4, NEAR_DEAD * SCALE_FLOOR], "a channel is held against the floor of a tensor"


def test_unusable_ranges_are_named():
    cases = (
        ((-np.inf, 1.0), TENSOR, "range -inf .. 1.0 is not usable"),
        ((-1.0, np.nan), TENSOR, "range -1.0 .. nan is not usable"),
        (([0.0, -1.0, 0.0], [1.0, 2.0**127, np.inf]), CHANNEL, f"range -1.0 .. {2.0**127} in channel 1 is not usable"),
    )
    for bounds, spec, text in cases:
        with pytest.raises(ConfigError, match=r"2\*\*126") as caught:
            choose_qparams(*bounds, spec)
        assert str(caught.value).startswith(text)
    assert choose_qparams(-MAX_MAGNITUDE, MAX_MAGNITUDE, TENSOR).scale == float(np.float32(2.0**127 / 255))


def test_shapes_of_ranges_are_named_with_what_is_needed():
    with pytest.raises(ConfigError, match=r"shapes \(1,\) and \(1,\); .*'per_tensor' needs two numbers$"):
        choose_qparams([0.0], [1.0], TENSOR)
    with pytest.raises(ConfigError, match=r"shapes \(\) and \(\); .*'per_channel' needs arrays \(C,\)$"):
        choose_qparams(0.0, 1.0, CHANNEL)
    with pytest.raises(ConfigError, match=r"shapes \(1,\) and \(2,\)"):
        choose_qparams([0.0], [1.0, 1.0], CHANNEL)
    with pytest.raises(ConfigError, match=r"shapes \(1, 1\) and \(1, 1\)"):
        choose_qparams([[0.0]], [[1.0]], CHANNEL)
    with pytest.raises(ConfigError, match=r"low 2.0 above high 1.0"):
        choose_qparams(2.0, 1.0, TENSOR)


def test_parameters_equal_no_other_things():
    got = QParams(1.0, 0, TENSOR)
    assert (got == 3) is False and got != QParams(1.0, 0, QuantSpec(8, narrow=True))
    assert got != QParams(2.0, 0, TENSOR) and got != QParams(1.0, 1, TENSOR) and got == QParams(1, 0, QuantSpec(8))
