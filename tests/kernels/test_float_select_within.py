"""The question whether order statistics lie within borders is answered as by looking for them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.kernels.select_within import _tally, ranks_within

RNG = np.random.default_rng(0)
VALUES = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0])


def by_sorting(values, low, high, k_low, from_top):
    ordered = np.sort(values)
    least, most = ordered[k_low - 1], ordered[-from_top]
    return bool(least >= low and most <= high and not (least == 0 and most == 0))


@given(st.lists(st.lists(VALUES, min_size=3, max_size=3), min_size=1, max_size=8), VALUES, VALUES, st.data())
def test_small(rows, low, high, data):
    x = np.array(rows, np.float32)
    k_low, from_top = (data.draw(st.integers(1, x.size)) for _ in range(2))
    k_low, from_top = sorted((k_low, x.size + 1 - from_top))
    from_top = x.size + 1 - from_top
    assert ranks_within(x, None, None, low, high, k_low, from_top) == by_sorting(x.ravel(), low, high, k_low, from_top)


@pytest.mark.parametrize("form", ["serial", "parallel"])
@pytest.mark.parametrize("channels", [1, 7, 64])
def test_tally(form, channels):
    x = np.maximum(RNG.standard_normal((3000, channels)), -0.5).astype(np.float32)
    protected, weight = RNG.random(3000) < 0.3, RNG.integers(0, 4, 3000)
    none = np.empty(0, bool), np.empty(0, np.int64)
    low, high = np.float32(-0.4), np.float32(1.5)
    for mask, often in (none, (protected, none[1]), (none[0], weight)):
        values = np.repeat(x, often, axis=0) if often.size else x[~mask] if mask.size else x
        tally = np.full((2, 4), 7, np.int64)
        getattr(_tally, form)(x, mask, often, low, high, tally)
        wanted = [(values < low).sum(), (values > high).sum(), (values < 0).sum(), (values > 0).sum()]
        assert tally.sum(axis=0).tolist() == wanted


def test_a_nan_is_beyond():
    x = np.array([[1.0, np.nan, 2.0]], np.float32)
    assert not ranks_within(x, None, None, -10, 10, 1, 1)
    assert ranks_within(x[:, [0, 2]].copy(), None, None, -10, 10, 1, 1)
