"""Fake quantization on the tape: values, masks and the three gradient rules."""

import numpy as np
import pytest

from dqnumba.autograd import Tensor, fake_quantize, no_grad
from dqnumba.errors import ConfigError

X = np.array([[-9.0, -8.0, -7.4, 0.3, 7.0, 7.4, 8.0, 99.0]])  # scale 1, zero point 0, codes -8 .. 7
PASSES = {
    "ste": [1, 1, 1, 1, 1, 1, 1, 1],
    "clip": [0, 1, 1, 1, 1, 1, 0, 0],
    "clip_inclusive": [0, 0, 1, 1, 0, 0, 0, 0],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, np.ones(8)])
@pytest.mark.parametrize("rule", PASSES)
def test_rules(rule, scale, dtype):
    x = Tensor(X.astype(dtype), requires_grad=True)
    out = fake_quantize(x, scale, 0, -8, 7, rule=rule)
    assert np.array_equal(out.data, [[-8, -8, -7, 0, 7, 7, 7, 7]])
    out.backward(np.full(X.shape, 3.0))
    assert np.array_equal(x.grad, np.multiply(PASSES[rule], 3)[None])
    assert out.dtype == x.grad.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, np.ones(8)])
@pytest.mark.parametrize("rule", PASSES)
def test_protected_rows_and_their_gradients_are_untouched(rule, scale, dtype):
    x = Tensor(np.repeat(X, 3, axis=0).astype(dtype), requires_grad=True)
    out = fake_quantize(x, scale, 0, -8, 7, protected=np.array([False, True, False]), rule=rule)
    assert np.array_equal(out.data[1], X[0].astype(dtype))
    assert np.array_equal(out.data[0], out.data[2])
    out.backward(np.ones(x.shape))
    assert np.array_equal(x.grad, [PASSES[rule], np.ones(8), PASSES[rule]])


def test_float32_and_float64_paths_agree_with_affine():
    affine = pytest.importorskip("dqnumba.quant")
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((40, 6)) * 3).astype(np.float32)
    qparams = affine.choose_qparams(x.min(), x.max(), affine.QuantSpec(bits=8))
    got = fake_quantize(Tensor(x), qparams.scale, qparams.zero_point, qparams.spec.qmin, qparams.spec.qmax)
    assert np.array_equal(got.data, affine.fake_quantize(x, qparams))


def test_zero_point_and_scale_by_channel():
    x = Tensor(np.array([[0.26, 0.26], [-9.0, -9.0]], np.float32))
    out = fake_quantize(x, np.array([0.5, 0.25]), np.array([3, -1]), -8, 7)
    assert np.array_equal(out.data, [[0.5, 0.25], [-5.5, -1.75]])


def test_without_a_tape_and_with_wrong_rule():
    x = Tensor(X.astype(np.float32), requires_grad=True)
    with no_grad():
        assert not fake_quantize(x, 1.0, 0, -8, 7).requires_grad
    with pytest.raises(ConfigError, match="allowed are 'ste', 'clip', 'clip_inclusive'"):
        fake_quantize(x, 1.0, 0, -8, 7, rule="clipped")


def test_vectors_and_views():
    out = fake_quantize(Tensor(X[0].astype(np.float32)), 1.0, 0, -8, 7)
    assert out.shape == (8,)
    assert np.array_equal(fake_quantize(Tensor(X.astype(np.float32).T), 1.0, 0, -8, 7).data[:, 0], out.data)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_of_nothing(shape, dtype):
    x = Tensor(np.zeros(shape, dtype), requires_grad=True)
    out = fake_quantize(x, 0.5, 0, -8, 7, rule="clip")
    out.backward(np.zeros(shape, dtype))
    assert out.shape == x.grad.shape == shape and out.dtype == dtype
