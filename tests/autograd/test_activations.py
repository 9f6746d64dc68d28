"""ReLU, leaky ReLU, dropout, log-softmax."""

import numpy as np
import pytest

from dqnumba.autograd import Tensor, dropout, gradcheck, leaky_relu, log_softmax, no_grad, relu
from dqnumba.errors import ConfigError

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(0.1, 2, (6, 5)) * RNG.choice([-1, 1], (6, 5))  # no point near the kink


def test_relu():
    x = Tensor(np.array([[-1.0, 0.0, 2.0, np.nan, np.inf]], np.float32), requires_grad=True)
    out = relu(x)
    assert np.array_equal(out.data, np.maximum(x.data, 0), equal_nan=True)
    out.backward(np.full((1, 5), 3, np.float32))
    assert np.array_equal(x.grad, [[0, 0, 3, 0, 3]])
    gradcheck(relu, [POINTS])


def test_relu_in_place_overwrites_recorded_values_only():
    x = Tensor(POINTS.copy(), requires_grad=True)
    y = x + 0.0
    out = relu(y, in_place=True)
    assert out.data is y.data and np.array_equal(out.data, np.maximum(POINTS, 0))
    out.backward(POINTS)
    assert np.array_equal(x.grad, POINTS * (POINTS > 0))
    with no_grad():
        y = x + 0.0
        assert np.array_equal(relu(y, in_place=True).data, out.data) and np.array_equal(y.data, POINTS)
    constant = Tensor(POINTS)
    assert relu(constant, in_place=True).data is not constant.data
    gradcheck(lambda t: relu(t * 1.0, in_place=True), [POINTS])


@pytest.mark.parametrize("slope", [0.2, 0.01])
def test_leaky_relu(slope):
    assert np.array_equal(leaky_relu(Tensor(POINTS), slope).data, np.where(POINTS > 0, POINTS, slope * POINTS))
    gradcheck(lambda x: leaky_relu(x, slope), [POINTS])
    assert leaky_relu(Tensor(POINTS.astype(np.float32)), slope).dtype == np.float32


def test_activations_accept_views():
    x = POINTS[::2, ::-1]
    gradcheck(relu, [x.T])
    assert np.array_equal(relu(Tensor(x)).data, np.maximum(x, 0))
    x = Tensor(POINTS, requires_grad=True)
    relu(x.T).T.backward(POINTS)
    assert np.array_equal(x.grad, POINTS * (POINTS > 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_follows_the_draws_it_is_given(dtype):
    x = Tensor(RNG.standard_normal((50, 7)).astype(dtype), requires_grad=True)
    out = dropout(x, 0.3, np.random.default_rng(5))
    keep = np.random.default_rng(5).random(x.shape, dtype=np.float32) >= np.float32(0.3)
    factor = dtype(1 / 0.7)
    assert np.array_equal(out.data, np.where(keep, x.data * factor, 0))
    assert 0 < keep.mean() < 1
    out.backward(np.ones(x.shape, dtype))
    assert np.array_equal(x.grad, keep * factor)
    assert out.dtype == x.grad.dtype == dtype
    gradcheck(lambda t: dropout(t, 0.3, np.random.default_rng(5)), [x])


def test_dropout_of_nothing_draws_nothing():
    x, rng = Tensor(POINTS), np.random.default_rng(0)
    assert dropout(x, 0.0, rng) is x
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("p", [-0.1, 1, 1.5, float("nan")])
def test_dropout_refuses_other_probabilities(p):
    with pytest.raises(ConfigError, match="allowed are 0 <= p < 1"):
        dropout(Tensor(POINTS), p, np.random.default_rng(0))


def test_log_softmax():
    x = RNG.standard_normal((4, 6))
    expected = np.log(np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))
    assert np.allclose(log_softmax(Tensor(x)).data, expected, rtol=1e-12)
    gradcheck(log_softmax, [x])
    extreme = log_softmax(Tensor(np.array([[1e4, -1e4, 1e4]], np.float32)))
    assert np.allclose(extreme.data, [[-np.log(2), -2e4 - np.log(2), -np.log(2)]])
