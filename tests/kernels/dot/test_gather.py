from __future__ import annotations

import numpy as np
import pytest
from aggregate_cases import WIDTHS, codes, csr, guarded, power_law, same
from hypothesis import given
from hypothesis import strategies as st

from dqnumba.kernels import reference
from dqnumba.kernels.dot import api_aggregate
from dqnumba.kernels.dot.gather import neighbor_sum_ops
from dqnumba.kernels.dot.gather_vectors import pad_indices
from dqnumba.kernels.dot.launch import aligned, run
from dqnumba.kernels.dot.micro import micro, new_op, put_place, stride
from dqnumba.kernels.dot.micro import place as place_of
from dqnumba.kernels.dot.simd import i32x16, i64_at, load, store
from dqnumba.testing import strategies as dst


@pytest.mark.parametrize("columns", WIDTHS)
def test_every_width(columns):
    rng = np.random.default_rng(columns)
    indptr, indices = csr([0, 1, 2, 3, 4, 5, 8, 9, 0, 0, 17, 40, 0], rng, 30)
    x = codes(rng, (30, columns))
    for zero in (-128, 0, 127):
        same("neighbor_sum", (13, columns), np.int32, indptr, indices, x, zero)


@pytest.mark.parametrize("code", [-128, 127])
@pytest.mark.parametrize("columns", [3, 32, 64, 128, 192, 256])
def test_long_rows_of_extreme_codes(columns, code):
    rng = np.random.default_rng(0)
    indptr, indices = csr([251, 252, 253, 254, 255, 256, 257, 504, 505, 508, 509, 0, 70_000], rng, 4)
    x = np.full((4, columns), code, np.int8)
    for zero in (-128, 127):
        same("neighbor_sum", (13, columns), np.int32, indptr, indices, x, zero)
        same("neighbor_sum", (13, columns), np.int64, indptr, indices, x, zero, threads=(2,))


@pytest.mark.parametrize("columns", [1, 16, 17, 64, 65, 130])
def test_codes_of_16_bits(columns):
    rng = np.random.default_rng(columns)
    indptr, indices = csr([0, 1, 2, 3, 4, 255, 256, 511, 0, 9000, 7], rng, 30)
    for x in (codes(rng, (30, columns), np.int16), np.full((30, columns), -32768, np.int16)):
        for zero in (-32768, 0, 32767):
            same("neighbor_sum", (11, columns), np.int32, indptr, indices, x, zero)


def test_graphs_without_rows_edges_or_columns():
    rng = np.random.default_rng(0)
    nothing = np.zeros(0, np.int32)
    same("neighbor_sum", (0, 8), np.int32, np.zeros(1, np.int64), nothing, codes(rng, (3, 8)), 1)
    same("neighbor_sum", (4, 8), np.int32, np.zeros(5, np.int64), nothing, codes(rng, (0, 8)), 1)
    same("neighbor_sum", (4, 0), np.int32, *csr([1, 2, 0, 1], rng, 3), codes(rng, (3, 0)), 1)
    same("neighbor_sum", (1, 5), np.int32, *csr([1], rng, 1), codes(rng, (1, 5)), -128)


@pytest.mark.parametrize("columns", [7, 64])
def test_inputs_that_are_strided_read_only_or_unaligned(columns):
    rng = np.random.default_rng(1)
    indptr, indices = csr(rng.integers(0, 9, 100), rng, 50)
    base = codes(rng, (50, columns))
    raw = np.zeros(base.size + 1, np.int8)
    raw[1:] = base.reshape(-1)
    frozen = base.copy()
    frozen.flags.writeable = False
    layouts = {
        "unaligned": raw[1:].reshape(base.shape),
        "every second column": np.repeat(base, 2, axis=1)[:, ::2],
        "columns of a wider array": np.concatenate([base, base, base], axis=1)[:, columns : 2 * columns],
        "backwards": base[::-1].copy()[::-1],
        "Fortran": np.asfortranarray(base),
        "read-only": frozen,
    }
    for x in layouts.values():
        assert np.array_equal(x, base)
        same("neighbor_sum", (100, columns), np.int32, indptr, indices, x, 5)
        same("neighbor_sum", (100, columns), np.int64, np.repeat(indptr, 2)[::2], np.repeat(indices, 2)[::2], x, 5)
    out = np.zeros((100, 2 * columns), np.int32)[:, ::2]
    expected = np.zeros((100, columns), np.int32)
    api_aggregate.neighbor_sum(indptr, indices, base, 5, out)
    reference.neighbor_sum(indptr, indices, base, 5, expected)
    assert np.array_equal(out, expected)


