from __future__ import annotations

import numpy as np
import pytest
from aggregate_cases import codes, csr, power_law, same
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.kernels.dot import api_aggregate
from dqnumba.kernels.dot.gather_weighted import weighted_blocks, weighted_sum_ops
from dqnumba.testing import strategies as dst

SHAPES = [(1, n) for n in (1, 2, 3, 7, 8, 16, 17, 31, 32, 40, 48, 64, 65, 100, 128, 130)]
SHAPES += [(2, 1), (3, 8), (8, 8), (5, 4), (4, 2), (9, 1), (4, 16), (4, 64), (3, 5), (2, 41), (8, 7), (20, 8), (2, 80)]


@pytest.mark.parametrize(("heads", "width"), SHAPES)
def test_heads_and_widths(heads, width):
    rng = np.random.default_rng(width)
    indptr, indices = csr([0, 1, 2, 3, 4, 5, 8, 9, 0, 0, 17, 40, 0], rng, 30)
    x = codes(rng, (30, heads * width))
    shape = (13, heads * width)
    for zero, coef_zero in ((-128, 0), (127, -5), (3, 700)):
        coef = rng.integers(0, 2**15, (len(indices), heads)).astype(np.int32)
        same("weighted_neighbor_sum", shape, np.int32, indptr, indices, coef, coef_zero, x, zero)
    large = rng.integers(-(2**31), 2**31, (len(indices), heads)).astype(np.int32)  # the sum wraps, as the reference's
    same("weighted_neighbor_sum", shape, np.int32, indptr, indices, large, -(2**31), x, -128)


@pytest.mark.parametrize(("heads", "width"), SHAPES)
def test_blocks_cover_each_column(heads, width):
    last = {}
    for k, (first, lanes, head, kernel_width, partial) in enumerate(weighted_blocks(heads, width)):
        stop = min(first + lanes, (head + 1) * width if kernel_width == 0 else heads * width)
        assert partial == (kernel_width == 0 and first + lanes > stop)
        assert (head == first // width and first % 16 == 0) or kernel_width == 0
        last.update(dict.fromkeys(range(first, stop), k))
    assert sorted(last) == list(range(heads * width))


def test_hubs_strided_inputs_and_empty_graphs():
    rng = np.random.default_rng(0)
    indptr, indices = power_law(rng, 2000, 150_000)
    coef = rng.integers(0, 2**15, (150_000, 4)).astype(np.int32)
    x = codes(rng, (2000, 32))
    same("weighted_neighbor_sum", (2000, 32), np.int32, indptr, indices, coef, 0, x, -3)
    same("weighted_neighbor_sum", (2000, 16), np.int32, indptr, indices, coef[:, ::2], 0, x[:, ::2], -3)
    same("weighted_neighbor_sum", (3, 8), np.int32, np.zeros(4, np.int64), indices[:0], coef[:0], 0, x[:0, :8], -3)
    same("weighted_neighbor_sum", (3, 8), np.int64, *csr([1, 0, 2], rng, 9), coef[:3], 0, x[:, :8], -3)


@given(dst.csr(), st.sampled_from([(1, 5), (2, 8), (3, 3)]), st.integers(0, 2**32))
def test_any_graph(graph, shape, seed):
    indptr, indices, sources = graph
    rng = np.random.default_rng(seed)
    heads, width = shape
    coef = rng.integers(0, 2**15, (len(indices), heads)).astype(np.int32)
    arguments = (indptr, indices.astype(np.int32), coef, 3, codes(rng, (sources, heads * width)), -7)
    same("weighted_neighbor_sum", (len(indptr) - 1, heads * width), np.int32, *arguments, threads=(1,))


def test_what_would_read_outside_is_refused():
    rng = np.random.default_rng(0)
    indptr, indices = csr([2, 1], rng, 4)
    out = np.zeros((2, 6), np.int32)
    for shape in ((2, 1), (3, 0), (3, 4)):
        with pytest.raises(ValueError, match="coefficients"):
            api_aggregate.weighted_neighbor_sum(
                indptr, indices, np.zeros(shape, np.int32), 0, codes(rng, (4, 6)), 0, out
            )
    with pytest.raises(ValueError, match="distance"):
        weighted_sum_ops(out=(0, 64, False), starts=0, stops=0, indices=0, x=0, x_stride=64, heads=1, width=3, zero=0,
                         coef=0, coef_stride=4, distance=61)  # fmt: skip
