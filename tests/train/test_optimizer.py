"""Adam against a loop over scalars and against golden values; schedules against hand-counted epochs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dqnumba.autograd import Tensor
from dqnumba.errors import ConfigError
from dqnumba.train import Adam, Constant, Cosine, Plateau, StepDecay
from dqnumba.train.schedule import schedule_from_config


def scalar_adam(value, grads, *, lr, decay, beta1=0.9, beta2=0.999, eps=1e-8):
    """The update rule for one number, in Python floats."""
    m = v = 0.0
    for t, grad in enumerate(grads, start=1):
        g = grad + decay * value
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        root = math.sqrt(v) / math.sqrt(1 - beta2**t) + eps
        value -= lr / (1 - beta1**t) * m / root
    return value


@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-6)])
def test_adam_equals_a_loop_over_scalars(decay, dtype, tolerance):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 4)).astype(dtype)
    grads = rng.normal(size=(25, 3, 4)).astype(dtype)
    parameter = Tensor(start.copy(), requires_grad=True)
    optimizer = Adam({"w": parameter}, lr=0.03, weight_decay=decay)
    for grad in grads:
        parameter.grad = grad
        optimizer.step()
    wanted = np.empty((3, 4))
    for place in np.ndindex(3, 4):
        own = grads[(slice(None), *place)].astype(float)
        wanted[place] = scalar_adam(float(start[place]), own, lr=0.03, decay=decay)
    assert parameter.data.dtype == dtype
    np.testing.assert_allclose(parameter.data, wanted, rtol=tolerance, atol=tolerance)


def test_adam_golden_values():
    # Worked by hand: after one step m/(1-b1) = g and sqrt(v/(1-b2)) = |g|, so the move is lr * g / (|g| + eps);
    # a second equal gradient moves by the same amount.
    parameter = Tensor(np.array([1.0, -2.0, 0.5]), requires_grad=True)
    optimizer = Adam({"w": parameter}, lr=0.1)
    for wanted in ([0.9, -1.9, 0.5], [0.8, -1.8, 0.5]):
        parameter.grad = np.array([0.3, -5.0, 0.0])
        optimizer.step()
        np.testing.assert_allclose(parameter.data, wanted, rtol=0, atol=1e-8)


def test_eps_stands_outside_the_bias_correction():
    # With a tiny gradient the place of eps decides: |g| / (|g| + eps) = 1/2 here, not 1 / (1 + 31.6).
    parameter = Tensor(np.array([0.0]), requires_grad=True)
    optimizer = Adam({"w": parameter}, lr=1.0, eps=1e-3)
    parameter.grad = np.array([1e-3])
    optimizer.step()
    np.testing.assert_allclose(parameter.data, [-0.5], rtol=1e-9)


def test_a_parameter_without_gradient_is_left_alone():
    still, moving = Tensor(np.ones(2), requires_grad=True), Tensor(np.ones(2), requires_grad=True)
    optimizer = Adam({"a": still, "b": moving}, lr=0.1, weight_decay=0.1)
    moving.grad = np.ones(2)
    optimizer.step()
    assert np.array_equal(still.data, np.ones(2))
    assert not np.array_equal(moving.data, np.ones(2))


def test_weight_decay_leaves_out_what_it_is_told_to():
    moves = {}
    for undecayed in ((), ("a",)):
        both = {name: Tensor(np.full(2, 3.0), requires_grad=True) for name in "ab"}
        optimizer = Adam(both, lr=0.1, weight_decay=0.5, undecayed=undecayed)
        for parameter in both.values():
            parameter.grad = np.array([0.2, -0.3])
        optimizer.step()
        moves[undecayed] = {name: parameter.data for name, parameter in both.items()}
    assert np.array_equal(moves[()]["b"], moves["a",]["b"])
    assert (moves[()]["a"] < 3).all() and (moves["a",]["a"] > 3).tolist() == [False, True]


def test_a_parameter_that_is_not_contiguous_is_updated():
    parameter = Tensor(np.ones((2, 3)).T, requires_grad=True)
    parameter.grad = np.ones((3, 2))
    Adam({"w": parameter}, lr=0.1).step()
    np.testing.assert_allclose(parameter.data, 0.9, atol=1e-8)


def test_state_goes_on_to_the_same_bits():
    rng = np.random.default_rng(1)
    grads = rng.normal(size=(6, 5)).astype(np.float32)
    start = rng.normal(size=5).astype(np.float32)
    whole = Tensor(start.copy(), requires_grad=True)
    optimizer = Adam({"w": whole}, lr=0.05, weight_decay=0.01)
    for i, grad in enumerate(grads):
        if i == 3:
            halfway, state = whole.data.copy(), optimizer.state_dict()
        whole.grad = grad
        optimizer.step()
    resumed = Tensor(halfway, requires_grad=True)
    second = Adam({"w": resumed}, lr=0.05, weight_decay=0.01)
    second.load_state_dict(state)
    for grad in grads[3:]:
        resumed.grad = grad
        second.step()
    assert np.array_equal(resumed.data, whole.data)


def test_adam_refuses_what_cannot_work():
    parameter = {"w": Tensor(np.ones(2), requires_grad=True)}
    for options in ({"lr": 0.0}, {"lr": float("nan")}, {"weight_decay": -1.0}, {"betas": (0.9, 1.0)}, {"eps": 0.0}):
        with pytest.raises(ConfigError):
            Adam(parameter, **options)
    other = Adam({"v": Tensor(np.ones(3), requires_grad=True)}).state_dict()
    with pytest.raises(ConfigError, match="another model"):
        Adam(parameter).load_state_dict(other)


def rates(schedule, values, lr=1.0):
    schedule.start(lr)
    seen = []
    for epoch, value in enumerate(values, start=1):
        seen.append(schedule.lr)
        schedule.after_epoch(epoch, value)
    return seen


def test_constant_and_step():
    assert rates(Constant(), [None] * 3) == [1.0] * 3
    assert rates(StepDecay(factor=0.5, every=2), [None] * 5) == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_cosine():
    wave = rates(Cosine(over=4, floor=0.2), [None] * 6, lr=2.0)
    half = math.cos(math.pi / 4)
    wanted = [0.2 + 0.8 * share for share in (1.0, 0.5 + 0.5 * half, 0.5, 0.5 - 0.5 * half, 0.0, 0.0)]
    np.testing.assert_allclose(wave, 2.0 * np.array(wanted))
    first, second = Cosine(over=4), Cosine(over=4)
    head = rates(first, [None] * 2)
    second.start(9.0)
    second.load_state_dict(first.state_dict())
    assert second.lr == first.lr
    second.after_epoch(3, None)
    assert head == rates(Cosine(over=4), [None] * 2) and second.lr == pytest.approx(0.5 - 0.5 * half)


def test_plateau_waits_for_more_than_its_patience_and_then_ends():
    # best in epoch 1; epochs 2, 3, 4 are bad: the third bad one exceeds a patience of 2
    schedule = Plateau(factor=0.1, patience=2, min_lr=0.05)
    assert rates(schedule, [1.0, 1.0, 1.1, 0.99995, 0.5, 0.5]) == [1.0, 1.0, 1.0, 1.0, 0.1, 0.1]
    assert not schedule.done
    for epoch in (7, 8):
        schedule.after_epoch(epoch, 0.6)
    assert schedule.lr == pytest.approx(0.01)
    assert schedule.done


def test_plateau_state_round_trip():
    values = [1.0, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99]
    whole = rates(Plateau(patience=1), values)
    first, second = Plateau(patience=1), Plateau(patience=1)
    head = rates(first, values[:3])
    second.start(9.0)
    second.load_state_dict(first.state_dict())
    tail = []
    for epoch, value in enumerate(values[3:], start=4):
        tail.append(second.lr)
        second.after_epoch(epoch, value)
    assert head + tail == whole


def test_schedule_from_config():
    assert isinstance(schedule_from_config(None), Constant)
    assert schedule_from_config({"kind": "step", "every": 7}).every == 7
    assert schedule_from_config({"kind": "cosine", "over": 7}).over == 7
    for config in ({"kind": "cosine"}, {"kind": "wave"}, {"kind": "step", "patience": 3}, {}):
        if config:
            with pytest.raises(ConfigError):
                schedule_from_config(config)
    for wrong in (lambda: StepDecay(factor=1.5), lambda: StepDecay(every=0), lambda: Plateau(patience=-1),
                  lambda: Cosine(over=0), lambda: Cosine(over=5, floor=1.0)):  # fmt: skip
        with pytest.raises(ConfigError):
            wrong()
