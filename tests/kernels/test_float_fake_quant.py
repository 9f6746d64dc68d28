"""The fake quantization kernels have the bits of the NumPy expression that defines them."""

import numpy as np
import pytest

from dqnumba.kernels import fake_quant
from dqnumba.kernels.fake_quant import RULE_CLIP, RULE_CLIP_INCLUSIVE, RULE_STE

RNG = np.random.default_rng(0)
F = np.float32


def values(rows, channels, scale):
    """Ordinary values, exact halves (ties of the rounding), values far outside, both zeros."""
    x = RNG.standard_normal((rows, channels)) * 90 * scale
    x[::3] = (RNG.integers(-300, 300, x[::3].shape) + 0.5) * scale
    x[0, 0], x[-1, -1] = -0.0, 1e30
    return x.astype(F)


def expression(x, scale, zero_point, qmin, qmax):
    inverse = F(1) / scale
    return (np.clip(np.rint(x * inverse + zero_point), qmin, qmax) - zero_point) * scale


def run(form, function, x, scale, zero_point, qmin, qmax, protected, rule, wanted=True):
    out = np.full(x.shape, np.nan, F)
    passed = np.full(x.shape if wanted else (0, 0), 7, np.uint8)
    kernel = function if form == "call" else getattr(function, form)
    kernel(x, scale, F(1) / scale, zero_point, F(qmin), F(qmax), protected, out, passed, rule)
    return out, passed


@pytest.mark.parametrize("form", ["serial", "parallel", "call"])
@pytest.mark.parametrize(
    ("qmin", "qmax", "zero"), [(-128, 127, 3), (0, 255, 100), (-8, 7, -8), (-127, 127, 0), (0, 1, 1)]
)
@pytest.mark.parametrize("scale", [F(1), F(0.3), F(1e-7), F(0.0123)])
@pytest.mark.parametrize("rule", [RULE_STE, RULE_CLIP, RULE_CLIP_INCLUSIVE])
def test_bits_of_the_expression(form, qmin, qmax, zero, scale, rule):
    x = values(41, 67, scale)
    protected = RNG.random(41) < 0.2
    expected = expression(x, scale, F(zero), F(qmin), F(qmax))
    q = np.rint(x * (F(1) / scale) + F(zero))
    passes = {RULE_STE: q == q, RULE_CLIP: (q >= qmin) & (q <= qmax), RULE_CLIP_INCLUSIVE: (q > qmin) & (q < qmax)}
    for mask in (np.empty(0, bool), protected):
        keep = mask[:, None] if mask.size else False
        out, passed = run(form, fake_quant.fake_quantize, x, scale, F(zero), qmin, qmax, mask, rule)
        # + 0.0 makes the two zeros one: np.clip may return either where -0.0 meets a bound of 0.
        assert np.array_equal((out + F(0)).view(np.int32), (np.where(keep, x, expected) + F(0)).view(np.int32))
        assert np.array_equal(passed, passes[rule] | keep)


@pytest.mark.parametrize("form", ["serial", "parallel"])
@pytest.mark.parametrize("rule", [RULE_STE, RULE_CLIP, RULE_CLIP_INCLUSIVE])
@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_in_place(form, rule, positive, masked):
    x = values(41, 67, F(0.3))
    x = np.maximum(x, 0) if positive else x
    protected = RNG.random(41) < 0.2 if masked else np.empty(0, bool)
    expected, passes = run(form, fake_quant.fake_quantize, x, F(0.3), F(3), -128, 127, protected, rule)
    out, passed = x.copy(), np.full(x.shape, 7, np.uint8)
    limits = F(0.3), F(1) / F(0.3), F(3), F(-128), F(127)
    getattr(fake_quant.fake_quantize_in_place, form)(*limits, protected, rule, positive, out, passed)
    assert np.array_equal(out.view(np.int32), expected.view(np.int32))
    assert np.array_equal(passed, passes & (x > 0) if positive else passes)


@pytest.mark.parametrize("form", ["serial", "parallel"])
@pytest.mark.parametrize("rule", [RULE_CLIP, RULE_CLIP_INCLUSIVE])
def test_channels_are_columns_of_the_scalar_form(form, rule):
    scale, zero = RNG.uniform(0.01, 1, 9).astype(F), RNG.integers(-5, 5, 9).astype(F)
    x = values(33, 9, 1) * scale
    mask = RNG.random(33) < 0.2
    out, passed = run(form, fake_quant.fake_quantize_channels, x, scale, zero, -128, 127, mask, rule)
    for j in range(9):
        column = np.ascontiguousarray(x[:, j : j + 1])
        one, one_passed = run("serial", fake_quant.fake_quantize, column, scale[j], zero[j], -128, 127, mask, rule)
        assert np.array_equal(out[:, j : j + 1].view(np.int32), one.view(np.int32))
        assert np.array_equal(passed[:, j : j + 1], one_passed)


def test_no_gradient_wanted_and_nan():
    x = np.array([[np.nan, 1.0]], F)
    out, passed = run("serial", fake_quant.fake_quantize, x, F(1), F(0), -8, 7, np.empty(0, bool), RULE_CLIP, False)
    assert np.isnan(out[0, 0])
    assert out[0, 1] == 1
    assert passed.size == 0
    _, passed = run("serial", fake_quant.fake_quantize, x, F(1), F(0), -8, 7, np.empty(0, bool), RULE_CLIP)
    assert passed.tolist() == [[0, 1]]


@pytest.mark.parametrize("form", ["serial", "parallel"])
def test_masked_gradient(form):
    grad, passed = RNG.standard_normal(500).astype(F), RNG.integers(0, 2, 500).astype(np.uint8)
    out = np.empty_like(grad)
    getattr(fake_quant.masked_gradient, form)(grad, passed, out)
    assert np.array_equal(out, np.where(passed == 1, grad, 0))
