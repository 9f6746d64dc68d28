"""The folded steps, taken in NumPy lanes of 32 bits that wrap: where a row is called safe they give the reference."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dqnumba.kernels.dot.fold import Fold
from dqnumba.quant.fixed_point import requantize

ROWS, COLUMNS = 5, 4
INT32 = (-(1 << 31), (1 << 31) - 1)


def wrap(x):
    return (np.asarray(x) + (1 << 31)) % (1 << 32) - (1 << 31)


def lanes(fold, x):
    """What the vector kernels do with x, (R, C) integers, at any cost of the high bits."""
    x = wrap(x.astype(object))
    for stage in fold.folded:
        shape = (1, -1) if stage.kind == "channel" else (-1, 1)
        if stage.kind == "none":
            x = wrap(x + wrap(stage.constant.astype(object))) >> stage.right
            continue
        m, left, down = (wrap(t.astype(object)).reshape(shape) for t in (stage.multiplier, stage.left, stage.down))
        constant = wrap(stage.constant.astype(object).reshape(1, -1) * 2**down)
        x = wrap((wrap(x * 2**left) * m // 2**32) + constant) >> (stage.right + down)
    return x.astype(np.int64)


def stage_of(kind, multipliers, shifts, biases):
    shape = {"tensor": (1, 1), "row": (ROWS, 1), "channel": (1, COLUMNS)}[kind]
    size = shape[0] * shape[1]
    table = [np.array(values[:size], np.int64).reshape(shape) for values in (multipliers, shifts)]
    return *table, np.array(biases if len(biases) == 1 else biases[:COLUMNS], np.int64)[None]


multipliers = st.one_of(
    st.integers(1 << 30, (1 << 31) - 1), st.integers(-(1 << 31) + 1, -(1 << 30)),
    st.sampled_from([0, 1, -1, 3, 1 << 30, -(1 << 30), (1 << 31) - 1, 1 << 31, -(1 << 31), 1 << 20]),
)  # fmt: skip
shifts = st.one_of(st.integers(26, 48), st.integers(1, 62))
biases = st.one_of(st.integers(-(1 << 20), 1 << 20), st.just(0), st.integers(-(1 << 31), 1 << 31),
                   st.sampled_from([INT32[1], INT32[0], -(1 << 30), 1 << 30, 1 << 60]))  # fmt: skip


@st.composite
def stages(draw, multiplier=multipliers):
    kind = draw(st.sampled_from(["tensor", "row", "channel", "power"]))
    if kind == "power":  # what convert puts behind a channel's factor
        bits = draw(st.integers(0, 30))
        tables = [[1 << bits], [draw(st.integers(max(1, bits), min(62, bits + 31)))]]
        return stage_of("tensor", *tables, [draw(biases)])
    tables = [draw(st.lists(part, min_size=ROWS, max_size=ROWS)) for part in (multiplier, shifts)]
    return stage_of(kind, *tables, draw(st.one_of(st.lists(biases, min_size=1, max_size=1),
                                                  st.lists(biases, min_size=COLUMNS, max_size=COLUMNS))))  # fmt: skip


def largest_safe(fold, rows=ROWS):
    """For each row the largest magnitude that is still called safe, by bisection; -1 if none is."""
    low, high = np.full(rows, -1.0), np.full(rows, 2.0**31)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        safe = np.broadcast_to(fold.safe_rows(middle), (rows,))
        low, high = np.where(safe & (high - low > 1), middle, low), np.where(safe | (high - low <= 1), high, middle)
    return low


def check(fold, magnitude):
    """Inputs at the bound, near it and anywhere below; True if some row was safe."""
    safe = np.broadcast_to(fold.safe_rows(magnitude) & (magnitude >= 0), (ROWS,))
    edge = np.maximum(magnitude, 0).astype(np.int64)[:, None]
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [np.repeat(sign * np.maximum(edge - k, 0), COLUMNS, axis=1) for sign in (1, -1) for k in range(3)]
        + [rng.integers(-edge, edge + 1, (ROWS, COLUMNS)), np.zeros((ROWS, COLUMNS), np.int64)], axis=1,
    )  # fmt: skip
    for part in np.split(x, x.shape[1] // COLUMNS, axis=1):
        want = requantize(part, fold.stages, zero_point=fold.zero_point, low=-(1 << 40), high=1 << 40)
        got = lanes(fold, part) if fold.usable else want
        assert np.array_equal(got[safe], want[safe])
    return bool(safe.any())


@settings(max_examples=300)
@given(st.lists(stages(), min_size=1, max_size=3), st.sampled_from([0, 1, -128, 127, -32768, 32767, 5]))
def test_rows_called_safe_are(found, zero_point):
    fold = Fold(found, zero_point)
    check(fold, largest_safe(fold))
    check(fold, np.array([0.0, 1.0, 255.0, 2.0**20, 2.0**31]))


def converted(rng, kinds, reach):
    """Stages of the size that convert makes: sums of up to ``reach`` to codes, by way of guard bits."""
    found, scale = [], 100.0 / reach
    for k, kind in enumerate(kinds):
        shape = {"tensor": (1, 1), "row": (ROWS, 1), "channel": (1, COLUMNS)}[kind]
        factor = (scale * 2.0**14 if k == 0 else 2.0**-7) * rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)
        fraction, exponent = np.frexp(factor)
        bias = rng.integers(-(2**18), 2**18, (1, COLUMNS)) >> (7 * k)
        found.append((np.rint(fraction * 2.0**31 * (1 - 1e-9)).astype(np.int64), 31 - exponent.astype(np.int64), bias))
    return found


def test_what_convert_makes_is_safe_and_right():
    """The fast path is worth nothing if nothing takes it."""
    rng, safe, cases = np.random.default_rng(1), 0, 0
    for kinds in (
        ("tensor",),
        ("row",),
        ("channel",),
        ("channel", "tensor"),
        ("row", "channel"),
        ("channel", "row", "tensor"),
    ):
        for reach in (1e3, 1e5, 1e6):
            for _ in range(4):
                fold = Fold(converted(rng, kinds, reach), int(rng.integers(-128, 128)))
                safe += check(fold, np.full(ROWS, reach))
                cases += 1
    assert safe > 0.9 * cases


def test_small_ranges_whole():
    """Every input of 10 bits through every small multiplier and every shift to which a guard bit adds."""
    x, one = np.arange(-512, 512)[None].repeat(ROWS, 0), np.ones((1, 1), np.int64)
    for m in (-5, -4, -1, 0, 1, 2, 3, 7, (1 << 31) - 1):
        for s in (*range(1, 12), 31, 32, 33, 34, 61, 62):
            for bias, down in ((0, 1), (-3, 2), (1000, 0)):
                fold = Fold([(m * one, s * one, bias * one), (one, max(down, 1) * one, -bias * one)], 3)
                safe = fold.safe_rows(np.full(ROWS, 512.0))
                want = requantize(x, fold.stages, zero_point=3, low=-(1 << 40), high=1 << 40)
                assert not safe[0] or np.array_equal(lanes(fold, x), want), (m, s, bias)


def test_biases_that_cancel_do_not_hide_a_saturation():
    one = np.ones((1, 1), np.int64)
    up = (np.array([[3 << 29]]), 31 * one, INT32[1] * one)
    fold = Fold([up, (one, one, -(1 << 30) * one)], 0)
    assert abs(int(fold.folded[0].constant[0])) < 10, "the test has lost its point"
    assert not fold.safe_rows(np.array([100.0])).any()


def test_a_multiplier_that_is_no_int32_is_not_folded():
    for shape in ((1, 4), (5, 1)):
        table = np.full(shape, 1 << 31)
        assert not Fold([(table, table * 0 + 40, np.zeros((1, 1), np.int64))], 0).usable


def test_stages_of_other_shapes_are_left_to_the_exact_steps():
    one = np.ones((1, 1), np.int64)
    table = np.full((1, COLUMNS), 3 << 29)
    for stage in (
        (table, 40 * one, 0 * one),
        (one, 40 * one, np.zeros((ROWS, 1), np.int64)),
        (one * 3, one, one << 31),
    ):
        assert not Fold([stage], 0).safe_rows(np.ones(ROWS)).any()


def test_powers_of_two_and_zero_points_cost_no_stage_of_their_own():
    one, table = np.ones((1, 1), np.int64), np.full((1, COLUMNS), (3 << 29) + 1)
    assert [s.kind for s in Fold([(table, 44 * one.repeat(4, 1), one), (one << 30, 44 * one, one)], 7).folded] == [
        "channel"
    ]
    assert [s.kind for s in Fold([(one << 30, 44 * one, one)], 7).folded] == ["none"]
    assert Fold([], 0).folded == [] and [s.kind for s in Fold([], 7).folded] == ["none"]
