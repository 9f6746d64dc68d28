from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dqnumba.kernels import reference
from dqnumba.kernels.dot.api_attention import attention
from dqnumba.kernels.dot.attention import CHUNK, MAX_DEGREE, attention_misfit
from dqnumba.quant import pack4

DEGREES = (0, 1, 2, 3, 0, 5, 255, 256, 1000, CHUNK, CHUNK + 1, 2 * CHUNK + 7, 4, 0)


def exponentials(scale, bits, low):
    mantissa, exponent = [], []
    for code in range(low, low + 2**bits):
        power = scale * code / math.log(2)
        whole = math.floor(power)
        mantissa.append(min(2**31 - 1, round(2.0 ** (power - whole) * 2**30)))
        exponent.append(whole)
    return np.array(mantissa, np.int64), np.array(exponent, np.int64)


def expected(indptr, indices, target, source, stage, table, bits, x, zero, shape):
    multiplier, shift, zero_point, low, high = stage
    logits = np.zeros((len(indices), target.shape[1]), np.int32)
    reference.edge_logits(indptr, indices, target, source, logits)
    codes, one = np.zeros_like(logits), [(np.array([[v]], np.int64),) for v in (multiplier, shift, 0)]
    reference.requantize(logits, 0, *one, zero_point, low, high, codes)
    shares = np.zeros_like(logits)
    reference.edge_softmax(indptr, codes, *table, bits, shares)
    out = np.zeros(shape, np.int32)
    reference.weighted_neighbor_sum(indptr, indices, shares, 0, x, zero, out)
    return out


def graph(degrees, sources, rng):
    indptr = np.cumsum([0, *degrees]).astype(np.int64)
    return indptr, rng.integers(0, max(1, sources), indptr[-1]).astype(np.int32)


def check(
    degrees, heads, width, *, seed=0, scale=0.1, code_bits=8, bits=15, reach=2**20, stage=(1954156526, 44, -23),
    zero=None, packed=False, threads=None, sources=50,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    indptr, indices = graph(degrees, sources, rng)
    target = rng.integers(-reach, reach, (len(degrees), heads), dtype=np.int32, endpoint=True)
    source = rng.integers(-reach, reach, (sources, heads), dtype=np.int32, endpoint=True)
    least = -8 if packed else -128
    x = rng.integers(least, -least, (sources, heads * width)).astype(np.int8)
    zero = least if zero is None else zero
    low = -(2 ** (code_bits - 1))
    stage, table = (*stage, low, -low - 1), (*exponentials(scale, code_bits, low), low)
    shape = (len(degrees), heads * width)
    want = expected(indptr, indices, target, source, stage, table, bits, x, zero, shape)
    got = np.full((shape[0] + 2, shape[1]), 77, np.int32)
    rows = pack4(x) if packed else x
    attention(indptr, indices, target, source, *stage, *table, bits, rows, zero, got[1:-1], packed, threads)
    assert np.array_equal(got[1:-1], want)
    assert (got[[0, -1]] == 77).all()


@pytest.mark.parametrize("packed", [False, True], ids=["bytes", "nibbles"])
@pytest.mark.parametrize("heads", [1, 2, 3, 4, 8, 12])
def test_every_width(heads, packed):
    for width in (*range(1, 21), 40, 64):
        check((0, 1, 2, 3, 7, 0), heads, width, seed=width, packed=packed)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("heads", "width"), [(4, 16), (8, 8), (4, 64), (3, 5), (1, 20)])
def test_every_degree(heads, width, threads):
    check(DEGREES, heads, width, threads=threads)


@pytest.mark.parametrize("packed", [False, True], ids=["bytes", "nibbles"])
def test_long_rows_in_parts_of_vectors(packed):
    check(DEGREES, 3, 7, packed=packed)


@pytest.mark.parametrize("scale", [1e-6, 0.03, 1.0, 2.4])
@pytest.mark.parametrize("code_bits", [2, 4, 8])
@pytest.mark.parametrize("bits", [1, 8, 15])
def test_softmax_from_flat_to_one_edge_takes_all(scale, code_bits, bits):
    check(DEGREES, 4, 8, scale=scale, code_bits=code_bits, bits=bits)


