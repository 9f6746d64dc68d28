from __future__ import annotations

from itertools import pairwise

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_cases import SIZES, TYPES, codes, csr, graphs, run, zero_points

from dqnumba.kernels import integer, reference
from dqnumba.testing import strategies as dst


@pytest.mark.parametrize(("dtype", "accumulator"), TYPES)
def test_neighbor_and_edge_sums(dtype, accumulator):
    rng = np.random.default_rng(0)
    threads = (dtype, accumulator) in (TYPES[0], TYPES[3])
    for _, indptr, indices, sources in graphs(rng):
        rows = len(indptr) - 1
        for columns in SIZES:
            x, m = codes(rng, (sources, columns), dtype), codes(rng, (len(indices), columns), dtype)
            for zero in zero_points(dtype):
                shape = (rows, columns)
                got = run("neighbor_sum", shape, accumulator, indptr, indices, x, zero, threads=threads)
                per_edge = run("edge_sum", shape, accumulator, indptr, m, zero, threads=threads)
                assert np.array_equal(
                    run("segment_sum", shape, accumulator, indptr, m, zero, threads=False), per_edge
                )
                if columns <= 5:
                    assert got.tolist() == oracles.neighbor_sum(indptr, indices, x, columns, zero)
                    assert per_edge.tolist() == oracles.edge_sum(indptr, m, columns, zero)


@pytest.mark.parametrize(("dtype", "accumulator"), TYPES)
def test_sparse_neighbor_sum(dtype, accumulator):
    rng = np.random.default_rng(1)
    for _, indptr, indices, sources in graphs(rng):
        for columns in (1, 5, 65):
            degrees = rng.integers(0, 4, sources).tolist()
            s_indptr, s_indices, _ = csr(degrees, rng, columns)
            values = codes(rng, len(s_indices), dtype)
            for zero in zero_points(dtype):
                arguments = (indptr, indices, s_indptr, s_indices, values, zero)
                shape = (len(indptr) - 1, columns)
                got = run("sparse_neighbor_sum", shape, accumulator, *arguments, threads=dtype == np.int8)
                assert got.tolist() == oracles.sparse_neighbor_sum(*arguments[:-1], columns, zero)


@pytest.mark.parametrize(
    ("dtype", "accumulator"),
    # Products of these wrap, which the bounds of a program rule out; NumPy refuses them.
    [pytest.param(*types, marks=pytest.mark.compiled) if types == (np.int16, np.int32) else types for types in TYPES],
)
@pytest.mark.parametrize(("heads", "width"), [(1, 1), (1, 17), (2, 3), (4, 16), (8, 0)])
def test_weighted_sums_and_products(dtype, accumulator, heads, width):
    rng = np.random.default_rng(2)
    threads = (dtype, accumulator) in (TYPES[0], TYPES[3])
    columns = heads * width
    for _, indptr, indices, sources in graphs(rng):
        x = codes(rng, (sources, columns), dtype)
        coef = rng.integers(0, 2**15, (len(indices), heads)).astype(np.int32)
        for zero, coef_zero in zip(zero_points(dtype), (0, -5, 700), strict=True):
            arguments = (coef, coef_zero, x, zero)
            shape = (len(indptr) - 1, columns)
            got = run(
                "weighted_neighbor_sum", shape, accumulator, indptr, indices, *arguments, threads=threads
            )
            shape = (len(indices), columns)
            products = run("edge_product", shape, accumulator, indices, *arguments, threads=threads)
            if accumulator == np.int64 and width:
                tail = (coef, coef_zero, x, columns, heads, zero)
                assert got.tolist() == oracles.weighted_neighbor_sum(indptr, indices, *tail)
                assert products.tolist() == oracles.edge_product(indices, *tail)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_maxima(dtype):
    rng = np.random.default_rng(3)
    for _, indptr, indices, sources in graphs(rng):
        rows = len(indptr) - 1
        for columns in SIZES:
            x, m = codes(rng, (sources, columns), dtype), codes(rng, (len(indices), columns), dtype)
            for empty in zero_points(dtype):
                got = run("neighbor_max", (rows, columns), dtype, indptr, indices, x, empty)
                pooled = run("segment_max", (rows, columns), dtype, indptr, m, empty)
                if columns <= 5:
                    assert got.tolist() == oracles.neighbor_max(indptr, indices, x, columns, empty)
                    assert pooled.tolist() == oracles.segment_max(indptr, m, columns, empty)


@given(dst.csr(), st.integers(-128, 127), st.integers(0, 3), st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_edge_order_and_are_linear(graph, zero, columns, random):
    indptr, indices, sources = graph
    rng = np.random.default_rng(random.getrandbits(32))
    x = codes(rng, (sources, columns)).astype(np.int16)
    shuffled = indices.copy()
    for start, stop in pairwise(indptr):
        rng.shuffle(shuffled[start:stop])
    for backend in (reference, integer):
        first, second, double = (np.empty((len(indptr) - 1, columns), np.int32) for _ in range(3))
        backend.neighbor_sum(indptr, indices, x, zero, first)
        backend.neighbor_sum(indptr, shuffled, x, zero, second)
        backend.neighbor_sum(indptr, indices, 2 * x, 2 * zero, double)
        assert np.array_equal(first, second) and np.array_equal(double, 2 * first)


@given(dst.csr(), dst.csr(), st.integers(-128, 127))
def test_a_batch_of_graphs_is_the_graphs_one_by_one(first, second, zero):
    rng = np.random.default_rng(0)
    parts = []
    for indptr, indices, sources in (first, second):
        x, out = codes(rng, (sources, 3)), np.empty((len(indptr) - 1, 3), np.int32)
        integer.neighbor_sum(indptr, indices, x, zero, out)
        parts.append((x, out))
    indptr = np.concatenate([first[0], second[0][1:] + first[0][-1]])
    indices = np.concatenate([first[1], second[1] + np.int32(first[2])])
    out = np.empty((len(indptr) - 1, 3), np.int32)
    integer.neighbor_sum(indptr, indices, np.concatenate([parts[0][0], parts[1][0]]), zero, out)
    assert np.array_equal(out, np.concatenate([parts[0][1], parts[1][1]]))
