from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fold import stages
from test_requantize import reference_of
from vector_cases import RANGE, Rows

from dqnumba.kernels.dot.fold import Fold, Own
from dqnumba.kernels.dot.launch import run
from dqnumba.kernels.dot.requantize import requantize_op
from dqnumba.kernels.dot.requantize_guess import worthwhile_guess
from dqnumba.kernels.dot.requantize_tables import stage_kind

ONE = np.ones((1, 1), np.int64)
DOUBT = 39
"""Field of the record: what lies less than this above an integer is taken again in integers."""


class Case:
    """A requantization by a guess, and how often its result is asked for with another doubt."""

    def __init__(self, x, found, *, source="int32", output="int8", zero_in=0, zero_point=0, clamp=None, magnitude=None,
                 own=None, codes=None):  # fmt: skip
        rows, columns = x.shape
        self.low, self.high = clamp or RANGE[output]
        sums = x.astype(np.int64) - zero_in
        keep = None
        if own is not None:
            kind, zero, weight, left = own
            keep = Rows(kind, rows, columns, codes)
            own = Own(keep.place, kind, zero, weight, left)
            sums = (sums << left) + weight * (codes - zero)
        self.fold = Fold(found, zero_point)
        if magnitude is None:
            magnitude = np.abs(sums).max(axis=1).astype(np.float64)
        self.into, self.out = Rows(source, rows, columns, x), Rows(output, rows, columns)
        self.op, tables = requantize_op(
            source=self.into.place, source_kind=source, output=self.out.place, output_kind=output, columns=columns,
            fold=self.fold, magnitude=magnitude, zero_in=zero_in, low=self.low, high=self.high, own=own,
        )  # fmt: skip
        self.keep = (keep, tables)
        self.want = reference_of(sums, found, 0, zero_point, self.low, self.high)
        self.guesses = bool(self.op[36])

    def codes(self, doubt=None):
        """The result, with another doubt than the proven one if it is given."""
        kept = int(self.op[DOUBT])
        if doubt is not None:
            self.op[DOUBT] = int(np.float32(doubt).view(np.int32))
        run([self.op], np.array([0, len(self.want) // 3, len(self.want)]))
        self.op[DOUBT] = kept
        assert self.out.intact()
        return self.out.read()

    def check(self):
        """Right as it is, and right where every code is called in doubt. Whether it is guessed."""
        assert np.array_equal(self.codes(), self.want)
        if self.guesses:
            assert np.array_equal(self.codes(2.0), self.want)
        return self.guesses


def factor(values):
    fraction, exponent = np.frexp(values)
    return np.rint(fraction * 2.0**31 * (1 - 2.0**-31)).astype(np.int64), 31 - exponent.astype(np.int64)


def stage(rng, kind, rows, columns, gain, bias=0):
    shape = {"tensor": (1, 1), "row": (rows, 1), "channel": (1, columns)}[kind]
    m, s = factor(gain * rng.uniform(0.5, 2.0, shape) * rng.choice([-1, 1], shape))
    return m, s, rng.integers(-bias, bias + 1, (1, columns if bias else 1))


@pytest.mark.parametrize("kind", ["tensor", "row", "channel"])
def test_every_sum_of_18_bits(kind):
    """With many multipliers; without integers for what is in doubt, some codes would be wrong."""
    rng, wrong, cases = np.random.default_rng(0), 0, 0
    x = np.arange(-(1 << 17), 1 << 17).reshape(-1, 64)
    for k in range(30):
        case = Case(x, [stage(rng, kind, len(x), 64, 2.0 ** -(3 + k / 3), bias=k % 2 * 50)], zero_point=k - 15)
        assert case.check()
        wrong += int((case.codes(0.0) != case.want).sum())
        cases += 1
    assert cases == 30 and wrong > 0


CHAINS = [("channel", "row"), ("row", "channel"), ("channel", "tensor"), ("tensor", "row", "channel")]


@pytest.mark.parametrize("kinds", CHAINS, ids="-".join)
def test_several_stages(kinds):
    """The floor between two stages is worth what the second multiplies it by: the third of these is not guessed."""
    rng = np.random.default_rng(1)
    x = rng.integers(-(1 << 20), 1 << 20, (300, 64))
    for gain, worth in ((2.0**4, True), (2.0**2, True), (2.0**-4, False)):
        gains = [gain] + [2.0**-1] * (len(kinds) - 2) + [2.0**-13 / gain]
        found = [stage(rng, kind, 300, 64, g, bias=9) for kind, g in zip(kinds, gains, strict=True)]
        case = Case(x, found, zero_point=5)
        assert case.check() == worth
        if worth:
            assert (case.codes(0.0) != case.want).mean() < 1e-3


def steps_of(m, s, bias, zero_point, codes):
    """The least x whose code is at least that of ``codes``, for ``m > 0``: exact integers."""
    wanted = (np.asarray(codes, object) - zero_point - bias) * (1 << s) - (1 << (s - 1))
    return np.array([-(-int(w) // m) for w in wanted.ravel()], np.int64).reshape(wanted.shape)


@pytest.mark.parametrize("clamp", [None, (-128, -1), (3, 127), (-7, 8), (0, 0)])
def test_around_every_step_and_both_ends(clamp):
    """The sum at which a code begins, and those beside it; ties among them, and codes far beyond the clamp."""
    rng = np.random.default_rng(2)
    codes = np.concatenate([np.arange(-140, 140), [-(1 << 12), 1 << 12]])
    factors = [(int(rng.integers(1 << 30, 1 << 31)), 40 + k) for k in range(5)]
    for m, s in [(3, 12), (5, 9), (1 << 30, 41), ((1 << 31) - 1, 44), *factors]:
        first = steps_of(m, s, 11, -3, codes)
        x = np.stack([first + k for k in range(-8, 8)], axis=1)
        assert (np.abs(x) < 1 << 31).all()
        # Two kinds of rows, lest powers of two be folded away.
        m2, s2 = np.full((len(x), 1), m), np.full((len(x), 1), s)
        m2[::7] = 1 << 30
        case = Case(x, [(m2, s2, 11 * ONE)], zero_point=-3, clamp=clamp)
        assert np.array_equal(case.codes(), case.want)
        one = Case(x, [(m * ONE, s * ONE, 11 * ONE)], zero_point=-3, clamp=clamp)
        assert np.array_equal(one.codes(), one.want)


@pytest.mark.parametrize("source", ["int8", "int16", "int32"])
@pytest.mark.parametrize("output", ["int4", "int8", "int16"])
def test_every_source_and_output(source, output):
    rng = np.random.default_rng(3)
    low, high = (-(1 << 20), 1 << 20) if source == "int32" else RANGE[source]
    for columns, zero_in in ((37, 0), (64, 5 if source != "int32" else 0), (130, 0)):
        x = rng.integers(low, high, (50, columns), endpoint=True)
        gain = (RANGE[output][1] + 1) / high * 0.7
        for kind in ("channel", "row"):
            for clamp in (None, (3, 7)):
                Case(x, [stage(rng, kind, 50, columns, gain)], source=source, output=output, zero_in=zero_in,
                     zero_point=1, clamp=clamp).check()  # fmt: skip


def test_every_width():
    rng, guessed = np.random.default_rng(4), 0
    for columns in (*range(1, 71), 112, 128, 130, 256):
        x = rng.integers(-(1 << 14), 1 << 14, (9, columns))
        for kinds in (("channel", "row"), ("channel",), ("row",)):
            gains = [2.0**7, 2.0**-14] if len(kinds) > 1 else [2.0**-7]
            found = [stage(rng, kind, 9, columns, gain) for kind, gain in zip(kinds, gains, strict=True)]
            guessed += Case(x, found, zero_point=-3).check()
    assert guessed > 200


@pytest.mark.parametrize(("weight", "left"), [(256, 8), (300, 8), (-77, 3), (1, 0)])
@pytest.mark.parametrize("kind", ["int4", "int8", "int16"])
def test_own_codes(weight, left, kind):
    rng = np.random.default_rng(5)
    x, codes = rng.integers(-700, 700, (400, 64)), rng.integers(*RANGE[kind], (400, 64), endpoint=True)
    for stage_ in ("tensor", "channel"):
        gain = 90 / (700 * 2**left + 100 * abs(weight))
        case = Case(x, [stage(rng, stage_, 400, 64, gain, bias=20)], own=(kind, -3, weight, left), codes=codes)
        assert case.check() or kind == "int16"


def test_unsafe_rows_take_the_reference_s_steps():
    rng = np.random.default_rng(6)
    x = rng.integers(-(1 << 17), 1 << 17, (60, 64))
    x[::5] = rng.integers(*RANGE["int32"], x[::5].shape)
    x[0, :2] = RANGE["int32"]
    codes = rng.integers(-128, 128, x.shape)
    for kinds, own in ((("row",), None), (("channel", "row"), None), (("channel",), ("int8", -3, 40, 3))):
        gains = [2.0**5, 2.0**-16] if len(kinds) > 1 else [2.0**-11]
        found = [stage(rng, kind, 60, 64, gain) for kind, gain in zip(kinds, gains, strict=True)]
        magnitude = np.where(np.arange(60) % 5, 2.0**21, 2.0**40)
        case = Case(x // 4 if own else x, found, magnitude=magnitude, own=own, codes=codes)
        assert case.check() and not case.fold.safe_rows(magnitude)[::5].any()


@settings(max_examples=24, deadline=None)
@given(st.lists(stages(), min_size=1, max_size=2), st.sampled_from([0, -128, 127]), st.integers(0, 2**32))
def test_any_stages(found, zero_point, seed):
    """Whatever the stages: the kernels of guesses are few, their numbers are not."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-(1 << int(rng.integers(2, 22))), 1 << 12, (5, 4))
    for clamp in ((-128, 127), (-100, 100)):
        assert np.array_equal(Case(x, found, zero_point=zero_point, clamp=clamp).codes(), reference_of(
            x, found, 0, zero_point, *clamp))  # fmt: skip


def test_where_a_guess_is_worth_it():
    rng = np.random.default_rng(7)

    def guess(found, output="int8", own=None):
        fold = Fold(found, 0)
        return worthwhile_guess(fold, tuple(stage_kind(s) for s in fold.folded), output, *RANGE["int8"], own)

    usual = [stage(rng, "channel", 5, 64, 2.0**-10)]
    assert guess(usual) and guess(usual, own=Own((0, 0, False), "int8", 0, 1, 0))
    assert guess(usual, "float32") is None and guess(usual, "int32") is None
    assert guess([(1 << 30 * ONE, 35 * ONE, 0 * ONE)]) is None  # a shift
    assert guess([(*factor(np.array([[1 / 6]])), 0 * ONE)]) is None  # ties
    m, s, _ = usual[0]
    assert guess([(m, s, (1 << 20) * ONE)]) is None  # coarse floats
