"""Order statistics are exact: they equal those of a sort, whatever the values and the number of threads."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.kernels import select, select_tails
from dqnumba.kernels.select import (
    count_kept,
    min_max,
    order_statistics,
    order_statistics_of_parts,
    order_statistics_weighted,
)

RNG = np.random.default_rng(0)
TINY = np.float32(1e-45)


def nasty(rows, channels):
    """Ties, both zeros, denormals, infinities, neighbours in the last bit."""
    above_one = np.nextafter(np.float32(1), np.float32(2))
    special = [0.0, -0.0, TINY, -TINY, np.inf, -np.inf, 1, -1, above_one, 3e38]
    return RNG.choice(np.array(special, np.float32), (rows, channels))


SAMPLES = {
    "normal": lambda n, c: RNG.standard_normal((n, c)).astype(np.float32),
    "relu": lambda n, c: np.maximum(RNG.standard_normal((n, c)), 0).astype(np.float32),
    "negative relu": lambda n, c: np.minimum(RNG.standard_normal((n, c)), 0).astype(np.float32),
    "nasty": nasty,
    "constant": lambda n, c: np.full((n, c), -0.25, np.float32),
    "zeros": lambda n, c: np.zeros((n, c), np.float32),
    "all bits": lambda n, c: (RNG.integers(0, 1 << 23, (n, c)) | (100 << 23)).astype(np.uint32).view(np.float32),
}


@pytest.fixture(params=[False, True], ids=["numpy", "histograms"])
def histograms(request, monkeypatch):
    """Small inputs go to NumPy; send them through the histograms too."""
    if request.param:
        monkeypatch.setattr(select, "_SMALL", 0)
        monkeypatch.setattr(select, "_SMALL_WEIGHTED", 1)


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize(("rows", "channels"), [(1, 1), (2, 1), (7, 3), (400, 9)])
@pytest.mark.usefixtures("histograms")
def test_every_rank_of_small_arrays(sample, rows, channels):
    x = SAMPLES[sample](rows, channels)
    expected = np.sort(x.ravel())
    for k in {1, 2, x.size // 3 + 1, x.size // 2 + 1, x.size} - {x.size + 1}:
        assert order_statistics(x, None, k, x.size + 1 - k) == (expected[k - 1], expected[x.size - k])
    assert min_max(x) == (expected[0], expected[-1])


@pytest.mark.parametrize("sample", SAMPLES)
def test_large_masked_and_weighted(sample):
    x = SAMPLES[sample](9_000, 16)
    protected = RNG.random(len(x)) < 0.3
    weight = RNG.integers(0, 4, len(x))
    kept, repeated = np.sort(x[~protected].ravel()), np.sort(np.repeat(x, weight, axis=0).ravel())
    assert count_kept(x, protected) == kept.size
    assert min_max(x, protected) == (kept[0], kept[-1])
    for low, high in ((0.0, 1.0), (0.001, 0.999), (0.25, 0.5), (0.5, 0.5)):
        k = int(low * (kept.size - 1)) + 1, int(high * (kept.size - 1)) + 1
        assert order_statistics(x, protected, *k) == (kept[k[0] - 1], kept[k[1] - 1])
        k = int(low * (repeated.size - 1)) + 1, int(high * (repeated.size - 1)) + 1
        assert order_statistics_weighted(x, weight, *k) == (repeated[k[0] - 1], repeated[k[1] - 1])


@pytest.mark.parametrize("rows", [1, 5, 300])
@pytest.mark.usefixtures("histograms")
def test_weighted_small(rows):
    x, weight = nasty(rows, 3), RNG.integers(0, 3, rows)
    weight[0] = 2
    expected = np.sort(np.repeat(x, weight, axis=0).ravel())
    for k in (1, expected.size // 2 + 1, expected.size):
        assert order_statistics_weighted(x, weight, k, k) == (expected[k - 1], expected[k - 1])


@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40),
    st.data(),
)
def test_any_floats(values, data):
    x = np.array(values, np.float32)
    k = data.draw(st.integers(1, x.size))
    expected = np.sort(x)[k - 1]
    assert order_statistics(x, None, k, k) == (expected, expected)
    empty = np.empty(0, np.bool_), np.empty(0, np.int64)
    assert select._select(select._bits(x), *empty, k, k) == (expected, expected)
    assert min_max(x) == (x.min(), x.max())


def test_nothing_left():
    x = np.ones((3, 2), np.float32)
    everything = np.ones(3, bool)
    assert count_kept(x, everything) == 0
    assert np.isnan(order_statistics(x, everything, 1, 1)).all()
    assert np.isnan(min_max(x, everything)).all()
    assert np.isnan(order_statistics_weighted(x, np.zeros(3, np.int64), 1, 1)).all()
    assert count_kept(np.empty((0, 2), np.float32)) == 0


@pytest.mark.parametrize("nan", [np.nan, -np.nan])
def test_nan_shows_as_an_extreme(nan):
    x = np.array([[1.0, nan, 2.0]], np.float32)
    assert np.isnan(min_max(x)).any()
    assert np.isnan(order_statistics(x, None, 1, 3)).any()


def test_views_and_read_only_arrays():
    x = SAMPLES["normal"](600, 40)
    x.setflags(write=False)
    view = x[::2, ::-3]
    assert not view.flags.c_contiguous
    s = np.sort(view.ravel())
    assert order_statistics(view, None, 5, 50) == (s[4], s[49])
    assert min_max(view) == (s[0], s[-1])


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread only")
def test_threads_do_not_matter():
    x, weight = SAMPLES["relu"](20_000, 16), RNG.integers(0, 4, 20_000)
    results, before = [], numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        results.append((order_statistics(x, None, 9, 300_000), order_statistics_weighted(x, weight, 9, 300_000)))
    numba.set_num_threads(before)
    assert results[0] == results[1]


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize(("rows", "channels"), [(9_000, 64), (5_000, 96), (40_000, 7), (600_000, 1)])
def test_ranks_near_the_ends(sample, rows, channels):
    x = SAMPLES[sample](rows, channels)
    protected = RNG.random(rows) < 0.1
    weight = RNG.integers(0, 4, rows)
    kept, repeated = np.sort(x[~protected].ravel()), np.sort(np.repeat(x, weight, axis=0).ravel())
    for cut in (0.0, 0.001, 0.01, 0.05):
        k, top = max(int(kept.size * cut), 1), int(kept.size * (1 - cut))
        assert order_statistics(x, protected, k, top) == (kept[k - 1], kept[top - 1])
        k, top = max(int(repeated.size * cut), 1), int(repeated.size * (1 - cut))
        assert order_statistics_weighted(x, weight, k, top) == (repeated[k - 1], repeated[top - 1])


def test_usual_ranks_are_found_by_the_tails():
    """Of ordinary values and of those behind a ReLU; else the observer of every step would take the slow way."""
    none = np.empty(0, np.bool_), np.empty(0, np.int64)
    for sample in ("normal", "relu", "zeros"):
        x = SAMPLES[sample](9_000, 64)
        keys = select_tails.tail_keys(select._bits(x), *none, 576, x.size - 576, x.size, 2)
        expected = np.sort(x.ravel())[[575, x.size - 577]]
        assert [select._value(key) for key in keys] == list(expected)


def test_a_misleading_sample_is_noticed(monkeypatch):
    x = SAMPLES["normal"](9_000, 64)
    draw = select_tails._draw

    def far_out(*args):
        kept = draw(*args)
        args[3][:kept] = np.sort(args[3][:kept])[[0, -1]].repeat(kept // 2)
        args[3][: kept // 2] -= 10_000_000
        return kept

    monkeypatch.setattr(select_tails, "_draw", far_out)
    expected = np.sort(x.ravel())[[575, x.size - 577]]
    assert order_statistics(x, None, 576, x.size - 576) == tuple(expected)


@pytest.mark.parametrize("sample", SAMPLES)
def test_an_array_in_parts(sample):
    x = SAMPLES[sample](5_000, 7)
    expected = np.sort(x.ravel())
    for k in (1, 350, x.size // 2, x.size):
        got = order_statistics_of_parts(lambda: iter(np.array_split(x, [1, 40, 3_000])), k, x.size + 1 - k)
        assert got == (expected[k - 1], expected[x.size - k])