def test_other_types_run_on_the_numba_backend():
    rng = np.random.default_rng(2)
    indptr, indices = csr([3, 0, 4], rng, 5)
    same("neighbor_sum", (3, 6), np.int32, indptr, indices, codes(rng, (5, 6), np.int16), 7)
    same("neighbor_sum", (3, 6), np.int32, indptr, indices.astype(np.int64), codes(rng, (5, 6)), 7)


@pytest.mark.parametrize("bad", ["index", "negative", "ends", "falls", "rows"])
def test_what_would_read_outside_is_refused(bad):
    indptr, indices = np.array([0, 2, 3]), np.array([0, 1, 4], np.int32)
    x, out = np.zeros((5, 4), np.int8), np.zeros((2, 4), np.int32)
    if bad == "index":
        indices[1] = 5
    elif bad == "negative":
        indices[1] = -1
    elif bad == "ends":
        indptr[-1] = 4
    elif bad == "falls":
        indptr[1] = 5
    else:
        out = np.zeros((3, 4), np.int32)
    with pytest.raises(ValueError, match=r"indices|indptr"):
        api_aggregate.neighbor_sum(indptr, indices, x, 0, out)


@given(dst.csr(), st.integers(-128, 127), st.integers(1, 80), st.integers(0, 2**32))
def test_any_graph(graph, zero, columns, seed):
    indptr, indices, sources = graph
    x = codes(np.random.default_rng(seed), (sources, columns))
    same("neighbor_sum", (len(indptr) - 1, columns), np.int32, indptr, indices.astype(np.int32), x, zero)


@micro
def copy_rows(op, start, stop, scratch):
    """int32 rows from one place to another; field 7: vectors of 16 in a row."""
    source, target = place_of(op, 1, start, scratch), place_of(op, 4, start, scratch)
    for i in range(start, stop):
        for v in range(i64_at(op + 56)):
            store(target + i * stride(op, 4) + 64 * v, load(i32x16, source + i * stride(op, 1) + 64 * v))


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("columns", [16, 40, 64, 144])
def test_own_row_distances_and_scratch_memory(columns, local):
    """What the planner uses beside the function: a self-loop that is not in the list, rows in scratch memory."""
    rng = np.random.default_rng(3)
    indptr, indices = csr(rng.integers(0, 6, 64), rng, 64)
    x = aligned(64 + 16, -(-columns // 64) * 64)
    x[:] = codes(rng, x.shape)
    listed = pad_indices(indices)
    with_loops = np.insert(indices, indptr[1:], np.arange(64, dtype=np.int32))
    expected = np.empty((64, columns), np.int32)
    reference.neighbor_sum(indptr + np.arange(65), with_loops, x[:, :columns], -7, expected)
    width = -(-columns // 16) * 16
    for distance in (0, 1, 60):
        out, intact = guarded((64, width), np.int32)
        place = (0, 4 * width, True) if local else (out.ctypes.data, 4 * width, False)
        ops = neighbor_sum_ops(
            out=place, starts=indptr.ctypes.data, stops=indptr.ctypes.data + 8, indices=listed.ctypes.data,
            x=x.ctypes.data, x_stride=x.shape[1], channels=columns, zero=-7, distance=distance,
            own=(x.ctypes.data, x.shape[1], False),
        )  # fmt: skip
        if local:
            op = new_op(copy_rows)
            put_place(op, 1, *place)
            put_place(op, 4, out.ctypes.data, 4 * width)
            op[7] = width // 16
            ops.append(op)
        run(ops, np.array([0, 10, 64]), 64 * 4 * width)
        assert intact() and np.array_equal(out[:, :columns], expected)
    with pytest.raises(ValueError, match="distance"):
        neighbor_sum_ops(
            out=place, starts=0, stops=0, indices=0, x=0, x_stride=64, channels=columns, zero=0, distance=61
        )


@pytest.mark.parametrize("columns", [20, 64])
def test_power_law(columns):
    rng = np.random.default_rng(4)
    indptr, indices = power_law(rng, 3000, 200_000)
    assert np.diff(indptr).max() > 8192, "no hub: the test has lost its point"
    same("neighbor_sum", (3000, columns), np.int32, indptr, indices, codes(rng, (3000, columns)), -3)