@pytest.mark.parametrize(
    "stage", [(1 << 30, 1, 0), ((1 << 31) - 1, 1, 5), (1 << 30, 62, -1), (0, 1, 3), (1 << 30, 31, 0)]
)
@pytest.mark.parametrize("reach", [0, 1, 2**30])
def test_logits_at_both_ends_of_int32(stage, reach):
    check((0, 1, 2, 9, 300), 4, 4, stage=stage, reach=reach)


@pytest.mark.parametrize("zero", [-128, -1, 0, 127])
def test_zero_points(zero):
    check(DEGREES, 2, 16, zero=zero)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=80), st.integers(1, 9), st.integers(1, 35),
    st.integers(0, 2**32), st.floats(0.001, 2.4), st.integers(36, 50), st.booleans(),
)  # fmt: skip
def test_any_graph(degrees, heads, width, seed, scale, shift, packed):
    check(degrees, heads, width, seed=seed, scale=scale, stage=(1 << 30, shift, 3), packed=packed)


@pytest.mark.parametrize("degrees", [(), (0,), (0, 0, 0)])
def test_graphs_without_edges(degrees):
    check(degrees, 4, 16)


def test_layouts_that_are_neither_contiguous_nor_writable_nor_aligned():
    rng = np.random.default_rng(3)
    indptr, indices = graph(DEGREES, 20, rng)
    wide = rng.integers(-999, 999, (len(DEGREES), 8)).astype(np.int32)
    target, source = wide[:, ::2], np.asfortranarray(rng.integers(-999, 999, (20, 4)).astype(np.int32))
    x = np.frombuffer(rng.bytes(20 * 64 + 1), np.int8, offset=1).reshape(20, 64)
    stage, table = (1 << 30, 34, 0, -128, 127), (*exponentials(0.05, 8, -128), -128)
    want = expected(indptr, indices, target, source, stage, table, 15, x, 7, (len(DEGREES), 64))
    got = np.zeros((len(DEGREES), 128), np.int32)
    attention(indptr, indices, target, source, *stage, *table, 15, x, 7, got[:, ::2])
    assert np.array_equal(got[:, ::2], want)
    assert not got[:, 1::2].any()


def test_what_does_not_fit_is_told():
    mantissa, exponent = exponentials(0.1, 8, -128)
    fits = {
        "multiplier": 1 << 30, "shift": 40, "mantissa": mantissa, "exponent": exponent, "bits": 15, "code_low": -128,
        "low": -128, "high": 127, "max_degree": MAX_DEGREE,
    }  # fmt: skip
    assert attention_misfit(**fits) == ""
    for change in (
        {"multiplier": -1}, {"multiplier": 1 << 31}, {"shift": 0}, {"shift": 63}, {"bits": 16}, {"bits": 0},
        {"high": 128}, {"low": -129}, {"low": 3, "high": 2}, {"exponent": exponent[1:]}, {"mantissa": mantissa // 2},
        {"mantissa": 2 * mantissa}, {"exponent": exponent * 1000}, {"max_degree": MAX_DEGREE + 1},
    ):  # fmt: skip
        assert attention_misfit(**(fits | change)), change


def test_the_longest_row_of_equal_edges():
    """The largest sums that the float64 argument allows; each share rounds n / total with n just below 2**50."""
    degree = MAX_DEGREE
    indptr, indices = np.array([0, degree]), np.zeros(degree, np.int32)
    indices[: degree // 2] = 1
    mantissa = np.full(256, (1 << 31) - 1, np.int64)
    exponent = np.zeros(256, np.int64)
    source = np.array([[0], [900]], np.int32)
    mantissa[-1] -= 12345
    stage, table = (1 << 30, 30, 0, -128, 127), (mantissa, exponent, -128)
    x = np.array([[127], [-128]], np.int8)
    want = expected(indptr, indices, np.zeros((1, 1), np.int32), source, stage, table, 15, x, 0, (1, 1))
    got = np.zeros((1, 1), np.int32)
    attention(indptr, indices, np.zeros((1, 1), np.int32), source, *stage, *table, 15, x, 0, got)
    assert np.array_equal(got, want)
