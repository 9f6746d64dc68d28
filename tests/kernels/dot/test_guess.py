"""The bound of a guess against exact rational numbers, in floats that are rounded here by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fold import COLUMNS, ROWS, largest_safe, stages

from dqnumba.kernels.dot.fold import Fold, Own
from dqnumba.kernels.dot.guess import factors, guess_of, share_in_doubt
from dqnumba.quant.fixed_point import requantize


def float32(value):
    """The nearest float32 of a rational number, ties to even, as a rational number."""
    if not value:
        return Fraction(0)
    exponent = max(abs(value).numerator.bit_length() - abs(value).denominator.bit_length() - 25, -149)
    unit = Fraction(2) ** exponent
    while abs(value) / unit >= 1 << 24:
        unit *= 2
    return round(value / unit) * unit  # Python rounds ties to even


def test_rounding_by_hand_is_that_of_numpy():
    rng = np.random.default_rng(0)
    for value in (
        *rng.standard_normal(200),
        *rng.uniform(1, 1 << 40, 200),
        2.0**24 + 1,
        2.0**24 + 3,
        1 - 2.0**-25,
        3e-39,
    ):
        assert float32(Fraction(value)) == Fraction(float(np.float32(value)))


def constants(fold, row, channel):
    """M and C of the stages, exact."""
    for stage in fold.folded:
        m = Fraction(1, 1 << stage.right)
        if stage.kind != "none":
            at = (channel if stage.kind == "channel" else row) % len(stage.multiplier)
            m = Fraction(int(stage.multiplier[at]), 1 << int(stage.shift[at] + stage.right))
        yield m, Fraction(int(stage.constant[channel % len(stage.constant)]), 1 << stage.right)


def guessed(fold, guess, x, row, channel, fused, own=None, code=0):
    """z of the last stage, as the vectors take it."""

    def multiply_add(a, b, c):
        return float32(a * b + c) if fused else float32(float32(a * b) + c)

    z = float32(Fraction(x + (code if guess.join == "sum" else 0)))
    if guess.join == "scaled":
        z = multiply_add(Fraction(code), Fraction(guess.weight), z)
    for k, stage in enumerate(fold.folded):
        at = channel if stage.kind == "channel" else row
        f = np.ldexp(factors(stage), 0 if k else guess.gain).astype(np.float32)
        c = guess.constants[k].astype(np.float32)
        z = multiply_add(z, Fraction(float(f[at % len(f)])), Fraction(float(c[channel % len(c)])))
    return z


def check(fold, guess, xs, row, channel, low, high, own=None, code=0):
    """The guess is never too low and never more than 2 E too high; what is not in doubt is right. How many were not."""
    reach, sure = max(abs(low), abs(high)) + 1, 0
    for x in xs:
        t = x << own.left if own else x
        t += own.weight * (code - own.zero) if own else 0
        for m, c in constants(fold, row, channel):
            a = t * m + c
            t = a // 1
        for fused in (True, False):
            z = guessed(fold, guess, x, row, channel, fused, own, code)
            if abs(a) <= reach:
                assert a <= z <= a + 2 * Fraction(guess.error), (x, float(a), float(z - a), guess.error)
            if z - z // 1 >= Fraction(float(guess.doubt)):
                sure += 1
                assert min(max(z // 1, low), high) == min(max(t, low), high), (x, float(a), float(z))
    return sure


def near_steps(fold, row, channel, low, high, limit, scale=1):
    """Inputs around those where the code steps, for codes at both ends, in the middle and beyond."""
    found = {0, limit, -limit}
    for code in (low - 1, low, low + 1, (low + high) // 2, 0, 1, high - 1, high, high + 1, high + 2):
        value = Fraction(code)
        for m, c in reversed(list(constants(fold, row, channel))):
            value = (value - c) / m if m else Fraction(0)
        found |= {int(value // scale) + k for k in (-2, -1, 0, 1, 2)}
    return sorted(x for x in found if abs(x) <= limit)


RANGES = st.sampled_from([(-128, 127), (-8, 7), (0, 127), (-128, -100), (-(1 << 15), (1 << 15) - 1)])


@settings(max_examples=150, deadline=None)
@given(st.lists(stages(), min_size=1, max_size=3), st.sampled_from([0, -128, 127, 5]), RANGES, st.randoms())
def test_the_bound_holds_and_what_is_not_in_doubt_is_right(found, zero_point, ends, random):
    fold = Fold(found, zero_point)
    guess = guess_of(fold, *ends)
    if guess is None or guess.error >= 0.25:
        return
    limits = largest_safe(fold)
    for row in range(ROWS):
        if limits[row] < 0:
            continue
        limit, channel = int(limits[row]), random.randrange(COLUMNS)
        xs = near_steps(fold, row, channel, *ends, limit) + [random.randint(-limit, limit) for _ in range(4)]
        check(fold, guess, xs, row, channel, *ends)


def convert_like(rng, kinds, reach):
    """Stages as convert makes them: sums of up to ``reach`` fill the codes."""
    found = []
    for k, kind in enumerate(kinds):
        shape = {"tensor": (1, 1), "row": (ROWS, 1), "channel": (1, COLUMNS)}[kind]
        factor = 100 / reach * 2.0**14 if k == 0 < len(kinds) - 1 else 2.0**-14 if k else 100 / reach
        fraction, exponent = np.frexp(factor * rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape))
        bias = rng.integers(-100, 100, (1, COLUMNS)) * (k == len(kinds) - 1)
        found.append((np.rint(fraction * 2.0**31 * (1 - 1e-9)).astype(np.int64), 31 - exponent.astype(np.int64), bias))
    return found


@pytest.mark.parametrize("kinds", [("tensor",), ("row",), ("channel",), ("channel", "row"), ("row", "channel")],
                         ids="-".join)  # fmt: skip
def test_what_convert_makes_is_guessed_closely(kinds):
    """Else the bound would be right and worth nothing."""
    rng = np.random.default_rng(0)
    for reach in (1e2, 1e4, 1e6):
        fold = Fold(convert_like(rng, kinds, reach), -3)
        guess = guess_of(fold, -128, 127)
        assert guess.error < 2.0**-12
        for row in range(2):
            xs = near_steps(fold, row, row, -128, 127, int(reach)) + rng.integers(-reach, reach, 40).tolist()
            assert check(fold, guess, xs, row, row, -128, 127) > len(xs)


OWN = [(256, 8, "int8"), (300, 8, "int8"), (1, 0, "int4"), (-77, 3, "int8"), (1, 0, "int16"), (1, 5, "int8")]


@pytest.mark.parametrize(("weight", "left", "kind"), OWN)
def test_own_codes(weight, left, kind):
    """As they are where the weight is that of the sum, else by a product."""
    rng = np.random.default_rng(1)
    own = Own((0, 0, False), kind, -3, weight, left)
    for kinds in (("tensor",), ("channel",)):
        fold = Fold(convert_like(rng, kinds, 2000.0 * 2**left), 7)
        guess = guess_of(fold, -128, 127, own)
        assert guess.join == ("sum" if weight == 1 << left and (left or kind != "int16") else "scaled")
        for code in (-8, 0, 7, -3):
            shifted = near_steps(fold, 0, 1, -128, 127, 4000, scale=1 << left)
            xs = [x - (weight * (code - own.zero) >> left) for x in shifted] + rng.integers(-4000, 4000, 20).tolist()
            assert check(fold, guess, xs, 0, 1, -128, 127, own, code) > 0


def test_no_guess_of_own_codes_before_factors_that_differ_by_row():
    rng = np.random.default_rng(2)
    own = Own((0, 0, False), "int8", 0, 256, 8)
    assert guess_of(Fold(convert_like(rng, ("row",), 1000.0), 0), -128, 127, own) is None
    assert guess_of(Fold(convert_like(rng, ("tensor",), 1000.0), 0), -128, 127, own._replace(weight=1 << 24)) is None


def test_no_guess_without_stages_that_can_be_folded():
    one = np.ones((1, 1), np.int64)
    assert guess_of(Fold([], 0), -128, 127) is None
    assert guess_of(Fold([(np.full((1, 4), 3 << 29), 40 * one, 0 * one)], 0), -128, 127) is None


def test_the_error_grows_with_codes_and_constants():
    """Where results are large, floats are coarse: the kernels then take integers."""
    found = convert_like(np.random.default_rng(3), ("row",), 1000.0)
    errors = [guess_of(Fold(found, 0), -limit, limit).error for limit in (128, 1 << 15, 1 << 23)]
    assert errors == sorted(errors) and errors[-1] > 0.5
    m, s, b = found[0]
    assert guess_of(Fold([(m, s, b + (1 << 24))], 0), -128, 127).error > 0.5


def test_ties_are_foreseen():
    """A mean over six rows has every sixth sum at a tie, one over three none."""
    one = np.ones((1, 1), np.int64)
    shares = []
    for divisor in (3, 6, 7.3):
        fraction, exponent = np.frexp(1 / divisor)
        m = int(np.rint(fraction * 2.0**31))
        fold = Fold([(m * one, (31 - int(exponent)) * one, 0 * one)], -128)
        shares.append(share_in_doubt(fold, guess_of(fold, -128, 127), -128, 127))
    assert shares[0] < 2.0**-10 and 0.1 < shares[1] < 0.25 and shares[2] < 2.0**-9
    x = np.arange(-600, 600)[None]
    fold = Fold([(m * one, (31 - int(exponent)) * one, 0 * one)], -128)
    exact = requantize(x, fold.stages, zero_point=-128, low=-(1 << 40), high=1 << 40)
    assert np.abs(exact - (x / 7.3 - 128)).max() <= 0.5 + 1e-6
