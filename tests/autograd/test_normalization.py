"""Batch normalization: statistics, both gradients, precision."""

import naive
import numpy as np
import pytest

from dqnumba.autograd import Tensor, affine_columns, batch_norm, gradcheck

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("rows", [1, 2, 255, 256, 257, 700])
@pytest.mark.parametrize("eps", [1e-5, 1e-2])
def test_training_statistics_and_gradient(rows, eps):
    x, gamma, beta = RNG.standard_normal((rows, 3)) * 2 + 1, RNG.standard_normal(3), RNG.standard_normal(3)
    out, mean, var = batch_norm(Tensor(x), Tensor(gamma), Tensor(beta), eps=eps)
    assert np.allclose(mean, x.mean(axis=0), rtol=1e-12)
    assert np.allclose(var, x.var(axis=0), rtol=1e-12)
    assert np.allclose(out.data, naive.batch_norm(x, gamma, beta, mean, var, eps), rtol=1e-10)
    if rows > 1:  # of one row the gradient is zero, and finite differences see only rounding
        gradcheck(lambda *t: batch_norm(*t, eps=eps)[0], [x, gamma, beta])


def test_evaluation_uses_constants():
    x, gamma, beta = RNG.standard_normal((9, 3)), RNG.standard_normal(3), RNG.standard_normal(3)
    mean, var = RNG.standard_normal(3), RNG.uniform(0.5, 2, 3)
    out, used_mean, used_var = batch_norm(Tensor(x), Tensor(gamma), Tensor(beta), mean=mean, var=var)
    assert np.array_equal(used_mean, mean)
    assert np.array_equal(used_var, var)
    assert np.allclose(out.data, naive.batch_norm(x, gamma, beta, mean, var, 1e-5), rtol=1e-10)
    gradcheck(lambda *t: batch_norm(*t, mean=mean, var=var)[0], [x, gamma, beta])


def test_types_stay():
    x = Tensor(RNG.standard_normal((9, 3)).astype(np.float32), requires_grad=True)
    gamma, beta = (Tensor(np.ones(3, np.float32), requires_grad=True) for _ in range(2))
    out, mean, var = batch_norm(x, gamma, beta)
    out.backward(np.ones((9, 3)))
    assert {a.dtype for a in (out.data, mean, var, x.grad, gamma.grad, beta.grad)} == {np.dtype(np.float32)}


def test_variance_of_values_far_from_zero():
    # The textbook E[x^2] - E[x]^2 in float32 would give 0 or worse here.
    x = (RNG.standard_normal((5000, 2)) + 4096).astype(np.float32)
    _, mean, var = batch_norm(Tensor(x), Tensor(np.ones(2, np.float32)), Tensor(np.zeros(2, np.float32)))
    assert np.allclose(mean, x.astype(np.float64).mean(axis=0), rtol=1e-7)
    assert np.allclose(var, x.astype(np.float64).var(axis=0), rtol=1e-5)


def test_misuse():
    one = Tensor(np.ones(3))
    with pytest.raises(ValueError, match="only one of mean and var"):
        batch_norm(Tensor(np.ones((2, 3))), one, one, mean=np.ones(3))
    with pytest.raises(ValueError, match="no rows"):
        batch_norm(Tensor(np.ones((0, 3))), one, one)


def test_affine_columns():
    x, scale, shift = RNG.standard_normal((40, 6)), RNG.standard_normal(6), RNG.standard_normal(6)
    gradcheck(lambda t: affine_columns(t, scale, shift), [x])
    narrow = x.astype(np.float32)
    out = affine_columns(Tensor(narrow), scale, shift).data
    assert np.array_equal(out, narrow * scale.astype(np.float32) + shift.astype(np.float32))
    assert affine_columns(Tensor(narrow[:0]), scale, shift).shape == (0, 6)
