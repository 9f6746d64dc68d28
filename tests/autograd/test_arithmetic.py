"""Operators: values, gradients with broadcasting, and the discipline of types."""

import numpy as np
import pytest

from dqnumba.autograd import Tensor, concat, exp, gradcheck, linear, log, matmul

RNG = np.random.default_rng(0)
SHAPES = [((4, 3), (4, 3)), ((4, 3), (3,)), ((4, 3), (1, 3)), ((4, 3), (4, 1)), ((4, 3), ()), ((4, 1), (1, 3)),
          ((3,), (4, 3)), ((2, 4, 3), (4, 1)), ((0, 3), (3,)), ((300, 2), (2,))]  # fmt: skip


def away_from_zero(shape):
    return RNG.uniform(0.5, 2, shape) * RNG.choice([-1, 1], shape)


@pytest.mark.parametrize(("left", "right"), SHAPES)
@pytest.mark.parametrize(
    "function", [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b], ids="+-*/"
)
def test_binary_operators_broadcast(function, left, right):
    a, b = away_from_zero(left), away_from_zero(right)
    assert np.array_equal(function(Tensor(a), Tensor(b)).data, function(a, b))
    gradcheck(function, [a, b])


@pytest.mark.parametrize("right", [(2000, 40), (40,), (2000, 1), (1, 40)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_many_have_the_bits_of_numpy(right, dtype):
    a, b = RNG.standard_normal((2000, 40)).astype(dtype), RNG.standard_normal(right).astype(dtype)
    assert np.array_equal((Tensor(a) + Tensor(b)).data, a + b)
    assert np.array_equal((Tensor(b) + Tensor(a)).data, a + b)
    assert np.array_equal((Tensor(a[:, ::-1]) + Tensor(b)).data, a[:, ::-1] + b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("other", [2, 2.5, np.float64(2.5), np.float32(2.5), np.full(3, 2.5), np.arange(1, 4)])
def test_constants_on_either_side_adopt_the_type(dtype, other):
    x = Tensor(np.array([1.0, -2.0, 4.0], dtype), requires_grad=True)
    constant = np.asarray(other, dtype)
    cases = [
        (x + other, x.data + constant), (other + x, constant + x.data), (x - other, x.data - constant),
        (other - x, constant - x.data), (x * other, x.data * constant), (other * x, constant * x.data),
        (x / other, x.data / constant), (other / x, constant / x.data),
    ]  # fmt: skip
    for got, expected in cases:
        assert got.dtype == dtype
        assert np.array_equal(got.data, expected)
        got.sum().backward()
    assert x.grad.dtype == dtype


def test_two_types_do_not_mix():
    a, b = Tensor(np.ones((2, 2), np.float32)), Tensor(np.ones((2, 2)))
    for function in (lambda: a + b, lambda: a @ b, lambda: linear(a, b), lambda: concat([a, b])):
        with pytest.raises(TypeError, match="float32 and float64"):
            function()


@pytest.mark.parametrize(
    "function", [exp, lambda x: -x, lambda x: x.T, lambda x: x.reshape(6, 2), lambda x: x.reshape(-1)]
)
def test_unary(function):
    gradcheck(function, [RNG.standard_normal((4, 3))])


def test_log():
    gradcheck(log, [RNG.uniform(0.5, 2, (4, 3))])


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(axis, keepdims):
    x = RNG.standard_normal((4, 3))
    for name in ("sum", "mean"):
        got = getattr(Tensor(x), name)(axis=axis, keepdims=keepdims)
        assert np.array_equal(got.data, getattr(x, name)(axis=axis, keepdims=keepdims))
        gradcheck(lambda t, name=name: getattr(t, name)(axis=axis, keepdims=keepdims), [x])
    assert Tensor(x.astype(np.float32)).mean().dtype == np.float32


@pytest.mark.parametrize(("n", "k", "m"), [(4, 3, 2), (1, 1, 1), (0, 3, 2), (300, 9, 4), (3, 9, 12), (2050, 6, 3)])
def test_matmul_and_linear(n, k, m):
    x, w, b = RNG.standard_normal((n, k)), RNG.standard_normal((k, m)), RNG.standard_normal(m)
    assert np.allclose((Tensor(x) @ w).data, x @ w, rtol=1e-12, atol=1e-12)
    assert np.allclose((x @ Tensor(w)).data, x @ w, rtol=1e-12, atol=1e-12)
    gradcheck(matmul, [x, w])
    gradcheck(linear, [x, w])
    assert np.allclose(linear(Tensor(x), Tensor(w), Tensor(b)).data, x @ w + b, rtol=1e-12, atol=1e-12)
    gradcheck(linear, [x, w, b])


@pytest.mark.parametrize(("n", "k", "m"), [(300, 9, 4), (50, 3, 16), (1100, 20, 32), (0, 4, 16)])
def test_linear_with_relu(n, k, m):
    x, w, b = RNG.standard_normal((n, k)), RNG.standard_normal((k, m)), RNG.standard_normal(m)
    wanted = np.maximum(x @ w + b, 0)
    assert np.allclose(linear(Tensor(x), Tensor(w), Tensor(b), relu=True).data, wanted, rtol=1e-12, atol=1e-12)
    gradcheck(lambda *t: linear(*t, relu=True), [x, w, b], eps=1e-7)
    narrow = [Tensor(a.astype(np.float32), requires_grad=True) for a in (x, w, b)]
    exact = [Tensor(a.data.astype(np.float64), requires_grad=True) for a in narrow]
    grad = RNG.standard_normal((n, m))
    for tensors, dtype in ((narrow, np.float32), (exact, np.float64)):
        linear(*tensors, relu=True).backward(grad.astype(dtype))
    for tensor, reference in zip(narrow, exact, strict=True):  # float32 runs by tiles where M is a multiple of 16
        assert np.allclose(tensor.grad, reference.grad, rtol=1e-4, atol=1e-3)


def test_linear_refuses_other_shapes():
    w = Tensor(np.ones((3, 16), np.float32))
    with pytest.raises(ValueError, match=r"\(2, 4\) and \(3, 16\)"):
        linear(np.ones((2, 4), np.float32), w)
    with pytest.raises(ValueError, match="bias of shape"):
        linear(np.ones((2, 3), np.float32), w, Tensor(np.ones(15, np.float32)))


def test_matmul_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 3\)"):
        matmul(np.ones((2, 3)), np.ones((2, 3)))


def test_linear_of_a_constant_input():
    w = Tensor(np.ones((3, 2), np.float32), requires_grad=True)
    linear(np.ones((4, 3)), w, Tensor(np.zeros(2, np.float32))).sum().backward()
    assert np.array_equal(w.grad, np.full((3, 2), 4))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat(axis):
    a, b, c = (RNG.standard_normal((2, 2)) for _ in range(3))
    assert np.array_equal(concat([Tensor(a), b, Tensor(c)], axis).data, np.concatenate([a, b, c], axis))
    gradcheck(lambda *t: concat(t, axis), [a, b, c])


def test_bias_gradient_of_many_rows_is_precise():
    # A running float32 sum over 10^6 rows of 0.1 would end up at about 100958.
    bias = Tensor(np.zeros(2, np.float32), requires_grad=True)
    (Tensor(np.zeros((1_000_000, 2), np.float32)) + bias).backward(np.full((1_000_000, 2), 0.1, np.float32))
    assert np.allclose(bias.grad, 1e5, rtol=256 * 2**-24)  # a chunk is 256 rows
